//! Calls that Go programs make: for which request, by the context they are given.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{Hit, descent::request_for, member};
use crate::{
    maps::{GOROUTINES, Goroutine},
    registers::{Register, probed},
    socket::connection,
};

/// Functions that make a call on their own goroutine, with the context as first argument after the receiver:
/// `database/sql.(*DB).queryDC` and its like.
#[uprobe]
pub fn go_call(ctx: ProbeContext) -> u32 {
    let _ = calling(&ctx);
    0
}

#[inline(always)]
fn calling(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let calls = request_for(&hit, [probed(ctx, Register::Bx), probed(ctx, Register::Cx)]);
    if let Some(known) = hit.known() {
        (known.calls, known.connection) = (calls, 0);
    } else if calls != 0 {
        let goroutine = Goroutine { calls, ..Goroutine::NONE };
        let _ = GOROUTINES.insert(hit.key(hit.goroutine), goroutine, 0);
    }
    None
}

/// `net/http.(*persistConn).roundTrip(request)`: another goroutine writes, but on this connection and nothing else before.
#[uprobe]
pub fn go_round_trip(ctx: ProbeContext) -> u32 {
    let _ = round_trip(&ctx);
    0
}

#[inline(always)]
fn round_trip(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let socket = hit.socket(member(probed(ctx, Register::Ax), hit.layout.persist_conn_conn)?)?;
    // The request is the first member of what is passed.
    let request: u64 = member(probed(ctx, Register::Bx), 0)?;
    let context = member(request, hit.layout.request_ctx)?;
    let calls = request_for(&hit, context);
    let handles = hit.known().map_or(0, |known| known.handles);
    connection(&socket)?.owner = if calls != 0 { calls } else { handles };
    None
}
