//! What the kernel programs must know of a binary to tell of requests over TLS and HTTP/2. All of it is there, or such
//! requests are not told: half of one would be wrong.

use apm_common::{go::GoHidden, settings::ABSENT};

use super::plan::{offset, pointer};
use crate::binary::go::{GoBinary, Kind};

/// The three homes of Go's HTTP/2 server: its writers, and their state.
const HTTP2: [[&str; 2]; 3] = [
    ["net/http.http2responseWriter", "net/http.http2responseWriterState"],
    ["net/http/internal/http2.responseWriter", "net/http/internal/http2.responseWriterState"],
    ["golang.org/x/net/http2.responseWriter", "golang.org/x/net/http2.responseWriterState"],
];

/// A `http.Header`'s groups of slots.
struct Groups {
    bytes: u32,
    keys: [u32; 2],
    values: [u32; 2],
}

/// The layout; `None`: something is missing. Maps are as they are since Go 1.24.
pub(super) fn layout(binary: &GoBinary, bias: u64) -> Option<GoHidden> {
    let offset = |structure: &str, path: &str| offset(binary, structure, path);
    let [h2_state, h2_status] = http2(binary);
    let groups = groups(binary)?;
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
        map_directory: offset("internal/runtime/maps.Map", "dirPtr"),
        map_tables: offset("internal/runtime/maps.Map", "dirLen"),
        table_groups: offset("internal/runtime/maps.table", "groups.data"),
        table_mask: offset("internal/runtime/maps.table", "groups.lengthMask"),
        group_bytes: groups.bytes,
        keys: groups.keys,
        values: groups.values,
        reserved: 0,
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
        layout.map_directory,
        layout.map_tables,
        layout.table_groups,
        layout.table_mask,
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

/// The groups of a map from texts to lists of texts: control bytes, then eight slots of a key and a value each, or eight
/// keys and then eight values (`GOEXPERIMENT=mapsplitgroup`).
fn groups(binary: &GoBinary) -> Option<Groups> {
    let size = |address: u64| u32::try_from(binary.type_at(address)?.size).ok();
    let place = |offset: u64| u32::try_from(offset).ok();
    let group = binary.map_group(binary.type_address("net/http.Header")?)?;
    let fields = binary.fields(group);
    let element = |index: usize| binary.type_at(fields.get(index)?.type_address)?.element;
    let (keys, values) = match fields.as_slice() {
        [_, slots] => {
            let (start, slot) = (place(slots.offset)?, element(1)?);
            let [_, value] = <[_; 2]>::try_from(binary.fields(slot)).ok()?;
            ([start, size(slot)?], [start.checked_add(place(value.offset)?)?, size(slot)?])
        }
        [_, keys, values] => ([place(keys.offset)?, size(element(1)?)?], [place(values.offset)?, size(element(2)?)?]),
        _ => return None,
    };
    (binary.type_at(group)?.kind == Kind::Struct).then_some(Groups { bytes: size(group)?, keys, values })
}
