//! Headers of a trace, out of a map of headers or metadata.

use apm_common::{event::AskedBody, limits::HEADER_GROUPS, settings::ABSENT};

use super::{
    Hit,
    hidden::{copy, text},
    member,
};

/// Slots of a group in a map of Go.
const SLOTS: u32 = 8;

/// The bit of a control byte that says that its slot is free.
const FREE: u64 = 0x80;

/// In maps of the older kind, the least byte of a slot that is not free (`minTopHash`).
const LEAST: u64 = 5;

/// Groups of slots.
struct Groups {
    first: u64,
    /// Number of the last.
    last: u64,
}

/// Copies the headers of a trace, and the `:authority` of metadata, which takes the host's place.
///
/// # Safety
/// `body` is valid for writes.
#[inline(always)]
pub unsafe fn trace_headers(hit: &Hit, body: *mut AskedBody, map: u64) -> Option<()> {
    let headers = &hit.layout.headers;
    let is_older = headers.directory == ABSENT;
    let groups = if is_older { older(hit, map)? } else { newer(hit, map)? };
    // Nothing is carried from turn to turn but its number, or the verifier would walk every combination.
    for number in 0..HEADER_GROUPS * SLOTS {
        let (turn, slot) = ((number / SLOTS) as u64, number % SLOTS);
        let group = if is_older { older_group(hit, &groups, turn)? } else { newer_group(hit, &groups, turn)? };
        // Of no group at all nothing can be read, and all its slots are free.
        let control: u64 = member(group, 0).unwrap_or(if is_older { 0 } else { u64::MAX });
        let byte = control >> (8 * slot) & 0xff;
        let is_free = if is_older { byte < LEAST } else { byte & FREE != 0 };
        if !is_free {
            let key = text(group, headers.keys[0] + slot * headers.keys[1]);
            // The first of a header's values.
            let value = || text(member(group, headers.values[0] + slot * headers.values[1]).unwrap_or(0), 0);
            // SAFETY: the caller's.
            unsafe {
                match name_of(key) {
                    Name::Traceparent => copy(&raw mut (*body).traceparent, value()),
                    Name::ElasticTraceparent => copy(&raw mut (*body).elastic_traceparent, value()),
                    Name::Tracestate => copy(&raw mut (*body).tracestate, value()),
                    Name::Authority => copy(&raw mut (*body).host, value()),
                    Name::Other => {}
                }
            }
        }
    }
    Some(())
}

#[inline(always)]
fn newer(hit: &Hit, map: u64) -> Option<Groups> {
    let headers = &hit.layout.headers;
    let directory: u64 = member(map, headers.directory)?;
    let tables: u64 = member(map, headers.tables)?;
    let (first, last) = match tables {
        0 => (directory, 0),
        1 => {
            let table: u64 = member(directory, 0)?;
            (member(table, headers.groups)?, member(table, headers.mask)?)
        }
        _ => return None,
    };
    Some(Groups { first, last })
}

#[inline(always)]
fn newer_group(hit: &Hit, groups: &Groups, turn: u64) -> Option<u64> {
    (turn <= groups.last).then_some(groups.first + turn * hit.layout.headers.group_bytes as u64)
}

#[inline(always)]
fn older(hit: &Hit, map: u64) -> Option<Groups> {
    let headers = &hit.layout.headers;
    let power: u8 = member(map, headers.power)?;
    let last = (1_u64 << (power & 31)) - 1;
    Some(Groups { first: member(map, headers.buckets)?, last })
}

/// Each group, and in the turn behind it the one that may hang on it; a third is not looked at. `Some(0)`: there is none.
#[inline(always)]
fn older_group(hit: &Hit, groups: &Groups, turn: u64) -> Option<u64> {
    if turn / 2 > groups.last {
        return None;
    }
    let bytes = hit.layout.headers.group_bytes;
    let group = groups.first + turn / 2 * bytes as u64;
    // The last word of a group points to the one behind it.
    if turn % 2 == 0 { Some(group) } else { Some(member(group, bytes - 8).unwrap_or(0)) }
}

enum Name {
    Traceparent,
    ElasticTraceparent,
    Tracestate,
    Authority,
    Other,
}

/// Which header it is, by its length and its last eight letters; names are in canonical form, or those of metadata in
/// small letters.
#[inline(always)]
fn name_of([address, length]: [u64; 2]) -> Name {
    let is_candidate = length == 10 || length == 11 || length == 23;
    if !is_candidate {
        return Name::Other;
    }
    let end: [u8; 8] = member(address + length - 8, 0).unwrap_or([0; 8]);
    let first: u8 = member(address, 0).unwrap_or(0);
    match (length, first | 0x20, u64::from_ne_bytes(end)) {
        (10, b't', end) if end == u64::from_ne_bytes(*b"acestate") => Name::Tracestate,
        (10, b':', end) if end == u64::from_ne_bytes(*b"uthority") => Name::Authority,
        (11, b't', end) if end == u64::from_ne_bytes(*b"ceparent") => Name::Traceparent,
        (23, b'e', end) if end == u64::from_ne_bytes(*b"ceparent") => Name::ElasticTraceparent,
        _ => Name::Other,
    }
}
