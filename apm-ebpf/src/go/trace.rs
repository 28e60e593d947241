//! The trace that a request is part of: its caller's, read off the headers of the `*http.Request`, or gRPC's metadata, or
//! one that begins with it.

use apm_common::{
    event::Text,
    propagation::{CONTINUE, Propagation, RESTART, STATE_BYTES, TRACEPARENT_BYTES, begun, number},
};
use aya_ebpf::bindings::BPF_NOEXIST;

use super::{Hit, headers::read, hidden::copy, member};
use crate::maps::{GO_CONTEXTS, GoContext, GoTrace, Goroutine, PROPAGATION, TRACE_STATES};

/// The trace that a request is part of. What its caller said of it is read when it is first asked for: most requests make
/// no call that could carry it. If two goroutines of the request ask at once, both find the same. A program that has
/// changed the headers by then has its call carry what user space knows not to be the request's trace.
#[inline(always)]
pub fn of(hit: &Hit, entered: &mut GoContext) -> GoTrace {
    let asked = kept!(entered.asked);
    if asked != 0 {
        read(hit, member(asked, hit.layout.hidden.request_header), &mut entered.headers);
        decide(hit, entered);
    }
    kept!(entered.trace)
}

/// The headers have been read.
#[inline(always)]
pub fn decide(hit: &Hit, entered: &mut GoContext) {
    let trace = by_headers(hit, entered);
    kept!(entered.trace = trace);
    kept!(entered.asked = 0);
}

/// The trace that the headers say. User space decides by the same rules (`correlate/trace_context.rs`); what these do not
/// decide is left open.
#[inline(always)]
fn by_headers(hit: &Hit, entered: &GoContext) -> GoTrace {
    let headers = &entered.headers;
    let Some(settings) = PROPAGATION.get_ptr(0) else { return GoTrace::UNKNOWN };
    // SAFETY: map values live until the program ends (RCU), and user space does not change this one.
    let settings = unsafe { &*settings };
    if settings.ways == 0 {
        return GoTrace::UNKNOWN;
    }
    let (traceparent, elastic, state) =
        (kept!(headers.traceparent), kept!(headers.elastic_traceparent), kept!(headers.tracestate));
    let is_clear = kept!(headers.is_unclear) == 0;
    let came_with_none = is_clear && traceparent[1] == 0 && elastic[1] == 0;
    match settings.continuation {
        _ if came_with_none => begins(settings, hit, entered),
        RESTART => begins(settings, hit, entered),
        CONTINUE if is_clear => {
            let trace = continued(if traceparent[1] != 0 { traceparent } else { elastic }).unwrap_or(GoTrace::UNKNOWN);
            if trace.id != [0; 2] && state[1] != 0 {
                keep_state(hit, entered.request, state);
            }
            trace
        }
        _ => GoTrace::UNKNOWN,
    }
}

#[inline(always)]
fn begins(settings: &Propagation, hit: &Hit, entered: &GoContext) -> GoTrace {
    let begun = begun(settings.seed, entered.time, hit.pid, entered.request);
    GoTrace { id: begun.trace, sampled: (begun.lot < settings.sampled_below) as u32, begins: 1 }
}

/// The trace of a valid `traceparent` of version 00.
#[inline(always)]
fn continued([address, length]: [u64; 2]) -> Option<GoTrace> {
    if length != TRACEPARENT_BYTES as u64 {
        return None;
    }
    let version: [u8; 3] = member(address, 0)?;
    let dashes: [u8; 2] = [member(address, 35)?, member(address, 52)?];
    if version != *b"00-" || dashes != *b"--" {
        return None;
    }
    let (high, low, parent) = (long(address, 3)?, long(address, 19)?, long(address, 36)?);
    // With six more digits before them.
    let end: [u8; 2] = member(address, 53)?;
    let flags = number(u64::from_be_bytes(*b"000000\0\0") | u16::from_be_bytes(end) as u64)?;
    if parent == 0 || high | low == 0 {
        return None;
    }
    Some(GoTrace { id: [high, low], sampled: flags & 1, begins: 0 })
}

/// Sixteen hexadecimal digits.
#[inline(always)]
fn long(address: u64, offset: u32) -> Option<u64> {
    let high = number(u64::from_be(member(address, offset)?))?;
    let low = number(u64::from_be(member(address, offset + 8)?))?;
    Some((high as u64) << 32 | low as u64)
}

/// Keeps the caller's `tracestate`, which goes on with calls.
#[inline(always)]
fn keep_state(hit: &Hit, request: u64, state: [u64; 2]) {
    static NONE: Text<STATE_BYTES> = Text { len: 0, bytes: [0; STATE_BYTES] };
    if state[1] > STATE_BYTES as u64 || TRACE_STATES.insert(hit.key(request), &NONE, BPF_NOEXIST.into()).is_err() {
        return;
    }
    if let Some(kept) = TRACE_STATES.get_ptr_mut(hit.key(request)) {
        // SAFETY: map values live until the program ends (RCU), and nobody else knows this one yet.
        unsafe { copy(kept, state) };
    }
}

/// The goroutine handles its request no more: what was kept of its trace goes.
#[inline(always)]
pub fn forget(hit: &Hit, known: &Goroutine) {
    let Some(entered) = GO_CONTEXTS.get_ptr(hit.key(known.context)) else { return };
    // SAFETY: map values live until the program ends (RCU).
    if unsafe { (*entered).trace.begins == 0 && (*entered).trace.id != [0; 2] } {
        let _ = TRACE_STATES.remove(hit.key(known.handles));
    }
}
