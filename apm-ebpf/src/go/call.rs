//! Calls that Go programs make: for which request, by the context they are given.

use apm_common::propagation::{AT_SOCKETS, IN_MEMORY};
use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{
    Hit,
    context::{entered, registered},
    descent::{maker, request_for},
    member, trace,
};
use crate::{
    maps::{Call, GOROUTINES, Goroutine},
    propagate,
    registers::{Register, probed},
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
    let calls = request_for(&hit, &known, [probed(ctx, Register::Bx), probed(ctx, Register::Cx)]);
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
    let connection: [u64; 2] = member(probed(ctx, Register::Ax), hit.layout.persist_conn_conn)?;
    let state = hit.conversation(connection)?;
    // The request is the first member of what is passed.
    let request: u64 = member(probed(ctx, Register::Bx), 0)?;
    let context = member(request, hit.layout.request_ctx)?;
    // The goroutine's own request, if the context is none's.
    let known = entered(&hit, context).or_else(|| {
        let goroutine = hit.known()?;
        registered(&hit, goroutine.context).filter(|known| known.request == goroutine.handles)
    });
    let certain = match &known {
        Some(known) => known.request,
        None => hit.known().map_or(0, |goroutine| goroutine.handles),
    };
    state.owner = maker(&hit, certain);
    // Into what is sealed nothing can be written at the socket.
    if propagate::is_on(if hit.is_tls(connection[0]) { IN_MEMORY } else { AT_SOCKETS }) {
        state.call = known.map_or(Call::NONE, |known| propagate::wanted(trace::of(&hit, known)));
    }
    None
}
