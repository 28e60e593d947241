//! What the kernel programs must know of a binary to tell of requests over TLS and HTTP/2. All of it is there, or such
//! requests are not told: half of one would be wrong.

use apm_common::{go::GoHidden, settings::ABSENT};

use super::plan::{offset, pointer};
use crate::binary::go::GoBinary;

/// The three homes of Go's HTTP/2 server: its writers, and their state.
const HTTP2: [[&str; 2]; 3] = [
    ["net/http.http2responseWriter", "net/http.http2responseWriterState"],
    ["net/http/internal/http2.responseWriter", "net/http/internal/http2.responseWriterState"],
    ["golang.org/x/net/http2.responseWriter", "golang.org/x/net/http2.responseWriterState"],
];

/// The layout; `None`: something is missing.
pub(super) fn layout(binary: &GoBinary, bias: u64) -> Option<GoHidden> {
    let offset = |structure: &str, path: &str| offset(binary, structure, path);
    let [h2_state, h2_status] = http2(binary);
    let layout = GoHidden {
        tls_conn: pointer(binary, bias, "crypto/tls.Conn"),
        request_major: offset("net/http.Request", "ProtoMajor"),
        request_method: offset("net/http.Request", "Method"),
        request_url: offset("net/http.Request", "URL"),
        request_header: offset("net/http.Request", "Header"),
        request_host: offset("net/http.Request", "Host"),
        request_remote: offset("net/http.Request", "RemoteAddr"),
        request_tls: offset("net/http.Request", "TLS"),
        url_path: offset("net/url.URL", "Path"),
        url_query: offset("net/url.URL", "RawQuery"),
        response_status: offset("net/http.response", "status"),
        h2_state,
        h2_status,
    };
    let needed = [
        layout.request_method,
        layout.request_url,
        layout.request_header,
        layout.request_host,
        layout.request_remote,
        layout.request_tls,
        layout.url_path,
        layout.url_query,
        layout.response_status,
    ];
    (!needed.contains(&ABSENT)).then_some(layout)
}

/// Where a writer has its state, and that the status: the same in every HTTP/2 server of the binary, or absent.
fn http2(binary: &GoBinary) -> [u32; 2] {
    let servers = HTTP2.iter().filter(|[writer, _]| binary.type_address(writer).is_some());
    let mut places = servers.map(|[writer, state]| [offset(binary, writer, "rws"), offset(binary, state, "status")]);
    match (places.next(), places.next()) {
        (Some(first), None) => first,
        (Some(first), Some(second)) if first == second && places.all(|third| third == first) => first,
        _ => [ABSENT; 2],
    }
}
