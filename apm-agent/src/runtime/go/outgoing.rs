//! What the kernel programs must know of a binary to tell of calls that the wire does not show.

use apm_common::{
    outgoing::{GoHttp2, GoTls},
    settings::ABSENT,
};

use super::plan::{offset, pointer};
use crate::binary::go::GoBinary;

/// Where `crypto/tls` has the plain text of its clients; `None`: something is missing.
pub(super) fn tls(binary: &GoBinary, bias: u64) -> Option<GoTls> {
    // Else there are no clients, and servers need not pay.
    binary.function("crypto/tls.(*Conn).clientHandshake")?;
    let offset = |path: &str| offset(binary, "crypto/tls.Conn", path);
    let layout = GoTls {
        conn: pointer(binary, bias, "crypto/tls.Conn"),
        inner: offset("conn"),
        is_client: offset("isClient"),
        input: offset("input.s"),
        input_read: offset("input.i"),
    };
    let needed = [layout.inner, layout.is_client, layout.input, layout.input_read];
    (layout.conn != 0 && !needed.contains(&ABSENT)).then_some(layout)
}

/// A home of Go's HTTP/2 client: its package, types of its streams, of itself, of requests and of answers.
pub(super) struct Home {
    pub(super) package: &'static str,
    pub(super) stream: &'static str,
    pub(super) client: &'static str,
    pub(super) request: &'static str,
    response: &'static str,
}

/// In `net/http` itself up to Go 1.26, beside it from 1.27 on, and in golang.org/x/net.
pub(super) const HOMES: [Home; 3] = [
    Home {
        package: "net/http",
        stream: "net/http.http2clientStream",
        client: "net/http.http2ClientConn",
        request: "net/http.Request",
        response: "net/http.Response",
    },
    Home {
        package: "net/http/internal/http2",
        stream: "net/http/internal/http2.clientStream",
        client: "net/http/internal/http2.ClientConn",
        request: "net/http/internal/http2.ClientRequest",
        response: "net/http/internal/http2.ClientResponse",
    },
    Home {
        package: "golang.org/x/net/http2",
        stream: "golang.org/x/net/http2.clientStream",
        client: "golang.org/x/net/http2.ClientConn",
        request: "net/http.Request",
        response: "net/http.Response",
    },
];

/// Where a client of HTTP/2 has its calls, and the packages of the binary in which it is so: `net/http`'s own goes first,
/// and another version of golang.org/x/net has its members elsewhere.
pub(super) fn http2(binary: &GoBinary) -> Option<(GoHttp2, Vec<&'static str>)> {
    let homes = HOMES.iter().filter(|home| binary.type_address(home.stream).is_some());
    let layouts: Vec<_> = homes.map(|home| (of_home(binary, home), home.package)).collect();
    let (first, _) = *layouts.first()?;
    let needed = [
        first.stream_ctx,
        first.stream_response,
        first.stream_sent,
        first.response_status,
        first.request_method,
        first.request_url,
        first.url_scheme,
        first.url_host,
        first.url_path,
        first.url_raw_path,
        first.url_query,
    ];
    let alike = layouts.iter().filter(|(layout, _)| *layout == first).map(|(_, package)| *package).collect();
    (!needed.contains(&ABSENT)).then_some((first, alike))
}

fn of_home(binary: &GoBinary, home: &Home) -> GoHttp2 {
    let offset = |structure: &str, path: &str| offset(binary, structure, path);
    GoHttp2 {
        g_parent: offset("runtime.g", "parentGoid"),
        stream_ctx: offset(home.stream, "ctx"),
        stream_client: offset(home.stream, "cc"),
        stream_response: offset(home.stream, "res"),
        stream_sent: offset(home.stream, "sentHeaders"),
        client_conn: offset(home.client, "tconn"),
        response_status: offset(home.response, "StatusCode"),
        request_method: offset(home.request, "Method"),
        request_url: offset(home.request, "URL"),
        url_scheme: offset("net/url.URL", "Scheme"),
        url_host: offset("net/url.URL", "Host"),
        url_path: offset("net/url.URL", "Path"),
        url_raw_path: offset("net/url.URL", "RawPath"),
        url_query: offset("net/url.URL", "RawQuery"),
    }
}
