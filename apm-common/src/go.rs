//! What user space tells the kernel programs about a Go process: where its structures keep what the programs read.
//!
//! Offsets are bytes within a structure of that binary, from its type descriptors. Addresses are those in the process,
//! with its load bias.

/// Of one Go process. Value of the map of Go processes, keyed by process id.
///
/// An offset of [`ABSENT`](crate::settings::ABSENT) means that the binary has no such member: what needs it is left out.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoLayout {
    /// Address of the type `*net.TCPConn`; 0: the binary has none.
    pub tcp_conn: u64,
    /// Address of the type `*net.UnixConn`; 0: the binary has none.
    pub unix_conn: u64,
    /// Address of the type `*net/http.response`; 0: the binary has none.
    pub http_response: u64,
    /// `runtime.g.goid`
    pub g_goid: u32,
    /// `runtime.g.m`
    pub g_m: u32,
    /// `runtime.m.curg`
    pub m_curg: u32,
    /// `net.netFD.pfd` and `internal/poll.FD.Sysfd`, added up
    pub net_fd_sysfd: u32,
    /// `net/http.Request.ctx`
    pub request_ctx: u32,
    /// `net/http.response.conn`
    pub response_conn: u32,
    /// `net/http.conn.rwc`
    pub conn_rwc: u32,
    /// `net/http.persistConn.conn`
    pub persist_conn_conn: u32,
    /// `runtime.g._panic`
    pub g_panic: u32,
    /// `runtime._panic.retpc`: there from Go 1.22 on
    pub panic_retpc: u32,
}

impl GoLayout {
    /// Nothing is there.
    pub const NONE: GoLayout = GoLayout {
        tcp_conn: 0,
        unix_conn: 0,
        http_response: 0,
        g_goid: crate::settings::ABSENT,
        g_m: crate::settings::ABSENT,
        m_curg: crate::settings::ABSENT,
        net_fd_sysfd: crate::settings::ABSENT,
        request_ctx: crate::settings::ABSENT,
        response_conn: crate::settings::ABSENT,
        conn_rwc: crate::settings::ABSENT,
        persist_conn_conn: crate::settings::ABSENT,
        g_panic: crate::settings::ABSENT,
        panic_retpc: crate::settings::ABSENT,
    };
}

/// A place in a Go process. Key of the maps of contexts, context types and goroutines.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoKey {
    /// The process.
    pub pid: u32,
    /// Always 0.
    pub reserved: u32,
    /// Address of a context or of a type, or number of a goroutine.
    pub place: u64,
}

impl GoKey {
    /// A place of a process.
    pub const fn new(pid: u32, place: u64) -> Self {
        Self { pid, reserved: 0, place }
    }
}

const _: () = {
    use core::mem::size_of;
    assert!(size_of::<GoLayout>() == 64);
    assert!(size_of::<GoKey>() == 16);
};
