//! Calls of gRPC: the caller's goroutine puts the fields together, and another one, `loopyWriter`, has them encoded and
//! framed. The array of the fields, which both have, says which call it is.

use apm_common::{
    counter::Counter,
    limits::{CALL_FIELDS, GO_CONTEXT_STEPS},
};
use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{
    super::{
        Hit,
        context::above,
        headers::{Name, name_of},
        member,
    },
    Buffer,
    frames::behind,
    note, noted, state_after,
    stopping::Stopped,
    way::{Direct, Way},
};
use crate::{
    maps::{CALL_NONE, CALL_WANTED, GoCall},
    registers::{Register, probed},
    ring::count,
};

/// Where `(*http2Client).NewStream` calls `(*http2Client).createHeaderFields(context, …)`.
#[uprobe]
pub fn go_grpc_fields(ctx: ProbeContext) -> u32 {
    if let Some(hit) = Hit::new(&ctx) {
        let call = called(&hit, [probed(&ctx, Register::Bx), probed(&ctx, Register::Cx)]);
        note(&hit, hit.goroutine, call);
    }
    0
}

/// The call whose `clientStream` has a context above this one.
#[inline(always)]
fn called(hit: &Hit, [mut table, mut address]: [u64; 2]) -> Option<GoCall> {
    for _ in 0..GO_CONTEXT_STEPS {
        if let Some(noted) = noted(hit, address) {
            let [_, context]: [u64; 2] = member(noted.about, hit.layout.grpc.call_ctx)?;
            // Another call may have begun there since.
            return (context == address).then(|| GoCall { asked: address, ..*noted });
        }
        [table, address] = above(hit, table, address)?;
    }
    None
}

/// Behind that call, whose first result are the fields.
#[uprobe]
pub fn go_grpc_fielded(ctx: ProbeContext) -> u32 {
    if let Some(hit) = Hit::new(&ctx) {
        let (fields, length) = (probed(&ctx, Register::Ax), probed(&ctx, Register::Bx));
        let call = noted(&hit, hit.goroutine).map(|call| *call);
        note(&hit, hit.goroutine, None);
        let call = call.filter(|_| match says_itself(&hit, fields, length) {
            Ok(()) => true,
            Err(reason) => {
                count(reason, 1);
                false
            }
        });
        note(&hit, fields, call);
    }
    0
}

/// Does the program send a place in a trace itself, by its fields?
#[inline(always)]
fn says_itself(hit: &Hit, fields: u64, length: u64) -> Result<(), Counter> {
    let heads = &hit.layout.heads;
    if fields == 0 || length > CALL_FIELDS as u64 {
        return Err(Counter::CallsNotWhole);
    }
    for number in 0..CALL_FIELDS {
        if number as u64 >= length {
            break;
        }
        let name = member(fields + number as u64 * heads.field_bytes as u64, heads.field_name);
        match name.map(name_of) {
            None => return Err(Counter::CallsNotWhole),
            Some(Name::Traceparent | Name::ElasticTraceparent | Name::Tracestate) => return Err(Counter::CallsPlaced),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Where a client's `loopyWriter` calls `(*loopyWriter).writeHeader(stream, …, fields, …)`.
#[uprobe]
pub fn go_grpc_head(ctx: ProbeContext) -> u32 {
    if let Some(hit) = Hit::new(&ctx) {
        let fields = probed(&ctx, Register::Di);
        let (about, stream) = (probed(&ctx, Register::Ax), probed(&ctx, Register::Bx) as u32);
        let call = noted(&hit, fields).map(|call| GoCall { about, stream, ..*call });
        note(&hit, fields, None);
        note(&hit, hit.goroutine, call);
    }
    0
}

/// Behind that call, which gives back an error.
#[uprobe]
pub fn go_grpc_headed(ctx: ProbeContext) -> u32 {
    let _ = headed::<Direct>(&ctx);
    0
}

/// The same, where the program has to be stopped for it.
#[uprobe]
pub fn go_grpc_headed_stopped(ctx: ProbeContext) -> u32 {
    let _ = headed::<Stopped>(&ctx);
    0
}

#[inline(always)]
fn headed<W: Way>(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let call = *noted(&hit, hit.goroutine)?;
    note(&hit, hit.goroutine, None);
    // Of a call that is over already nobody would tell what it carries.
    let kept = noted(&hit, call.asked)?;
    if probed(ctx, Register::Ax) != 0 || call.call.state != CALL_WANTED || kept.call.place.span != call.call.place.span
    {
        return None;
    }
    kept.call.state = CALL_NONE;
    kept.call.state = state_after(into_frame::<W>(&hit, &call));
    None
}

#[inline(always)]
fn into_frame<W: Way>(hit: &Hit, call: &GoCall) -> Result<u32, Counter> {
    let heads = &hit.layout.heads;
    let found = || {
        let block: u64 = member(call.about, heads.loopy_block)?;
        let [_, block]: [u64; 2] = member(block, heads.block)?;
        let framer: u64 = member(call.about, heads.loopy_framer)?;
        let writer: u64 = member(framer, heads.framer_writer)?;
        let slice = match heads.is_handle {
            0 => writer + heads.writer_buffer as u64,
            _ => member(writer, heads.writer_buffer)?,
        };
        Some((Buffer::of(writer, slice, heads.writer_used)?, block))
    };
    let (buffer, block) = found().ok_or(Counter::CallsNotWhole)?;
    behind::<W>(hit, call, &buffer, block, call.stream)
}
