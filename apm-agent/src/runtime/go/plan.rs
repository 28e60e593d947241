//! Which probes a Go program gets, and what the kernel programs must know of it.

use std::ops::Range;

use apm_common::{
    fasthttp::GoFasthttp,
    go::{GoGrpc, GoHeaders, GoHidden, GoLayout, GoRouters},
    outgoing::{GoHeads, GoHttp2, GoTls},
    settings::ABSENT,
    sqlite::GoSqlite,
};

use super::{
    Asked, fasthttp, group, grpc, headers, heads, hidden,
    hook::{ANSWER, BEGINNINGS, HOOKS, Hook, Part, Place, ROUND_TRIP, TLS_SERVER},
    outgoing, sqlite,
};
use crate::{
    binary::go::{Function, GoBinary, Price, Site},
    kernel::{GoProbes, Probe},
    process::Process,
};

/// The probes of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For the kernel.
    pub probes: GoProbes,
    /// Those besides that write the place in the trace into calls which no socket shows.
    pub heads: Vec<Probe>,
    /// Functions that are there and not probed, with the reason.
    pub left_out: Vec<(&'static str, &'static str)>,
    /// Where its code lies, if it is known when one of its HTTP/1 calls begins: the place in the trace can go along.
    pub carries: Option<Range<u64>>,
    /// Groups that the user wants left alone.
    left_alone: Vec<String>,
}

/// What a hook comes to in a binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Function.
    pub function: &'static str,
    /// Name of its group, which `disable_instrumentations` may hold.
    pub group: &'static str,
    /// How many probes, or why none.
    pub probes: Result<usize, &'static str>,
}

/// What all hooks come to in a binary, those left out that are for what it has not.
pub fn places(binary: &GoBinary) -> Vec<Placed> {
    let placed = |hook: &Hook| {
        let probes = match sites(binary, hook)? {
            Ok(_) if hook.part == Part::Ancestry => Err("a guess that `--go-ancestry` turns on"),
            Ok(_) if hook.part == Part::Tls && binary.function(TLS_SERVER).is_none() => Err("it cannot serve TLS"),
            found => found.map(|sites| sites.len()),
        };
        Some(Placed { function: hook.function, group: group::of(hook), probes })
    };
    let has_sqlite = sqlite::layout(binary, 0) != GoSqlite::NONE;
    let statements = sqlite::TEXTS.iter().chain(sqlite::STATEMENTS.iter().flatten()).filter(|_| has_sqlite);
    HOOKS.iter().chain(statements).filter_map(placed).collect()
}

