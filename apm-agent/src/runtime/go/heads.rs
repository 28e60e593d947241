//! What the kernel programs must know of a binary to write into the heads of its calls: each kind of call for itself, all of
//! it or none.

use apm_common::{outgoing::GoHeads, settings::ABSENT};

use super::{
    outgoing::{HOMES, Home},
    plan::{offset, pointer, value},
};
use crate::binary::go::GoBinary;

const LOOPY: &str = "google.golang.org/grpc/internal/transport.loopyWriter";
const FRAMER: &str = "google.golang.org/grpc/internal/transport.framer";
const WRITER: &str = "google.golang.org/grpc/internal/transport.bufWriter";
const FIELD: &str = "golang.org/x/net/http2/hpack.HeaderField";

/// What all kinds need; `None`: something is missing.
pub(super) fn buffered(binary: &GoBinary, bias: u64) -> Option<GoHeads> {
    let layout = GoHeads {
        buffered: pointer(binary, bias, "bufio.Writer"),
        buffer: offset(binary, "bufio.Writer", "buf"),
        buffer_used: offset(binary, "bufio.Writer", "n"),
        buffer_under: offset(binary, "bufio.Writer", "wr"),
        ..GoHeads::NONE
    };
    let needed = [layout.buffer, layout.buffer_used, layout.buffer_under];
    (layout.buffered != 0 && !needed.contains(&ABSENT)).then_some(layout)
}

/// What calls over TLS and HTTP/1 need besides.
pub(super) fn http1(binary: &GoBinary, bias: u64, known: GoHeads) -> Option<GoHeads> {
    let persist_writer = value(binary, bias, "net/http.persistConnWriter");
    (persist_writer != 0).then_some(GoHeads { persist_writer, ..known })
}

/// What calls over HTTP/2 need besides, and in which of these packages it is so.
pub(super) fn http2(
    binary: &GoBinary,
    known: GoHeads,
    packages: &[&'static str],
) -> Option<(GoHeads, Vec<&'static str>)> {
    let homes = HOMES.iter().filter(|home| packages.contains(&home.package));
    let layouts: Vec<_> = homes.map(|home| (of_home(binary, known, home), home.package)).collect();
    let (first, _) = *layouts.first()?;
    let needed = [first.request_header, first.stream_id, first.client_frames, first.client_block];
    let alike = layouts.iter().filter(|(layout, _)| *layout == first).map(|(_, package)| *package).collect();
    (!needed.contains(&ABSENT)).then_some((first, alike))
}

fn of_home(binary: &GoBinary, known: GoHeads, home: &Home) -> GoHeads {
    GoHeads {
        request_header: offset(binary, home.request, "Header"),
        stream_id: offset(binary, home.stream, "ID"),
        client_frames: offset(binary, home.client, "bw"),
        client_block: offset(binary, home.client, "hbuf.buf"),
        ..known
    }
}

/// What calls of gRPC need besides.
pub(super) fn grpc(binary: &GoBinary, known: GoHeads) -> Option<GoHeads> {
    // Behind a pointer since 1.73.
    let (direct, handle) = (offset(binary, WRITER, "buf"), offset(binary, WRITER, "bufHandle"));
    let field = binary.type_address(FIELD).and_then(|address| binary.type_at(address));
    let layout = GoHeads {
        loopy_framer: offset(binary, LOOPY, "framer"),
        loopy_block: offset(binary, LOOPY, "hBuf"),
        block: offset(binary, "bytes.Buffer", "buf"),
        framer_writer: offset(binary, FRAMER, "writer"),
        writer_buffer: if handle == ABSENT { direct } else { handle },
        writer_used: offset(binary, WRITER, "offset"),
        is_handle: u32::from(handle != ABSENT),
        field_bytes: field.and_then(|field| u32::try_from(field.size).ok()).unwrap_or(ABSENT),
        field_name: offset(binary, FIELD, "Name"),
        ..known
    };
    let needed = [
        layout.loopy_framer,
        layout.loopy_block,
        layout.block,
        layout.framer_writer,
        layout.writer_buffer,
        layout.writer_used,
        layout.field_bytes,
        layout.field_name,
    ];
    (!needed.contains(&ABSENT)).then_some(layout)
}
