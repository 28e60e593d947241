//! Which probes a Go program gets, and what the kernel programs must know of it.

use apm_common::{go::GoLayout, settings::ABSENT};

use super::hook::{HOOKS, Part, ROUTE};
use crate::{
    binary::go::{GoBinary, Price},
    kernel::{GoProbes, Probe},
    process::Process,
};

/// The probes of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For the kernel.
    pub probes: GoProbes,
    /// Functions that are there and not probed, with the reason.
    pub left_out: Vec<(&'static str, &'static str)>,
}

impl Plan {
    /// Plans for a process that runs a binary, at a distance of `bias` from the file's addresses. `routes`: requests are
    /// named by the patterns of `ServeMux`.
    ///
    /// # Errors
    /// What of the binary cannot be found, without which nothing can be said.
    pub fn new(binary: &GoBinary, bias: u64, routes: bool) -> Result<Self, &'static str> {
        let layout = layout(binary, bias);
        if [layout.g_goid, layout.g_m, layout.m_curg, layout.request_ctx].contains(&ABSENT) {
            return Err(
                "it does not use `net/http`, or its tables do not describe the types of run time and `net/http`",
            );
        }
        let mut plan = Self {
            probes: GoProbes { layout, contexts: contexts(binary, bias), probes: Vec::new() },
            left_out: Vec::new(),
        };
        plan.place(binary, Part::Requests);
        if plan.probes.probes.len() < HOOKS.iter().filter(|hook| hook.part == Part::Requests).count() {
            return Err("it has no HTTP server of `net/http` whose requests could be told apart");
        }
        if routes {
            plan.place_route(binary);
        }
        plan.place(binary, Part::Calls);
        if layout.panic_retpc != ABSENT {
            plan.place(binary, Part::Panics);
        }
        Ok(plan)
    }

    fn place(&mut self, binary: &GoBinary, part: Part) {
        for hook in HOOKS.iter().filter(|hook| hook.part == part) {
            let Some(function) = binary.function(hook.function) else { continue };
            match binary.site(&function) {
                Some(site) if site.price == Price::Emulated => {
                    self.probes.probes.push(Probe { program: hook.program, offset: site.offset });
                }
                Some(_) => self.left_out.push((hook.function, "no instruction in it is cheap to probe")),
                None => self.left_out.push((hook.function, "its code cannot be read")),
            }
        }
    }

    fn place_route(&mut self, binary: &GoBinary) {
        let (caller, callee, program) = ROUTE;
        let (Some(caller), Some(found)) = (binary.function(caller), binary.function(callee)) else { return };
        // The pattern is in the third and fourth register of results.
        let landings = binary.landings(&found, 4).map(|landings| landings.sites).unwrap_or_default();
        let mut sites = landings.iter().filter(|site| (caller.entry..caller.end).contains(&site.address));
        match (sites.next(), sites.next()) {
            (Some(site), None) if site.price == Price::Emulated => {
                self.probes.probes.push(Probe { program, offset: site.offset });
            }
            _ => self.left_out.push((callee, "its result cannot be read cheaply")),
        }
    }
}

fn layout(binary: &GoBinary, bias: u64) -> GoLayout {
    let offset = |structure: &str, path: &str| {
        binary.field(structure, path).and_then(|offset| u32::try_from(offset).ok()).unwrap_or(ABSENT)
    };
    let pointer = |name: &str| {
        let address = binary.type_address(name).and_then(|address| binary.pointer_to(address));
        address.map_or(0, |address| address.wrapping_add(bias))
    };
    GoLayout {
        tcp_conn: pointer("net.TCPConn"),
        unix_conn: pointer("net.UnixConn"),
        http_response: pointer("net/http.response"),
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
    }
}

fn contexts(binary: &GoBinary, bias: u64) -> Vec<(u64, u32)> {
    let types = binary.context_types().into_iter();
    types.filter_map(|kind| Some((kind.address.wrapping_add(bias), u32::try_from(kind.parent_offset).ok()?))).collect()
}

/// How far from the file's addresses a process runs it: `None` when it is not mapped as the file says.
pub fn bias(binary: &GoBinary, process: &Process) -> Option<u64> {
    let code = binary.function("runtime.gopanic")?.entry;
    let offset = binary.file_offset(code)?;
    Some(process.address_of(offset)?.wrapping_sub(code))
}
