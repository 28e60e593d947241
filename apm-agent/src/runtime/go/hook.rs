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
    /// Where in it the probe lies.
    pub place: Place,
}

impl Hook {
    /// The package of its function.
    pub fn package(&self) -> &'static str {
        self.function.split_once(".(").map_or(self.function, |(package, _)| package)
    }
}

/// What hooks are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Requests handled by `net/http`.
    Requests,
    /// Requests handled by fasthttp.
    Fasthttp,
    /// Requests over TLS and HTTP/1.
    Tls,
    /// Requests over HTTP/2.
    Http2,
    /// Requests of gRPC.
    Grpc,
    /// Calls of gRPC.
    GrpcCalls,
    /// Routes of `ServeMux`: a setting turns them off.
    Routes,
    /// Routes and errors of other routers.
    Routers,
    /// Panics, from Go 1.22 on.
    Panics,
    /// Calls that say by their context for which request they are made.
    Calls,
    /// Calls over HTTP/2: the wire does not show them.
    Http2Calls,
    /// What clients say over TLS, in plain text.
    PlainText,
    /// Heads of calls over TLS and HTTP/1, where the place in the trace is written.
    TlsHeads,
    /// Heads of those over HTTP/2.
    Http2Heads,
    /// Heads of those of gRPC.
    GrpcHeads,
    /// Statements of databases within the process.
    Statements,
    /// Goroutines that requests make: a setting turns them on.
    Ancestry,
}

