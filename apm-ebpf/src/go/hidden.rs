//! Requests that the wire does not show, over TLS or HTTP/2: what is asked is read from the `*http.Request` that is to be
//! handled, and the answer's status where the handler has done.

use apm_common::{
    event::{ANSWERED_FAILED, ASKED_HTTP2, ASKED_TLS, AnsweredBody, AskedBody, Text, kind},
    limits::HEADER_GROUPS,
};
use aya_ebpf::{helpers::generated::bpf_probe_read_user as read_user_bytes, macros::uprobe, programs::ProbeContext};

use super::{Hit, member};
use crate::{
    maps::{GO_CONTEXTS, Goroutine},
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
};

/// Status of an answer that is not known.
pub const NO_STATUS: u64 = 0;

/// Slots of a group in a map of Go, and the bit of a control byte that says that its slot is free.
const SLOTS: u32 = 8;
const FREE: u64 = 0x80;

/// Is it a request over HTTP/2?
#[inline(always)]
pub fn is_http2(hit: &Hit, request: u64) -> bool {
    member::<u64>(request, hit.layout.hidden.request_major) == Some(2)
}

/// Tells what is asked.
#[inline(always)]
pub fn tell_asked(hit: &Hit, number: u64, request: u64, is_http2: bool) -> Option<()> {
    let hidden = &hit.layout.hidden;
    let tls: u64 = member(request, hidden.request_tls)?;
    let url: u64 = member(request, hidden.request_url)?;
    let map: u64 = member(request, hidden.request_header)?;
    let flags = if tls != 0 { ASKED_TLS } else { 0 } | if is_http2 { ASKED_HTTP2 } else { 0 };
    let mut slot = reserve::<AskedBody>()?;
    let record: *mut Record<AskedBody> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record. Every length is written, and nobody reads bytes behind one.
    unsafe {
        (&raw mut (*record).header).write(header(kind::ASKED, flags));
        let body = &raw mut (*record).body;
        (&raw mut (*body).request).write(number);
        copy(&raw mut (*body).method, text(request, hidden.request_method));
        copy(&raw mut (*body).path, text(url, hidden.url_path));
        copy(&raw mut (*body).query, text(url, hidden.url_query));
        copy(&raw mut (*body).host, text(request, hidden.request_host));
        copy(&raw mut (*body).remote, text(request, hidden.request_remote));
        (&raw mut (*body).traceparent.len).write(0);
        (&raw mut (*body).elastic_traceparent.len).write(0);
        (&raw mut (*body).tracestate.len).write(0);
        let _ = trace_headers(hit, body, map);
    }
    submit(slot);
    Some(())
}

/// Address and length of a text that is a member.
#[inline(always)]
fn text(structure: u64, offset: u32) -> [u64; 2] {
    member(structure, offset).unwrap_or([0; 2])
}

/// Copies a text, cut where there is no room for more.
///
/// # Safety
/// `to` is valid for writes.
#[inline(always)]
unsafe fn copy<const N: usize>(to: *mut Text<N>, [address, length]: [u64; 2]) {
    let length = if length > N as u64 { N as u64 } else { length };
    // SAFETY: the caller's; there is room for `length`.
    unsafe {
        let read = match length {
            0 => 1,
            _ => read_user_bytes((&raw mut (*to).bytes).cast(), length as u32, address as *const _),
        };
        (&raw mut (*to).len).write(if read == 0 { length } else { 0 });
    }
}

/// Copies the headers of a trace out of a `http.Header`: a map whose slots lie in groups of eight, one without a table or
/// a power of two of them in one.
///
/// # Safety
/// `body` is valid for writes.
#[inline(always)]
unsafe fn trace_headers(hit: &Hit, body: *mut AskedBody, map: u64) -> Option<()> {
    let hidden = &hit.layout.hidden;
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
            break;
        }
        let group = groups + (group * hidden.group_bytes) as u64;
        let control: u64 = member(group, 0)?;
        if control >> (8 * slot) & FREE == 0 {
            let key = text(group, hidden.keys[0] + slot * hidden.keys[1]);
            // The first of a header's values.
            let value = || text(member(group, hidden.values[0] + slot * hidden.values[1]).unwrap_or(0), 0);
            // SAFETY: the caller's.
            unsafe {
                match name_of(key) {
                    Name::Traceparent => copy(&raw mut (*body).traceparent, value()),
                    Name::ElasticTraceparent => copy(&raw mut (*body).elastic_traceparent, value()),
                    Name::Tracestate => copy(&raw mut (*body).tracestate, value()),
                    Name::Other => {}
                }
            }
        }
    }
    Some(())
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

/// The goroutine handles its request no more. Tells of the end, if the wire does not.
#[inline(always)]
pub fn done(hit: &Hit, known: &mut Goroutine, flags: u16, status: u64) {
    let (request, is_hidden) = (known.handles, known.is_hidden);
    let _ = GO_CONTEXTS.remove(hit.key(known.context));
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

/// `(*http2serverConn).sendServeMsg(message)`, which a handler's goroutine calls last: if a request is still being handled
/// there, its handler panicked.
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
        && known.is_hidden != 0
    {
        done(&hit, known, flags, NO_STATUS);
        hit.forget();
    }
}