impl Plan {
    /// Plans for a process that runs a binary, at a distance of `bias` from the file's addresses. `asked` says
    /// which of those that can be chosen.
    ///
    /// # Errors
    /// What of the binary cannot be found, without which nothing can be said.
    pub fn new(binary: &GoBinary, bias: u64, asked: &Asked) -> Result<Self, &'static str> {
        let layout = layout(binary, bias);
        if [layout.g_goid, layout.g_m, layout.m_curg].contains(&ABSENT) {
            return Err("its tables do not describe the types of its run time");
        }
        let mut plan = Self {
            probes: GoProbes { layout, contexts: contexts(binary, bias), probes: Vec::new() },
            heads: Vec::new(),
            left_out: Vec::new(),
            left_alone: asked.left_alone.iter().filter(|group| *group != group::REQUESTS).cloned().collect(),
            carries: None,
        };
        let by_net_http =
            layout.request_ctx != ABSENT && plan.place_programs(binary, Part::Requests, &["go_closed", "go_handle"]);
        let by_fasthttp = layout.fasthttp != GoFasthttp::NONE
            && plan.place_programs(binary, Part::Fasthttp, &["go_fasthttp_handled", "go_fasthttp_handle"]);
        // Without the headers a request would seem to have no caller.
        let knows_headers = layout.headers != GoHeaders::NONE;
        let by_grpc = knows_headers && plan.place_grpc(binary, bias);
        if !by_net_http && !by_fasthttp && !by_grpc {
            return Err("it has no server of `net/http`, fasthttp or gRPC whose requests could be told apart");
        }
        if by_net_http && knows_headers {
            plan.place_hidden(binary, bias);
        }
        if asked.routes {
            plan.place(binary, Part::Routes);
        }
        let before = plan.probes.probes.len();
        plan.place(binary, Part::Routers);
        if by_net_http && plan.probes.probes.len() > before {
            plan.place_one(binary, &ANSWER);
        }
        plan.place_grpc_calls(binary, bias);
        plan.place(binary, Part::Calls);
        plan.place_outgoing(binary, bias);
        let before = plan.probes.probes.len();
        plan.place_heads(binary, bias);
        plan.heads = plan.probes.probes.split_off(before);
        let knows_calls = plan.probes.probes.iter().any(|probe| probe.program == ROUND_TRIP);
        let code = binary.code_addresses();
        plan.carries = knows_calls.then(|| code.start.wrapping_add(bias)..code.end.wrapping_add(bias));
        if layout.sqlite != GoSqlite::NONE {
            plan.place_statements(binary);
        }
        if asked.ancestry {
            plan.place(binary, Part::Ancestry);
        }
        if layout.panic_retpc != ABSENT {
            plan.place(binary, Part::Panics);
        }
        // What is begun must be ended: these are set when those are that see the end.
        plan.probes.probes.sort_by_key(|probe| BEGINNINGS.contains(&probe.program));
        Ok(plan)
    }

    fn place(&mut self, binary: &GoBinary, part: Part) {
        of(part).for_each(|hook| self.place_one(binary, hook));
    }

    /// A part whose programs need each other: all of them, or none. Gives back whether it placed them.
    fn place_programs(&mut self, binary: &GoBinary, part: Part, programs: &[&str]) -> bool {
        let before = self.probes.probes.len();
        self.place(binary, part);
        let placed = self.probes.probes.get(before..).unwrap_or_default();
        let are_all = programs.iter().all(|program| placed.iter().any(|probe| probe.program == *program));
        if !are_all {
            self.probes.probes.truncate(before);
        }
        are_all
    }

    fn place_grpc(&mut self, binary: &GoBinary, bias: u64) -> bool {
        let Some(layout) = grpc::server(binary, bias) else { return false };
        let are_placed = self.place_programs(binary, Part::Grpc, &["go_grpc_left", "go_grpc_status", "go_grpc_handle"]);
        if are_placed {
            self.probes.layout.grpc = layout;
        }
        are_placed
    }

    fn place_grpc_calls(&mut self, binary: &GoBinary, bias: u64) {
        let Some(layout) = grpc::client(binary, bias, self.probes.layout.grpc) else { return };
        if self.place_programs(binary, Part::GrpcCalls, &["go_grpc_called", "go_grpc_call"]) {
            self.probes.layout.grpc = layout;
        }
    }

    /// Statements of databases within the process: each kind of call is told only if its end is seen, too.
    fn place_statements(&mut self, binary: &GoBinary) {
        sqlite::TEXTS.iter().for_each(|hook| self.place_one(binary, hook));
        for both in &sqlite::STATEMENTS {
            self.place_whole(binary, both);
        }
    }

    /// Requests over TLS and HTTP/2. Each part is told only if its ends are all seen: those over TLS and HTTP/1 end like
    /// others, and where a handler takes the connection over, which not every program has.
    fn place_hidden(&mut self, binary: &GoBinary, bias: u64) {
        let Some(mut layout) = hidden::layout(binary, bias) else { return };
        let may_serve_tls = binary.function(TLS_SERVER).is_some() && !self.leaves_alone(group::TLS);
        if !may_serve_tls || !self.place_whole(binary, of(Part::Tls)) {
            layout.tls_conn = 0;
        }
        // The programs come in pairs: what ends a request as it should, and what ends it otherwise.
        let programs = ["go_http2_handled", "go_gave_up"];
        let before = self.probes.probes.len();
        let is_whole = self.place_whole(binary, of(Part::Http2));
        let placed = self.probes.probes.get(before..).unwrap_or_default();
        let count = |program| placed.iter().filter(|probe| probe.program == program).count();
        let [handled, gave_up] = programs.map(count);
        if !is_whole || handled == 0 || handled != gave_up || layout.h2_state == ABSENT || layout.h2_status == ABSENT {
            layout.request_major = ABSENT;
        }
        self.probes.layout.hidden = layout;
    }

    /// Calls over TLS and HTTP/2.
    fn place_outgoing(&mut self, binary: &GoBinary, bias: u64) {
        if let Some(layout) = outgoing::tls(binary, bias)
            && self.place_whole(binary, of(Part::PlainText))
        {
            self.probes.layout.tls = layout;
        }
        if let Some((layout, packages)) = outgoing::http2(binary)
            && self.place_whole(binary, of(Part::Http2Calls).filter(|hook| packages.contains(&hook.package())))
        {
            self.probes.layout.http2 = layout;
        }
    }

    /// Heads of calls that are told, if all of a kind can be written into.
    fn place_heads(&mut self, binary: &GoBinary, bias: u64) {
        let told = self.probes.layout;
        let is_probed = |program| self.probes.probes.iter().any(|probe| probe.program == program);
        let (by_round_trip, by_grpc) = (is_probed(ROUND_TRIP), is_probed("go_grpc_call"));
        let Some(mut layout) = heads::buffered(binary, bias) else { return };
        if by_round_trip
            && told.tls != GoTls::NONE
            && let Some(known) = heads::http1(binary, bias, layout)
            && self.place_whole(binary, of(Part::TlsHeads))
        {
            layout = known;
        }
        let told_packages = outgoing::http2(binary).map_or_else(Vec::new, |(_, packages)| packages);
        if told.http2 != GoHttp2::NONE
            && let Some((known, packages)) = heads::http2(binary, layout, &told_packages)
            && self.place_whole(binary, of(Part::Http2Heads).filter(|hook| packages.contains(&hook.package())))
        {
            layout = known;
        }
        let programs = ["go_grpc_fields", "go_grpc_fielded", "go_grpc_head", "go_grpc_headed"];
        if by_grpc
            && let Some(known) = heads::grpc(binary, layout)
            && self.place_programs(binary, Part::GrpcHeads, &programs)
        {
            layout = known;
        }
        self.probes.layout.heads = layout;
    }

    /// Hooks of which some without the others would be worse than nothing: all of those wanted, or none.
    fn place_whole<'a>(&mut self, binary: &GoBinary, hooks: impl IntoIterator<Item = &'a Hook>) -> bool {
        let (probes, left_out) = (self.probes.probes.len(), self.left_out.len());
        hooks.into_iter().for_each(|hook| self.place_one(binary, hook));
        let is_whole = self.left_out.len() == left_out;
        if !is_whole {
            self.probes.probes.truncate(probes);
        }
        is_whole
    }

    fn leaves_alone(&self, group: &str) -> bool {
        self.left_alone.iter().any(|name| name == group)
    }

    fn place_one(&mut self, binary: &GoBinary, hook: &Hook) {
        if self.leaves_alone(group::of(hook)) {
            return;
        }
        match sites(binary, hook) {
            None => {}
            Some(Ok(sites)) => {
                let probe = |site: Site| Probe { program: hook.program, offset: site.offset };
                self.probes.probes.extend(sites.into_iter().map(probe));
            }
            Some(Err(reason)) => self.left_out.push((hook.function, reason)),
        }
    }
}

