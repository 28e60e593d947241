//! Requests that the wire does not show, over TLS or HTTP/2: what is asked is read from the `*http.Request` that is to be
//! handled, and the answer's status where the handler has done.

use apm_common::event::{ANSWERED_FAILED, ASKED_HTTP2, ASKED_TLS, AnsweredBody, AskedBody, EventHeader, Text, kind};
use aya_ebpf::{helpers::generated::bpf_probe_read_user as read_user_bytes, macros::uprobe, programs::ProbeContext};

use super::{
    Hit, bounded, member, text,
    trace::{self, forget},
};
use crate::{
    maps::{GO_CONTEXTS, GoTraceHeaders, Goroutine, HIDDEN_HTTP},
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
};

/// Status of an answer that is not known.
pub const NO_STATUS: u64 = 0;

/// Is it a request over HTTP/2?
#[inline(always)]
pub fn is_http2(hit: &Hit, request: u64) -> bool {
    member::<u64>(request, hit.layout.hidden.request_major) == Some(2)
}

/// Tells what is asked, by a request that was entered by its context.
#[inline(always)]
pub fn tell_asked(hit: &Hit, head: EventHeader, context: u64, request: u64) -> Option<()> {
    let hidden = &hit.layout.hidden;
    // SAFETY: map values live until the program ends (RCU), and the handler that will speak of it has not begun.
    let entered = unsafe { &mut *GO_CONTEXTS.get_ptr_mut(hit.key(context))? };
    trace::of(hit, entered);
    let tls: u64 = member(request, hidden.request_tls)?;
    let url: u64 = member(request, hidden.request_url)?;
    let flags = if tls != 0 { ASKED_TLS } else { 0 } | if is_http2(hit, request) { ASKED_HTTP2 } else { 0 };
    let mut slot = reserve::<AskedBody>()?;
    let record: *mut Record<AskedBody> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record. Every length is written, and nobody reads bytes behind one.
    unsafe {
        (&raw mut (*record).header).write(EventHeader { kind: kind::ASKED, flags, ..head });
        let body = &raw mut (*record).body;
        (&raw mut (*body).request).write(entered.request);
        copy(&raw mut (*body).method, text(request, hidden.request_method));
        copy(&raw mut (*body).path, text(url, hidden.url_path));
        copy(&raw mut (*body).query, text(url, hidden.url_query));
        copy(&raw mut (*body).host, text(request, hidden.request_host));
        copy(&raw mut (*body).remote, text(request, hidden.request_remote));
        copy_trace(body, &entered.headers);
    }
    submit(slot);
    Some(())
}

/// Copies what the caller said of the trace.
///
/// # Safety
/// `body` is valid for writes.
#[inline(always)]
pub unsafe fn copy_trace(body: *mut AskedBody, headers: &GoTraceHeaders) {
    // SAFETY: the caller's.
    unsafe {
        copy(&raw mut (*body).traceparent, headers.traceparent);
        copy(&raw mut (*body).elastic_traceparent, headers.elastic_traceparent);
        copy(&raw mut (*body).tracestate, headers.tracestate);
    }
}

/// Copies a text, cut where there is no room for more.
///
/// # Safety
/// `to` is valid for writes.
#[inline(always)]
pub unsafe fn copy<const N: usize>(to: *mut Text<N>, [address, length]: [u64; 2]) {
    let length = bounded::<N>(length);
    // SAFETY: the caller's; there is room for `length`.
    unsafe {
        let read = read_user_bytes((&raw mut (*to).bytes).cast(), length as u32, address as *const _);
        (&raw mut (*to).len).write(if read == 0 { length } else { 0 });
    }
}

/// Nothing leads to the request any more that a goroutine handles.
#[inline(always)]
pub fn leave(hit: &Hit, known: &Goroutine) {
    forget(hit, known);
    let _ = GO_CONTEXTS.remove(hit.key(known.context));
}

/// The goroutine handles its request no more. Tells of the end, if the wire does not.
#[inline(always)]
pub fn done(hit: &Hit, known: &mut Goroutine, flags: u16, status: u64) {
    let (request, is_hidden) = (known.handles, known.is_hidden);
    leave(hit, known);
    *known = Goroutine { serves: known.serves, visit: known.visit, ..Goroutine::NONE };
    if is_hidden != 0
        && let Some(mut slot) = reserve()
    {
        slot.write(Record { header: header(kind::ANSWERED, flags), body: AnsweredBody { request, status } });
        submit(slot);
    }
}

/// `(*http2responseWriter).handlerDone()`. An answer whose status nobody set is 200.
#[uprobe]
pub fn go_http2_handled(ctx: ProbeContext) -> u32 {
    if let Some(hit) = Hit::new(&ctx)
        && let Some(known) = hit.known()
    {
        let hidden = &hit.layout.hidden;
        let state: u64 = member(probed(&ctx, Register::Ax), hidden.h2_state).unwrap_or(0);
        let status = match member(state, hidden.h2_status) {
            Some(0) => 200,
            Some(status) => status,
            None => NO_STATUS,
        };
        done(&hit, known, 0, status);
        hit.forget();
    }
    0
}

/// Where what `(*http2serverConn).runHandler` defers recovers: the handler panicked, or ended its goroutine.
#[uprobe]
pub fn go_gave_up(ctx: ProbeContext) -> u32 {
    end_hidden(&ctx, ANSWERED_FAILED);
    0
}

/// `(*response).Hijack()`: the handler goes on with the connection, and nobody sees what it says there.
#[uprobe]
pub fn go_hijack(ctx: ProbeContext) -> u32 {
    end_hidden(&ctx, 0);
    0
}

#[inline(always)]
fn end_hidden(ctx: &ProbeContext, flags: u16) {
    if let Some(hit) = Hit::new(ctx)
        && let Some(known) = hit.known()
        && known.is_hidden == HIDDEN_HTTP
    {
        done(&hit, known, flags, NO_STATUS);
        hit.forget();
    }
}
