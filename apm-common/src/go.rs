//! What user space tells the kernel programs about a Go process: where its structures keep what the programs read.
//!
//! Offsets are bytes within a structure of that binary, from its type descriptors. Addresses are those in the process,
//! with its load bias.

use crate::{
    fasthttp::GoFasthttp,
    outgoing::{GoHeads, GoHttp2, GoTls},
    settings::ABSENT,
    sqlite::GoSqlite,
};

mod grpc;
mod headers;

pub use grpc::GoGrpc;
pub use headers::GoHeaders;

/// Where the routers of one Go process keep the route they found. Offsets as in [`GoLayout`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoRouters {
    /// Address of the type `*echo.HTTPError`; 0: the binary has none.
    pub echo_error: u64,
    /// `gin.Context.fullPath`
    pub gin_path: u32,
    /// `gin.Context.Errors`
    pub gin_errors: u32,
    /// `gin.Error.Err`
    pub gin_error: u32,
    /// `chi.Context.RoutePatterns`
    pub chi_patterns: u32,
    /// `chi.Context.parentCtx`: only contexts of requests have one
    pub chi_parent: u32,
    /// `echo.context.path`
    pub echo_path: u32,
    /// `echo.HTTPError.Code`
    pub echo_code: u32,
    /// `echo.HTTPError.Message`
    pub echo_message: u32,
    /// `echo.HTTPError.Internal`
    pub echo_internal: u32,
    /// `mux.Route.routeConf.regexp.path`
    pub mux_path: u32,
    /// `mux.routeRegexp.template`
    pub mux_template: u32,
    /// Always 0.
    pub reserved: u32,
}

impl GoRouters {
    /// Nothing is there.
    pub const NONE: GoRouters = GoRouters {
        echo_error: 0,
        gin_path: ABSENT,
        gin_errors: ABSENT,
        gin_error: ABSENT,
        chi_patterns: ABSENT,
        chi_parent: ABSENT,
        echo_path: ABSENT,
        echo_code: ABSENT,
        echo_message: ABSENT,
        echo_internal: ABSENT,
        mux_path: ABSENT,
        mux_template: ABSENT,
        reserved: 0,
    };
}

/// Where the requests of one Go process are that the wire does not show, over TLS and HTTP/2. Offsets as in [`GoLayout`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoHidden {
    /// Address of the type `*tls.Conn`; 0: requests over TLS and HTTP/1 are not told.
    pub tls_conn: u64,
    /// `net/http.Request.ProtoMajor`; absent: requests over HTTP/2 are not told.
    pub request_major: u32,
    /// `net/http.Request.Method`
    pub request_method: u32,
    /// `net/http.Request.URL`
    pub request_url: u32,
    /// `net/http.Request.Header`
    pub request_header: u32,
    /// `net/http.Request.Host`
    pub request_host: u32,
    /// `net/http.Request.RemoteAddr`
    pub request_remote: u32,
    /// `net/http.Request.TLS`
    pub request_tls: u32,
    /// `net/url.URL.Path`
    pub url_path: u32,
    /// `net/url.URL.RawQuery`
    pub url_query: u32,
    /// `net/http.response.status`
    pub response_status: u32,
    /// `http2.responseWriter.rws`
    pub h2_state: u32,
    /// `http2.responseWriterState.status`
    pub h2_status: u32,
}

impl GoHidden {
    /// Nothing is told.
    pub const NONE: GoHidden = GoHidden {
        tls_conn: 0,
        request_major: ABSENT,
        request_method: ABSENT,
        request_url: ABSENT,
        request_header: ABSENT,
        request_host: ABSENT,
        request_remote: ABSENT,
        request_tls: ABSENT,
        url_path: ABSENT,
        url_query: ABSENT,
        response_status: ABSENT,
        h2_state: ABSENT,
        h2_status: ABSENT,
    };
}

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
    /// Tells this visit to a process from every other, to one of the same id before it, too: what is known of a goroutine
    /// is known of this visit's.
    pub visit: u64,
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
    /// Of its routers.
    pub routers: GoRouters,
    /// Of requests that the wire does not show.
    pub hidden: GoHidden,
    /// Of what clients say over TLS.
    pub tls: GoTls,
    /// Of calls over HTTP/2.
    pub http2: GoHttp2,
    /// Of fasthttp.
    pub fasthttp: GoFasthttp,
    /// Of SQLite.
    pub sqlite: GoSqlite,
    /// Of headers and metadata.
    pub headers: GoHeaders,
    /// Of gRPC.
    pub grpc: GoGrpc,
    /// Of the heads of calls.
    pub heads: GoHeads,
}

impl GoLayout {
    /// Nothing is there.
    pub const NONE: GoLayout = GoLayout {
        tcp_conn: 0,
        unix_conn: 0,
        http_response: 0,
        visit: 0,
        g_goid: ABSENT,
        g_m: ABSENT,
        m_curg: ABSENT,
        net_fd_sysfd: ABSENT,
        request_ctx: ABSENT,
        response_conn: ABSENT,
        conn_rwc: ABSENT,
        persist_conn_conn: ABSENT,
        g_panic: ABSENT,
        panic_retpc: ABSENT,
        routers: GoRouters::NONE,
        hidden: GoHidden::NONE,
        tls: GoTls::NONE,
        http2: GoHttp2::NONE,
        fasthttp: GoFasthttp::NONE,
        sqlite: GoSqlite::NONE,
        headers: GoHeaders::NONE,
        grpc: GoGrpc::NONE,
        heads: GoHeads::NONE,
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
    assert!(size_of::<GoLayout>() == 648);
    assert!(size_of::<GoKey>() == 16);
};