/// The hooks of a part.
fn of(part: Part) -> impl Iterator<Item = &'static Hook> {
    HOOKS.iter().filter(move |hook| hook.part == part)
}

/// Where the probes of a hook go, or why nowhere; `None`: the binary has not what it is for.
fn sites(binary: &GoBinary, hook: &Hook) -> Option<Result<Vec<Site>, &'static str>> {
    let function = binary.function(hook.function)?;
    if binary.is_inlined(hook.function) {
        // As the compiler does it with a profile of the program.
        return Some(Err("some of its calls are inlined, where no probe in it sees them"));
    }
    let found: Vec<Site> = match hook.place {
        Place::Entry => binary.site(&function).into_iter().collect(),
        // All of them, or one would seem to go on for ever.
        Place::Results(results) => {
            let landings = binary.landings(&function, results).filter(|landings| landings.is_complete);
            landings.unwrap_or_default().sites
        }
        Place::Call(callee) => binary.calls(&function, &binary.function(callee)?),
        Place::CallWithin(callee) => {
            let calls = calls_within(binary, &function, &binary.function(callee)?);
            return (!calls.is_empty()).then_some(Ok(calls));
        }
        Place::After(callee, results) => {
            let landings = binary.landings(&binary.function(callee)?, results).unwrap_or_default();
            landings.sites.into_iter().filter(|site| (function.entry..function.end).contains(&site.address)).collect()
        }
    };
    Some(match found.as_slice() {
        [] => Err("its code cannot be read, or is not as expected"),
        [_, _, ..] if matches!(hook.place, Place::After(..)) => Err("its result cannot be read in one place"),
        sites if sites.iter().any(|site| site.price != Price::Emulated) => {
            Err("no instruction in it is cheap to probe")
        }
        _ => Ok(found),
    })
}

