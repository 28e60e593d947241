//! Requests that `net/http` handles: from `serverHandler.ServeHTTP` to `(*response).finishRequest`.

use apm_common::event::{HandleBody, kind};
use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::uprobe, programs::ProbeContext};

use super::{Hit, ITAB_TYPE, member};
use crate::{
    maps::{GO_CONTEXTS, GOROUTINES, GoContext, Goroutine},
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
};

/// Bits of a request's number that are its goroutine's, above those of the time.
const GOROUTINE_BITS: u64 = 17;
const TIME_BITS: u64 = 24;

/// Names a request within its process: a goroutine handles one request at a time, in no less than a microsecond. Numbers
/// come again after 17 seconds, but only on the same goroutine (or one of 131,072) and in the same microsecond of them.
#[inline(always)]
fn number(goroutine: u64) -> u64 {
    // SAFETY: no preconditions.
    let time = unsafe { bpf_ktime_get_ns() } >> 10;
    let number = (goroutine & ((1 << GOROUTINE_BITS) - 1)) << TIME_BITS | time & ((1 << TIME_BITS) - 1);
    if number == 0 { 1 } else { number }
}

/// `serverHandler.ServeHTTP(handler, writer, request)`
#[uprobe]
pub fn go_handle(ctx: ProbeContext) -> u32 {
    let _ = handling(&ctx);
    0
}

#[inline(always)]
fn handling(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let [_, context]: [u64; 2] = member(probed(ctx, Register::Di), hit.layout.request_ctx)?;
    let content = member(context, 0)?;
    let request = number(hit.goroutine);
    let goroutine = Goroutine { handles: request, context, ..Goroutine::NONE };
    GOROUTINES.insert(hit.key(hit.goroutine), goroutine, 0).ok()?;
    GO_CONTEXTS.insert(hit.key(context), GoContext { request, content }, 0).ok()?;
    let connection = connection(&hit, [probed(ctx, Register::Bx), probed(ctx, Register::Cx)]).unwrap_or(0);
    let mut slot = reserve()?;
    slot.write(Record { header: header(kind::HANDLE, 0), body: HandleBody { request, connection } });
    submit(slot);
    None
}

/// The connection an HTTP/1 response goes to.
#[inline(always)]
fn connection(hit: &Hit, [table, writer]: [u64; 2]) -> Option<u64> {
    let kind: u64 = member(table, ITAB_TYPE)?;
    if kind == 0 || kind != hit.layout.http_response {
        return None;
    }
    let connection: u64 = member(writer, hit.layout.response_conn)?;
    Some(hit.socket(member(connection, hit.layout.conn_rwc)?)?.inode)
}

/// `(*response).finishRequest()`: before the rest of the answer goes out. The request may not be asked for its context:
/// the program may have put another in its place.
#[uprobe]
pub fn go_handled(ctx: ProbeContext) -> u32 {
    let _ = handled(&ctx);
    0
}

#[inline(always)]
fn handled(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let known = hit.known()?;
    let _ = GO_CONTEXTS.remove(hit.key(known.context));
    let _ = GOROUTINES.remove(hit.key(hit.goroutine));
    None
}
