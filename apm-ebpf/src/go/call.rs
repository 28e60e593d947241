//! Calls that Go programs make: for which request, by the context they are given.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{Hit, context::request_of, member};
use crate::{
    maps::{GOROUTINES, Goroutine},
    registers::{Register, probed},
    socket::connection,
};

/// Functions that make a call on their own goroutine, with the context as first argument after the receiver:
/// `database/sql.(*DB).conn` and its like.
#[uprobe]
pub fn go_call(ctx: ProbeContext) -> u32 {
    let _ = calling(&ctx);
    0
}

#[inline(always)]
fn calling(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let known = hit.known();
    let calls = request_of(&hit, own(&known), [probed(ctx, Register::Bx), probed(ctx, Register::Cx)]);
    if let Some(known) = known {
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
    let own = own(&hit.known());
    let by_context = request_of(&hit, own, context);
    connection(&socket)?.owner = if by_context != 0 { by_context } else { own.0 };
    None
}

/// The request that the goroutine handles, and its context.
#[inline(always)]
fn own(known: &Option<&'static mut Goroutine>) -> (u64, u64) {
    known.as_ref().map_or((0, 0), |known| (known.handles, known.context))
}
