//! Headers of a trace, out of a map of headers or metadata.

use apm_common::{limits::HEADER_GROUPS, settings::ABSENT};

use super::{Hit, member};
use crate::maps::GoTraceHeaders;

/// Slots of a group in a map of Go.
const SLOTS: u32 = 8;

/// The bit of a control byte that says that its slot is free.
const FREE: u64 = 0x80;

/// In maps of the older kind, the least byte of a slot that is not free (`minTopHash`).
const LEAST: u64 = 5;

/// Groups of slots.
struct Groups {
    first: u64,
    /// Number of the last turn in which one is looked at.
    last: u64,
}

/// Reads the headers of a trace, and the `:authority` of metadata.
#[inline(always)]
pub fn read(hit: &Hit, map: Option<u64>, found: &mut GoTraceHeaders) {
    if map.and_then(|map| find(hit, map, found)).is_none() {
        kept!(found.is_unclear = 1);
    }
}

/// `None`: they cannot all be read.
#[inline(always)]
fn find(hit: &Hit, map: u64, found: &mut GoTraceHeaders) -> Option<()> {
    let headers = &hit.layout.headers;
    let is_older = headers.directory == ABSENT;
    let groups = if is_older { older(hit, map, found)? } else { newer(hit, map)? };
    // Nothing is carried from turn to turn but its number, or the verifier would walk every combination.
    for number in 0..HEADER_GROUPS * SLOTS {
        let (turn, slot) = ((number / SLOTS) as u64, number % SLOTS);
        if turn > groups.last {
            return Some(());
        }
        let group = if is_older { older_group(hit, &groups, turn, found)? } else { newer_group(hit, &groups, turn) };
        let control: u64 = match group {
            // There is no group: all its slots are free.
            0 if is_older => 0,
            0 => u64::MAX,
            group => member(group, 0)?,
        };
        let byte = control >> (8 * slot) & 0xff;
        let is_free = if is_older { byte < LEAST } else { byte & FREE != 0 };
        if !is_free {
            let name = name_of(member(group, headers.keys[0] + slot * headers.keys[1])?);
            if !matches!(name, Name::Other) {
                let [values, count]: [u64; 2] = member(group, headers.values[0] + slot * headers.values[1])?;
                let value: [u64; 2] = member(values, 0)?;
                let unclear = kept!(found.is_unclear);
                kept!(found.is_unclear = unclear | (count ^ 1));
                match name {
                    Name::Traceparent => kept!(found.traceparent = value),
                    Name::ElasticTraceparent => kept!(found.elastic_traceparent = value),
                    Name::Tracestate => kept!(found.tracestate = value),
                    Name::Authority => kept!(found.authority = value),
                    Name::Other => {}
                }
            }
        }
    }
    // With more groups than are looked at, something may be in the others.
    (groups.last < HEADER_GROUPS as u64).then_some(())
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
fn newer_group(hit: &Hit, groups: &Groups, turn: u64) -> u64 {
    groups.first + turn * hit.layout.headers.group_bytes as u64
}

/// A turn for each group, and one for what hangs on it. What such a map has not yet moved out of its old groups is not
/// found.
#[inline(always)]
fn older(hit: &Hit, map: u64, found: &mut GoTraceHeaders) -> Option<Groups> {
    let headers = &hit.layout.headers;
    let old: u64 = member(map, headers.old_buckets)?;
    let unclear = kept!(found.is_unclear);
    kept!(found.is_unclear = unclear | old);
    let power: u8 = member(map, headers.power)?;
    let last = (2_u64 << (power & 31)) - 1;
    Some(Groups { first: member(map, headers.buckets)?, last })
}

/// Each group, and in the turn behind it the one that may hang on it, where a third is not looked at. 0: there is none.
#[inline(always)]
fn older_group(hit: &Hit, groups: &Groups, turn: u64, found: &mut GoTraceHeaders) -> Option<u64> {
    if groups.first == 0 {
        return Some(0);
    }
    let bytes = hit.layout.headers.group_bytes;
    let group = groups.first + turn / 2 * bytes as u64;
    if turn % 2 == 0 {
        return Some(group);
    }
    // The last word of a group points to the one behind it.
    let behind: u64 = member(group, bytes - 8)?;
    if behind != 0 {
        let third: u64 = member(behind, bytes - 8)?;
        let unclear = kept!(found.is_unclear);
        kept!(found.is_unclear = unclear | third);
    }
    Some(behind)
}

/// Headers that are looked for.
pub enum Name {
    Traceparent,
    ElasticTraceparent,
    Tracestate,
    Authority,
    Other,
}

/// Which header it is, by its length and its last eight letters, whichever case they are in.
#[inline(always)]
pub fn name_of([address, length]: [u64; 2]) -> Name {
    let is_candidate = length == 10 || length == 11 || length == 23;
    if !is_candidate {
        return Name::Other;
    }
    let end: [u8; 8] = member(address + length - 8, 0).unwrap_or([0; 8]);
    let first: u8 = member(address, 0).unwrap_or(0);
    match (length, first | 0x20, u64::from_ne_bytes(end) | 0x2020_2020_2020_2020) {
        (10, b't', end) if end == u64::from_ne_bytes(*b"acestate") => Name::Tracestate,
        (10, b':', end) if end == u64::from_ne_bytes(*b"uthority") => Name::Authority,
        (11, b't', end) if end == u64::from_ne_bytes(*b"ceparent") => Name::Traceparent,
        (23, b'e', end) if end == u64::from_ne_bytes(*b"ceparent") => Name::ElasticTraceparent,
        _ => Name::Other,
    }
}
