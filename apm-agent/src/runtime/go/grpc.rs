//! What the kernel programs must know of a binary to tell of gRPC. All of it is there, or gRPC is not told.

use apm_common::{go::GoGrpc, settings::ABSENT};

use super::plan::{offset, pointer, value};
use crate::binary::go::{GoBinary, Kind};

const SERVER: &str = "google.golang.org/grpc/internal/transport.http2Server";
const CLIENT: &str = "google.golang.org/grpc/internal/transport.http2Client";
const STREAM: &str = "google.golang.org/grpc/internal/transport.Stream";
/// The server's streams, since 1.69 with a stream in them.
const SERVER_STREAM: &str = "google.golang.org/grpc/internal/transport.ServerStream";
const CALL: &str = "google.golang.org/grpc.clientStream";
const ATTEMPT: &str = "google.golang.org/grpc.csAttempt";
const HEADER: &str = "google.golang.org/grpc/internal/transport.CallHdr";

/// What servers need; `None`: something is missing.
pub(super) fn server(binary: &GoBinary, bias: u64) -> Option<GoGrpc> {
    let layout = common(binary, bias);
    let (stream, place) = stream(binary)?;
    let place = |member| u32::try_from(binary.field(STREAM, member)?).ok()?.checked_add(place);
    let layout = GoGrpc {
        http2_server: pointer(binary, bias, SERVER),
        value_context: pointer(binary, bias, "context.valueCtx"),
        metadata: value(binary, bias, "google.golang.org/grpc/metadata.MD"),
        stream,
        stream_ctx: place("ctx")?,
        stream_method: place("method")?,
        // Since 1.58 within a `peer.Peer`.
        server_peer: either(offset(binary, SERVER, "remoteAddr"), offset(binary, SERVER, "peer.Addr")),
        server_security: either(offset(binary, SERVER, "authInfo"), offset(binary, SERVER, "peer.AuthInfo")),
        context_value: offset(binary, "context.valueCtx", "val"),
        ..layout
    };
    let addresses = [layout.http2_server, layout.value_context, layout.metadata, layout.tcp_address];
    let places = [layout.server_peer, layout.server_security, layout.context_value, layout.status, layout.status_code];
    (!addresses.contains(&0) && !places.contains(&ABSENT)).then_some(layout)
}

/// What clients need, besides what is known; `None`: something is missing.
pub(super) fn client(binary: &GoBinary, bias: u64, known: GoGrpc) -> Option<GoGrpc> {
    let common = common(binary, bias);
    let layout = GoGrpc {
        http2_client: pointer(binary, bias, CLIENT),
        client_peer: offset(binary, CLIENT, "remoteAddr"),
        client_security: offset(binary, CLIENT, "authInfo"),
        call_ctx: offset(binary, CALL, "ctx"),
        call_attempt: offset(binary, CALL, "attempt"),
        call_header: offset(binary, CALL, "callHdr"),
        header_method: offset(binary, HEADER, "Method"),
        header_host: offset(binary, HEADER, "Host"),
        // `t` up to 1.67.
        attempt_transport: either(offset(binary, ATTEMPT, "transport"), offset(binary, ATTEMPT, "t")),
        tls_info: common.tls_info,
        tcp_address: common.tcp_address,
        tcp_ip: common.tcp_ip,
        tcp_port: common.tcp_port,
        status: common.status,
        status_code: common.status_code,
        status_error: pointer(binary, bias, "google.golang.org/grpc/internal/status.Error"),
        error_string: pointer(binary, bias, "errors.errorString"),
        error_status: offset(binary, "google.golang.org/grpc/internal/status.Error", "s"),
        ..known
    };
    let addresses = [layout.http2_client, layout.tcp_address, layout.status_error, layout.error_string];
    let places = [
        layout.client_peer,
        layout.client_security,
        layout.call_ctx,
        layout.call_attempt,
        layout.call_header,
        layout.header_method,
        layout.header_host,
        layout.attempt_transport,
        layout.error_status,
        layout.status,
        layout.status_code,
    ];
    (!addresses.contains(&0) && !places.contains(&ABSENT)).then_some(layout)
}

/// What both need. A program without TLS has no `TLSInfo`.
fn common(binary: &GoBinary, bias: u64) -> GoGrpc {
    GoGrpc {
        tls_info: value(binary, bias, "google.golang.org/grpc/credentials.TLSInfo"),
        tcp_address: pointer(binary, bias, "net.TCPAddr"),
        tcp_ip: offset(binary, "net.TCPAddr", "IP"),
        tcp_port: offset(binary, "net.TCPAddr", "Port"),
        status: offset(binary, "google.golang.org/grpc/internal/status.Status", "s"),
        status_code: offset(binary, "google.golang.org/genproto/googleapis/rpc/status.Status", "Code"),
        ..GoGrpc::NONE
    }
}

/// Where a server's stream has its `Stream`: behind a pointer at the first place (1.69 to 1.76), or at the second.
fn stream(binary: &GoBinary) -> Option<(u32, u32)> {
    let Some(outer) = binary.type_address(SERVER_STREAM) else { return Some((ABSENT, 0)) };
    let field = binary.fields(outer).into_iter().find(|field| field.name == "Stream")?;
    let place = u32::try_from(field.offset).ok()?;
    match binary.type_at(field.type_address)?.kind {
        Kind::Pointer => Some((place, 0)),
        Kind::Struct => Some((ABSENT, place)),
        _ => None,
    }
}

fn either(one: u32, other: u32) -> u32 {
    if one == ABSENT { other } else { one }
}
