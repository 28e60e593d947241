//! The trace that a request is part of: its caller's, read off the headers of the `*http.Request` that is to be handled,
//! or one that begins with it.

use apm_common::{
    event::{EventHeader, Text},
    limits::HEADER_GROUPS,
    propagation::{CONTINUE, Propagation, RESTART, STATE_BYTES, TRACEPARENT_BYTES, begun, number},
};

use super::{Hit, hidden::copy, member};
use crate::maps::{GO_CONTEXTS, GoHeaders, GoTrace, Goroutine, PROPAGATION, TRACE_STATES};

/// Slots of a group in a map of Go, and the bit of a control byte that says that its slot is free.
const SLOTS: u32 = 8;
const FREE: u64 = 0x80;

/// Nobody may speak of the trace.
pub const UNKNOWN: GoTrace = GoTrace { id: [0; 2], sampled: 0, begins: 0 };

/// Reads a member of a structure in a map, or writes it, with nothing kept in registers.
macro_rules! kept {
    ($structure:ident.$member:ident) => {
        // SAFETY: a member of a reference.
        unsafe { (&raw const $structure.$member).read_volatile() }
    };
    ($structure:ident.$member:ident = $value:expr) => {
        // SAFETY: as above.
        unsafe { (&raw mut $structure.$member).write_volatile($value) }
    };
}

/// Address and length of a text that is a member.
#[inline(always)]
pub fn text(structure: u64, offset: u32) -> [u64; 2] {
    member(structure, offset).unwrap_or([0; 2])
}

/// Reads a `http.Header`: a map whose slots lie in groups of eight, one without a table or a power of two of them in one.
#[inline(always)]
pub fn read_headers(hit: &Hit, request: u64, found: &mut GoHeaders) {
    if find(hit, request, found).is_none() {
        kept!(found.is_unclear = 1);
    }
}

/// `None`: they cannot all be read.
#[inline(always)]
fn find(hit: &Hit, request: u64, found: &mut GoHeaders) -> Option<()> {
    let hidden = &hit.layout.hidden;
    let map: u64 = member(request, hidden.request_header)?;
    let directory: u64 = member(map, hidden.map_directory)?;
    let tables: u64 = member(map, hidden.map_tables)?;
    let (groups, last) = match tables {
        0 => (directory, 0),
        1 => {
            let table: u64 = member(directory, 0)?;
            (member(table, hidden.table_groups)?, member(table, hidden.table_mask)?)
        }
        _ => return None,
    };
    for number in 0..HEADER_GROUPS * SLOTS {
        let (group, slot) = (number / SLOTS, number % SLOTS);
        if group as u64 > last {
            return Some(());
        }
        let group = groups + (group * hidden.group_bytes) as u64;
        let control: u64 = member(group, 0)?;
        if control >> (8 * slot) & FREE == 0 {
            let key = text(group, hidden.keys[0] + slot * hidden.keys[1]);
            let name = name_of(key);
            if !matches!(name, Name::Other) {
                let [values, count] = text(group, hidden.values[0] + slot * hidden.values[1]);
                let unclear = kept!(found.is_unclear);
                kept!(found.is_unclear = unclear | count >> 1);
                let value = text(values, 0);
                match name {
                    Name::Traceparent => kept!(found.traceparent = value),
                    Name::ElasticTraceparent => kept!(found.elastic_traceparent = value),
                    Name::Tracestate => kept!(found.tracestate = value),
                    Name::Other => {}
                }
            }
        }
    }
    // More groups than are looked at.
    None
}

enum Name {
    Traceparent,
    ElasticTraceparent,
    Tracestate,
    Other,
}

/// Which header it is, by its length and its last eight letters; names are in canonical form.
#[inline(always)]
fn name_of([address, length]: [u64; 2]) -> Name {
    let is_candidate = length == 10 || length == 11 || length == 23;
    if !is_candidate {
        return Name::Other;
    }
    let end: [u8; 8] = member(address + length - 8, 0).unwrap_or([0; 8]);
    let first: u8 = member(address, 0).unwrap_or(0);
    match (length, first, u64::from_ne_bytes(end)) {
        (10, b'T', end) if end == u64::from_ne_bytes(*b"acestate") => Name::Tracestate,
        (11, b'T', end) if end == u64::from_ne_bytes(*b"ceparent") => Name::Traceparent,
        (23, b'E', end) if end == u64::from_ne_bytes(*b"ceparent") => Name::ElasticTraceparent,
        _ => Name::Other,
    }
}

/// The trace of a request, told of by an event with this header. User space decides by the same rules
/// (`correlate/trace_context.rs`); what these do not decide is left open.
#[inline(always)]
pub fn of_request(hit: &Hit, headers: &GoHeaders, told: &EventHeader, request: u64) -> GoTrace {
    let Some(settings) = PROPAGATION.get_ptr(0) else { return UNKNOWN };
    // SAFETY: map values live until the program ends (RCU), and user space does not change this one.
    let settings = unsafe { &*settings };
    if settings.block_len == 0 {
        return UNKNOWN;
    }
    let (traceparent, elastic, state) =
        (kept!(headers.traceparent), kept!(headers.elastic_traceparent), kept!(headers.tracestate));
    let is_clear = kept!(headers.is_unclear) == 0;
    let came_with_none = is_clear && traceparent[1] == 0 && elastic[1] == 0;
    match settings.continuation {
        _ if came_with_none => begins(settings, told, request),
        RESTART => begins(settings, told, request),
        CONTINUE if is_clear => {
            let trace = continued(if traceparent[1] != 0 { traceparent } else { elastic }).unwrap_or(UNKNOWN);
            if trace.id != [0; 2] && state[1] != 0 {
                keep_state(hit, request, state);
            }
            trace
        }
        _ => UNKNOWN,
    }
}

#[inline(always)]
fn begins(settings: &Propagation, told: &EventHeader, request: u64) -> GoTrace {
    let begun = begun(settings.seed, told.time, told.pid, request);
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
    if state[1] > STATE_BYTES as u64 || TRACE_STATES.insert(hit.key(request), &NONE, 0).is_err() {
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
