//! Calls over HTTP/2: behind the frame that holds all of the call's header block, which lies at the end of a buffer.

use apm_common::counter::Counter;
use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{
    super::{Hit, member},
    Buffer, LONGEST_BLOCK, noted, says_itself, state_after,
    stopping::Stopped,
    way::{Direct, Way},
    write,
};
use crate::{
    maps::{CALL_NONE, CALL_WANTED, GoCall},
    registers::{Register, probed},
};

/// Where `(*ClientConn).writeHeaders` calls `(*bufio.Writer).Flush()`: with the frames of one call.
#[uprobe]
pub fn go_http2_head(ctx: ProbeContext) -> u32 {
    let _ = head::<Direct>(&ctx);
    0
}

/// The same, where the program has to be stopped for it.
#[uprobe]
pub fn go_http2_head_stopped(ctx: ProbeContext) -> u32 {
    let _ = head::<Stopped>(&ctx);
    0
}

#[inline(always)]
fn head<W: Way>(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let noted = noted(&hit, hit.goroutine)?;
    if noted.call.state != CALL_WANTED {
        return None;
    }
    noted.call.state = CALL_NONE;
    let heads = &hit.layout.heads;
    let headers = member(noted.asked, heads.request_header);
    let written = says_itself(&hit, headers, &mut noted.headers)
        .and_then(|()| into_frame::<W>(&hit, noted, probed(ctx, Register::Ax)));
    noted.call.state = state_after(written);
    None
}

#[inline(always)]
fn into_frame<W: Way>(hit: &Hit, noted: &GoCall, writer: u64) -> Result<u32, Counter> {
    let heads = &hit.layout.heads;
    let found = || {
        let client: u64 = member(noted.about, hit.layout.http2.stream_client)?;
        let stream: u32 = member(noted.about, heads.stream_id)?;
        let [_, block]: [u64; 2] = member(client, heads.client_block)?;
        let buffer = Buffer::of(writer, writer + heads.buffer as u64, heads.buffer_used)?;
        let is_its: u64 = member(client, heads.client_frames)?;
        (is_its == writer).then_some((buffer, block, stream))
    };
    let (buffer, block, stream) = found().ok_or(Counter::CallsNotWhole)?;
    behind::<W>(hit, noted, &buffer, block, stream)
}

/// Writes behind a frame at the buffer's end, if that is the only one of this stream's header block.
#[inline(always)]
pub fn behind<W: Way>(hit: &Hit, noted: &GoCall, buffer: &Buffer, block: u64, stream: u32) -> Result<u32, Counter> {
    let whole = FRAME_HEADER + block;
    if block == 0 || block > LONGEST_BLOCK || buffer.used > buffer.room || whole > buffer.used {
        return Err(Counter::CallsNotWhole);
    }
    let at = buffer.start + buffer.used - whole;
    let header: [u8; FRAME_HEADER as usize] = member(at, 0).ok_or(Counter::CallsNotWhole)?;
    let [high, middle, low, kind, flags, rest @ ..] = header;
    let length = (high as u64) << 16 | (middle as u64) << 8 | low as u64;
    let is_whole = length == block && kind == HEADERS && flags & (END_HEADERS | PADDED | PRIORITY) == END_HEADERS;
    if !is_whole || u32::from_be_bytes(rest) != stream {
        return Err(Counter::CallsNotWhole);
    }
    write::<W>(hit, noted, buffer, Some([at, block]))
}

/// Bytes of a frame before what it holds; its type and flags (RFC 9113, sections 4.1 and 6.2).
const FRAME_HEADER: u64 = 9;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
