//! `google.golang.org/grpc`.

use crate::settings::ABSENT;

/// Where gRPC of one Go process keeps what is told of its requests and calls. Offsets as in [`GoLayout`](super::GoLayout).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoGrpc {
    /// Address of the type `*transport.http2Server`; 0: the binary has none.
    pub http2_server: u64,
    /// Address of the type `*transport.http2Client`; 0: the binary has none.
    pub http2_client: u64,
    /// Address of the type `credentials.TLSInfo`; 0: the binary has none.
    pub tls_info: u64,
    /// Address of the type `*net.TCPAddr`.
    pub tcp_address: u64,
    /// Address of the type `*context.valueCtx`.
    pub value_context: u64,
    /// Address of the type `metadata.MD`.
    pub metadata: u64,
    /// Address of the type `*status.Error`.
    pub status_error: u64,
    /// Address of the type `*errors.errorString`, such as `io.EOF` is.
    pub error_string: u64,
    /// Place in a `transport.ServerStream` of the pointer to its `Stream`; absent: it begins with that, or is one.
    pub stream: u32,
    /// `transport.Stream.ctx`
    pub stream_ctx: u32,
    /// `transport.Stream.method`
    pub stream_method: u32,
    /// Address of the peer in `transport.http2Server`
    pub server_peer: u32,
    /// Security in `transport.http2Server`
    pub server_security: u32,
    /// `transport.http2Client.remoteAddr`
    pub client_peer: u32,
    /// `transport.http2Client.authInfo`
    pub client_security: u32,
    /// `net.TCPAddr.IP`
    pub tcp_ip: u32,
    /// `net.TCPAddr.Port`
    pub tcp_port: u32,
    /// `context.valueCtx.val`
    pub context_value: u32,
    /// `status.Status.s`
    pub status: u32,
    /// `google.rpc.Status.Code`
    pub status_code: u32,
    /// `status.Error.s`
    pub error_status: u32,
    /// `grpc.clientStream.ctx`
    pub call_ctx: u32,
    /// `grpc.clientStream.attempt`
    pub call_attempt: u32,
    /// `grpc.clientStream.callHdr`
    pub call_header: u32,
    /// `transport.CallHdr.Method`
    pub header_method: u32,
    /// `transport.CallHdr.Host`
    pub header_host: u32,
    /// The transport in `grpc.csAttempt`
    pub attempt_transport: u32,
    /// Always 0.
    pub reserved: u32,
}

impl GoGrpc {
    /// Nothing is told.
    pub const NONE: GoGrpc = GoGrpc {
        http2_server: 0,
        http2_client: 0,
        tls_info: 0,
        tcp_address: 0,
        value_context: 0,
        metadata: 0,
        status_error: 0,
        error_string: 0,
        stream: ABSENT,
        stream_ctx: ABSENT,
        stream_method: ABSENT,
        server_peer: ABSENT,
        server_security: ABSENT,
        client_peer: ABSENT,
        client_security: ABSENT,
        tcp_ip: ABSENT,
        tcp_port: ABSENT,
        context_value: ABSENT,
        status: ABSENT,
        status_code: ABSENT,
        error_status: ABSENT,
        call_ctx: ABSENT,
        call_attempt: ABSENT,
        call_header: ABSENT,
        header_method: ABSENT,
        header_host: ABSENT,
        attempt_transport: ABSENT,
        reserved: 0,
    };
}
