//! What is probed in a Go program: one line each. Functions whose calls may be inlined are not here (measured for 235
//! candidates and Go 1.19 to 1.27).

/// A function and what runs when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Import path and name.
    pub function: &'static str,
    /// Program in the BPF object.
    pub program: &'static str,
    /// What it is for.
    pub part: Part,
}

/// What hooks are for. A part works only with all of its hooks that are `needed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Requests handled by `net/http`.
    Requests,
    /// Panics, from Go 1.22 on.
    Panics,
    /// Calls that say by their context for which request they are made.
    Calls,
}

const fn requests(function: &'static str, program: &'static str) -> Hook {
    Hook { function, program, part: Part::Requests }
}

const fn call(function: &'static str) -> Hook {
    Hook { function, program: "go_call", part: Part::Calls }
}

/// Every hook. Those of requests stand in the order in which a request comes by, and are needed together: what is begun
/// must be ended.
pub const HOOKS: &[Hook] = &[
    requests("net/http.(*response).finishRequest", "go_handled"),
    requests("net/http.serverHandler.ServeHTTP", "go_handle"),
    Hook { function: "net/http.(*persistConn).roundTrip", program: "go_round_trip", part: Part::Calls },
    call("database/sql.(*DB).conn"),
    call("database/sql.(*DB).pingDC"),
    call("database/sql.(*DB).prepareDC"),
    call("database/sql.(*DB).queryDC"),
    call("database/sql.(*DB).execDC"),
    call("database/sql.(*DB).beginDC"),
    call("database/sql.(*Stmt).QueryContext"),
    call("database/sql.(*Stmt).ExecContext"),
    call("github.com/jackc/pgx/v5.(*Conn).Query"),
    call("github.com/jackc/pgx/v5.(*Conn).Exec"),
    call("github.com/jackc/pgx/v5.(*Conn).Prepare"),
    call("github.com/jackc/pgx/v5.(*Conn).SendBatch"),
    call("github.com/jackc/pgx/v5.(*Conn).CopyFrom"),
    Hook { function: "runtime.gopanic", program: "go_panic", part: Part::Panics },
    Hook { function: "runtime.recovery", program: "go_recover", part: Part::Panics },
];

/// The function that looks a request's route up, and the one that calls it: behind the call the route is in registers.
pub const ROUTE: (&str, &str, &str) =
    ("net/http.(*ServeMux).ServeHTTP", "net/http.(*ServeMux).findHandler", "go_route");