/// Where in a function a probe lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At its beginning: the arguments are in their registers.
    Entry,
    /// Where it calls another function: that one's arguments are.
    Call(&'static str),
    /// Where it, or what runs on goroutines that it starts, calls another function, if anywhere.
    CallWithin(&'static str),
    /// Behind its call of another function: that one's results are, so many of them.
    After(&'static str, usize),
    /// Behind all calls of the function itself: its results are, so many of them.
    Results(usize),
}

const fn requests(function: &'static str, program: &'static str) -> Hook {
    Hook { function, program, part: Part::Requests, place: Place::Entry }
}

const fn call(function: &'static str) -> Hook {
    Hook { function, program: "go_call", part: Part::Calls, place: Place::Entry }
}

const fn router(function: &'static str, program: &'static str) -> Hook {
    Hook { function, program, part: Part::Routers, place: Place::Entry }
}

const fn tls(function: &'static str, program: &'static str) -> Hook {
    Hook { function, program, part: Part::Tls, place: Place::Entry }
}

const fn http2(function: &'static str, program: &'static str) -> Hook {
    Hook { function, program, part: Part::Http2, place: Place::Entry }
}

/// Where what a handler leaves behind is seen to, and whether it panicked.
const fn gave_up(function: &'static str) -> Hook {
    Hook { function, program: "go_gave_up", part: Part::Http2, place: Place::Call("runtime.gorecover") }
}

const fn http2_calls(function: &'static str, program: &'static str) -> Hook {
    Hook { function, program, part: Part::Http2Calls, place: Place::Entry }
}

/// Where fasthttp's server calls a function, when it has read the head of a request.
const fn fasthttp(callee: &'static str) -> Hook {
    Hook {
        function: "github.com/valyala/fasthttp.(*Server).serveConn",
        program: "go_fasthttp_handle",
        part: Part::Fasthttp,
        place: Place::Call(callee),
    }
}

/// What fiber handles a request with, and what that calls to find a route and run its handlers.
const FIBER_2: [&str; 2] = ["github.com/gofiber/fiber/v2.(*App).handler", "github.com/gofiber/fiber/v2.(*App).next"];
const FIBER_3: [&str; 2] =
    ["github.com/gofiber/fiber/v3.(*App).requestHandler", "github.com/gofiber/fiber/v3.(*App).next"];

const fn fiber(function: &'static str, program: &'static str, place: Place) -> Hook {
    Hook { function, program, part: Part::Routers, place }
}

/// A router gives its context back to the pool.
const fn puts_back(function: &'static str) -> Hook {
    Hook { function, program: "go_put_back", part: Part::Routers, place: Place::Call("sync.(*Pool).Put") }
}

const fn plain_text(function: &'static str, program: &'static str, place: Place) -> Hook {
    Hook { function, program, part: Part::PlainText, place }
}

const fn grpc(function: &'static str, program: &'static str) -> Hook {
    Hook { function, program, part: Part::Grpc, place: Place::Entry }
}

/// Whoever has run `handleStream` says so to a `WaitGroup`, on whichever way it ended.
const fn grpc_left(function: &'static str, callee: &'static str) -> Hook {
    Hook { function, program: "go_grpc_left", part: Part::Grpc, place: Place::CallWithin(callee) }
}

const fn grpc_call(function: &'static str, program: &'static str) -> Hook {
    Hook { function, program, part: Part::GrpcCalls, place: Place::Entry }
}

const fn http2_head(function: &'static str) -> Hook {
    Hook { function, program: "go_http2_head", part: Part::Http2Heads, place: Place::Call("bufio.(*Writer).Flush") }
}

const fn grpc_head(function: &'static str, program: &'static str, place: Place) -> Hook {
    Hook { function, program, part: Part::GrpcHeads, place }
}

/// Where a gRPC client puts the fields of a call together; where it has them written, up to 1.72 and later.
const FIELDS: [&str; 2] = [
    "google.golang.org/grpc/internal/transport.(*http2Client).NewStream",
    "google.golang.org/grpc/internal/transport.(*http2Client).createHeaderFields",
];
const LOOPY: [&str; 2] = [
    "google.golang.org/grpc/internal/transport.(*loopyWriter).originateStream",
    "google.golang.org/grpc/internal/transport.(*loopyWriter).clientHeaderHandler",
];
const WRITE_HEADER: &str = "google.golang.org/grpc/internal/transport.(*loopyWriter).writeHeader";

const fn panics(function: &'static str, program: &'static str) -> Hook {
    Hook { function, program, part: Part::Panics, place: Place::Entry }
}

/// The program that is told of an HTTP/1 call and its connection before it begins.
pub const ROUND_TRIP: &str = "go_round_trip";

/// Programs that tell of a request's beginning.
pub const BEGINNINGS: [&str; 3] = ["go_handle", "go_fasthttp_handle", "go_grpc_handle"];

/// What only programs have that can serve TLS.
pub const TLS_SERVER: &str = "crypto/tls.(*Conn).serverHandshake";

/// Every hook. Where a request in plain HTTP/1 ends, the wire shows.
pub const HOOKS: &[Hook] = &[
    requests("net/http.(*conn).close", "go_closed"),
    requests("net/http.serverHandler.ServeHTTP", "go_handle"),
    Hook {
        function: "github.com/valyala/fasthttp.writeResponse",
        program: "go_fasthttp_handled",
        part: Part::Fasthttp,
        place: Place::Entry,
    },
    fasthttp("github.com/valyala/fasthttp.(*Request).readLimitBody"),
    fasthttp("github.com/valyala/fasthttp.(*Request).readBodyStream"),
    tls("net/http.(*response).finishRequest", "go_handled"),
    tls("net/http.(*response).Hijack", "go_hijack"),
    // In `net/http` itself up to Go 1.26, beside it from 1.27 on, and in golang.org/x/net.
    http2("net/http.(*http2responseWriter).handlerDone", "go_http2_handled"),
    gave_up("net/http.(*http2serverConn).runHandler.func1"),
    http2("net/http/internal/http2.(*responseWriter).handlerDone", "go_http2_handled"),
    gave_up("net/http/internal/http2.(*serverConn).runHandler.func1"),
    http2("golang.org/x/net/http2.(*responseWriter).handlerDone", "go_http2_handled"),
    gave_up("golang.org/x/net/http2.(*serverConn).runHandler.func1"),
    Hook {
        function: "net/http.(*ServeMux).ServeHTTP",
        program: "go_route",
        part: Part::Routes,
        // The pattern is the second result, a text in the third and fourth register.
        place: Place::After("net/http.(*ServeMux).findHandler", 4),
    },
    router("github.com/gorilla/mux.requestWithRoute", "go_gorilla"),
    router("github.com/gin-gonic/gin.(*Engine).handleHTTPRequest", "go_gin"),
    router("github.com/go-chi/chi/v5.(*node).FindRoute", "go_chi"),
    router("github.com/labstack/echo/v4.(*Router).Find", "go_echo"),
    router("github.com/labstack/echo/v4.(*Echo).DefaultHTTPErrorHandler", "go_echo_failed"),
    puts_back("github.com/gin-gonic/gin.(*Engine).ServeHTTP"),
    puts_back("github.com/go-chi/chi/v5.(*Mux).ServeHTTP"),
    puts_back("github.com/labstack/echo/v4.(*Echo).ServeHTTP"),
    fiber(FIBER_2[0], "go_fiber2", Place::Call(FIBER_2[1])),
    fiber(FIBER_3[0], "go_fiber3", Place::Call(FIBER_3[1])),
    // The error is an interface value behind a boolean.
    fiber(FIBER_2[0], "go_fiber_found", Place::After(FIBER_2[1], 3)),
    fiber(FIBER_3[0], "go_fiber_found", Place::After(FIBER_3[1], 3)),
    router("github.com/gofiber/fiber/v2.(*App).ErrorHandler", "go_fiber2_failed"),
    router("github.com/gofiber/fiber/v3.(*App).ErrorHandler", "go_fiber3_failed"),
    Hook { function: "net/http.(*persistConn).roundTrip", program: ROUND_TRIP, part: Part::Calls, place: Place::Entry },
    grpc_left("google.golang.org/grpc.(*Server).serveStreams", "sync.(*WaitGroup).Add"),
    grpc_left("google.golang.org/grpc.(*Server).serveStreams", "sync.(*WaitGroup).Done"),
    grpc_left("google.golang.org/grpc.(*Server).serverWorker", "sync.(*WaitGroup).Add"),
    // Up to 1.68 in capitals.
    grpc("google.golang.org/grpc/internal/transport.(*http2Server).WriteStatus", "go_grpc_status"),
    grpc("google.golang.org/grpc/internal/transport.(*http2Server).writeStatus", "go_grpc_status"),
    grpc("google.golang.org/grpc/internal/transport.(*serverHandlerTransport).WriteStatus", "go_grpc_status"),
    grpc("google.golang.org/grpc/internal/transport.(*serverHandlerTransport).writeStatus", "go_grpc_status"),
    grpc("google.golang.org/grpc.(*Server).handleStream", "go_grpc_handle"),
    grpc_call("google.golang.org/grpc.(*clientStream).finish", "go_grpc_called"),
    grpc_call("google.golang.org/grpc.(*clientStream).newAttemptLocked", "go_grpc_call"),
    // All of `database/sql` takes a connection by one of these, with the context, before it asks.
    call("database/sql.(*DB).conn"),
    call("database/sql.(*Conn).grabConn"),
    call("database/sql.(*Tx).grabConn"),
    call("github.com/jackc/pgx/v5.(*Conn).Query"),
    call("github.com/jackc/pgx/v5.(*Conn).Exec"),
    call("github.com/jackc/pgx/v5.(*Conn).Prepare"),
    call("github.com/jackc/pgx/v5.(*Conn).SendBatch"),
    call("github.com/jackc/pgx/v5.(*Conn).CopyFrom"),
    // Below these it writes without the context.
    call("github.com/redis/go-redis/v9.(*baseClient).process"),
    call("github.com/redis/go-redis/v9.(*baseClient).generalProcessPipeline"),
    // Above this one it begins another goroutine.
    call("github.com/go-redis/redis/v8/internal/pool.(*Conn).WithWriter"),
    call("go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology.(*connection).writeWireMessage"),
    call("go.mongodb.org/mongo-driver/x/mongo/driver/topology.(*connection).writeWireMessage"),
    http2_calls("net/http.(*http2clientStream).cleanupWriteRequest", "go_http2_called"),
    http2_calls("net/http.(*http2clientStream).writeRequest", "go_http2_call"),
    http2_calls("net/http/internal/http2.(*clientStream).cleanupWriteRequest", "go_http2_called"),
    http2_calls("net/http/internal/http2.(*clientStream).writeRequest", "go_http2_call"),
    http2_calls("golang.org/x/net/http2.(*clientStream).cleanupWriteRequest", "go_http2_called"),
    http2_calls("golang.org/x/net/http2.(*clientStream).writeRequest", "go_http2_call"),
    plain_text("crypto/tls.(*Conn).clientHandshake", "go_tls_begin", Place::Entry),
    plain_text("crypto/tls.(*Conn).Write", "go_tls_write", Place::Call("crypto/tls.(*Conn).writeRecordLocked")),
    plain_text("crypto/tls.(*Conn).Read", "go_tls_read", Place::Call("runtime.memmove")),
    Hook {
        function: "net/http.(*Request).write",
        program: "go_tls_head",
        part: Part::TlsHeads,
        place: Place::Call("net/http.Header.writeSubset"),
    },
    http2_head("net/http.(*http2ClientConn).writeHeaders"),
    http2_head("net/http/internal/http2.(*ClientConn).writeHeaders"),
    http2_head("golang.org/x/net/http2.(*ClientConn).writeHeaders"),
    // Results are a slice and an error, then an error.
    grpc_head(FIELDS[0], "go_grpc_fields", Place::Call(FIELDS[1])),
    grpc_head(FIELDS[0], "go_grpc_fielded", Place::After(FIELDS[1], 5)),
    grpc_head(LOOPY[0], "go_grpc_head", Place::Call(WRITE_HEADER)),
    grpc_head(LOOPY[1], "go_grpc_head", Place::Call(WRITE_HEADER)),
    grpc_head(LOOPY[0], "go_grpc_headed", Place::After(WRITE_HEADER, 2)),
    grpc_head(LOOPY[1], "go_grpc_headed", Place::After(WRITE_HEADER, 2)),
    // Every goroutine that is made comes by.
    Hook {
        function: "runtime.newproc.func1",
        program: "go_made",
        part: Part::Ancestry,
        place: Place::Call("runtime.runqput"),
    },
    panics("runtime.gopanic", "go_panic"),
    panics("runtime.recovery", "go_recover"),
];

/// Where the head of an answer is written: by then a router has found the route, and the answer is not complete. Probed
/// in programs with a router that keeps its route in a context.
pub const ANSWER: Hook = router("net/http.(*response).WriteHeader", "go_answer");