/// Where a function, or a closure in one of its closures, calls another.
fn calls_within(binary: &GoBinary, function: &Function, callee: &Function) -> Vec<Site> {
    let is_within = |name: &str| {
        let inner = name.strip_prefix(function.name.as_str());
        inner.is_some_and(|inner| inner.is_empty() || inner.starts_with('.') && inner.matches('.').count() >= 2)
    };
    let calls = binary.functions().filter(|found| is_within(&found.name)).map(|found| binary.calls(&found, callee));
    calls.flatten().collect()
}

/// Place of a member in a structure.
pub(super) fn offset(binary: &GoBinary, structure: &str, path: &str) -> u32 {
    binary.field(structure, path).and_then(|offset| u32::try_from(offset).ok()).unwrap_or(ABSENT)
}

/// Address of the type of pointers to a type.
pub(super) fn pointer(binary: &GoBinary, bias: u64, name: &str) -> u64 {
    let address = binary.type_address(name).and_then(|address| binary.pointer_to(address));
    address.map_or(0, |address| address.wrapping_add(bias))
}

/// Address of a type itself.
pub(super) fn value(binary: &GoBinary, bias: u64, name: &str) -> u64 {
    binary.type_address(name).map_or(0, |address| address.wrapping_add(bias))
}

fn layout(binary: &GoBinary, bias: u64) -> GoLayout {
    let offset = |structure: &str, path: &str| offset(binary, structure, path);
    let pointer = |name: &str| pointer(binary, bias, name);
    GoLayout {
        tcp_conn: pointer("net.TCPConn"),
        unix_conn: pointer("net.UnixConn"),
        http_response: pointer("net/http.response"),
        visit: 0,
        g_goid: offset("runtime.g", "goid"),
        g_m: offset("runtime.g", "m"),
        m_curg: offset("runtime.m", "curg"),
        net_fd_sysfd: offset("net.netFD", "pfd.Sysfd"),
        request_ctx: offset("net/http.Request", "ctx"),
        response_conn: offset("net/http.response", "conn"),
        conn_rwc: offset("net/http.conn", "rwc"),
        persist_conn_conn: offset("net/http.persistConn", "conn"),
        g_panic: offset("runtime.g", "_panic"),
        panic_retpc: offset("runtime._panic", "retpc"),
        routers: routers(binary, bias),
        hidden: GoHidden::NONE,
        tls: GoTls::NONE,
        http2: GoHttp2::NONE,
        fasthttp: fasthttp::layout(binary, bias),
        sqlite: sqlite::layout(binary, bias),
        headers: headers::layout(binary).unwrap_or(GoHeaders::NONE),
        grpc: GoGrpc::NONE,
        heads: GoHeads::NONE,
    }
}

fn routers(binary: &GoBinary, bias: u64) -> GoRouters {
    let offset = |structure: &str, path: &str| offset(binary, structure, path);
    GoRouters {
        echo_error: pointer(binary, bias, "github.com/labstack/echo/v4.HTTPError"),
        gin_path: offset("github.com/gin-gonic/gin.Context", "fullPath"),
        gin_errors: offset("github.com/gin-gonic/gin.Context", "Errors"),
        gin_error: offset("github.com/gin-gonic/gin.Error", "Err"),
        chi_patterns: offset("github.com/go-chi/chi/v5.Context", "RoutePatterns"),
        chi_parent: offset("github.com/go-chi/chi/v5.Context", "parentCtx"),
        echo_path: offset("github.com/labstack/echo/v4.context", "path"),
        echo_code: offset("github.com/labstack/echo/v4.HTTPError", "Code"),
        echo_message: offset("github.com/labstack/echo/v4.HTTPError", "Message"),
        echo_internal: offset("github.com/labstack/echo/v4.HTTPError", "Internal"),
        mux_path: offset("github.com/gorilla/mux.Route", "routeConf.regexp.path"),
        mux_template: offset("github.com/gorilla/mux.routeRegexp", "template"),
        reserved: 0,
    }
}

fn contexts(binary: &GoBinary, bias: u64) -> Vec<(u64, u32)> {
    let types = binary.context_types().into_iter();
    let found =
        types.filter_map(|kind| Some((kind.address.wrapping_add(bias), u32::try_from(kind.parent_offset).ok()?)));
    found.chain(fasthttp::context(binary, bias)).collect()
}

/// How far from the file's addresses a process runs it: `None` when it is not mapped as the file says.
pub fn bias(binary: &GoBinary, process: &Process) -> Option<u64> {
    let code = binary.function("runtime.gopanic")?.entry;
    let offset = binary.file_offset(code)?;
    Some(process.address_of(offset)?.wrapping_sub(code))
}
