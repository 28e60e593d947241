//! The place in the trace goes into calls that no socket shows, over TLS, HTTP/2 and gRPC: into the buffer in which the
//! program has just put the call's head together, behind what is there, while the goroutine that fills it stands at a probe.
//!
//! Only bytes that the buffer's own length says are free are written, then that length; nothing that points anywhere. What
//! lies in the buffer is compared with what should: where it is anything else, the call goes as it is.

mod frames;
mod grpc;
mod http1;
mod stopping;
mod way;

use apm_common::{
    counter::Counter,
    event::{CarryingBody, Text, kind},
    propagation::IN_MEMORY,
};

use self::way::{Order, Way};
use super::{Hit, context::registered, headers::read, member, trace};
use crate::{
    maps::{
        CALL_CARRIES, CALL_NONE, CALL_WANTED, CALL_WRITING, Call, GO_CALLS, GoCall, GoContext, GoTraceHeaders,
        STOP_WRITTEN, WRITES,
    },
    propagate::{self, Lines},
    ring::{Record, count, header, reserve, submit},
};

/// Longest header block that something is added to: with that it fits into every frame (RFC 9113, section 4.2).
const LONGEST_BLOCK: u64 = 8192;

/// What is to be sent along with a call for this request; `None`: nothing.
#[inline(always)]
pub fn wanted(hit: &Hit, known: Option<&'static mut GoContext>) -> Option<GoCall> {
    let known = known.filter(|_| propagate::is_on(IN_MEMORY))?;
    let (call, request) = (propagate::wanted(trace::of(hit, known)), known.request);
    (call.state == CALL_WANTED).then_some(GoCall { call, request, ..GoCall::NONE })
}

/// What is known of the request that a goroutine handles itself.
#[inline(always)]
pub fn handled(hit: &Hit, context: u64, request: u64) -> Option<&'static mut GoContext> {
    registered(hit, context).filter(|known| known.request == request && request != 0)
}

/// A call is noted where it will be looked for, in place of one that was there.
#[inline(always)]
pub fn note(hit: &Hit, place: u64, call: Option<GoCall>) {
    let _ = match call {
        Some(call) => GO_CALLS.insert(hit.key(place), call, 0),
        None => GO_CALLS.remove(hit.key(place)),
    };
}

/// The call that was noted at a place.
#[inline(always)]
fn noted(hit: &Hit, place: u64) -> Option<&'static mut GoCall> {
    // SAFETY: map values live until the program ends (RCU), and only who sees to the call writes its own.
    GO_CALLS.get_ptr_mut(hit.key(place)).map(|call| unsafe { &mut *call })
}

/// A call is over: tells what it carried, before its end is told.
#[inline(always)]
pub fn over(hit: &Hit, place: u64, call: u64) {
    let Some(noted) = noted(hit, place) else { return };
    if carries(&noted.call)
        && let Some(mut slot) = reserve()
    {
        slot.write(Record { header: header(kind::CARRYING, 0), body: CarryingBody { call, place: noted.call.place } });
        submit(slot);
    }
    note(hit, place, None);
}

/// Was its place written? Asked once of each call.
#[inline(always)]
pub fn carries(call: &Call) -> bool {
    if call.state != CALL_WRITING {
        return call.state == CALL_CARRIES;
    }
    let is_written = STOP_WRITTEN.get_ptr(call.place.span).is_some();
    count(if is_written { Counter::CallsCarrying } else { Counter::CallsWriteFailed }, 1);
    is_written
}

/// A buffer in which the program puts something together.
struct Buffer {
    /// Where it begins, and its length.
    start: u64,
    room: u64,
    /// Where it stands how much of it is used, and how much that is.
    used_at: u64,
    used: u64,
}

impl Buffer {
    /// A structure that has a slice and the number of bytes used of it.
    #[inline(always)]
    fn of(structure: u64, slice: u64, used: u32) -> Option<Self> {
        let [start, room]: [u64; 2] = member(slice, 0)?;
        Some(Self { start, room, used_at: structure + used as u64, used: member(structure, used)? })
    }
}

/// Does the program send a place in a trace itself, by its map of headers?
#[inline(always)]
fn says_itself(hit: &Hit, headers: Option<u64>, found: &mut GoTraceHeaders) -> Result<(), Counter> {
    read(hit, headers, found);
    let (one, two, state) = (kept!(found.traceparent), kept!(found.elastic_traceparent), kept!(found.tracestate));
    if one[1] | two[1] | state[1] != 0 {
        return Err(Counter::CallsPlaced);
    }
    if kept!(found.is_unclear) == 0 { Ok(()) } else { Err(Counter::CallsNotWhole) }
}

/// The lines, or fields, of a call go behind what is in the buffer. `frame`: address of the frame at the buffer's end, and
/// the length of what it holds.
#[inline(always)]
fn write<W: Way>(hit: &Hit, noted: &GoCall, buffer: &Buffer, frame: Option<[u64; 2]>) -> Result<u32, Counter> {
    static NONE: Text<{ size_of::<Lines>() - 8 }> = Text { len: 0, bytes: [0; size_of::<Lines>() - 8] };
    let key = hit.key(hit.goroutine);
    WRITES.insert(key, &NONE, 0).map_err(|_| Counter::CallsNoRoom)?;
    let lines = WRITES.get_ptr_mut(key).ok_or(Counter::CallsNoRoom)?.cast::<Lines>();
    // SAFETY: it is as large, and this goroutine's own.
    let lines = unsafe { &mut *lines };
    let caller = hit.key(noted.request);
    let length = match frame {
        Some(_) => lines.as_fields(&noted.call, caller),
        None => lines.as_lines(&noted.call, caller),
    };
    length.ok_or(Counter::CallsNoRoom)?;
    let length = kept!(lines.len);
    if buffer.used > buffer.room || length > buffer.room - buffer.used {
        return Err(Counter::CallsNoRoom);
    }
    let order = Order { buffer, length, frame: frame.unwrap_or([0; 2]), span: noted.call.place.span };
    let written = W::write(hit, &order, &lines.bytes);
    let _ = WRITES.remove(key);
    written
}

/// What came of writing is counted, and becomes the state of the call.
#[inline(always)]
fn state_after(written: Result<u32, Counter>) -> u32 {
    match written {
        Ok(state) => {
            if state == CALL_CARRIES {
                count(Counter::CallsCarrying, 1);
            }
            state
        }
        Err(reason) => {
            count(reason, 1);
            CALL_NONE
        }
    }
}
