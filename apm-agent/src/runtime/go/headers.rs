//! Where maps of headers and metadata keep their keys and values.

use apm_common::{go::GoHeaders, settings::ABSENT};

use super::plan::offset;
use crate::binary::go::{GoBinary, Kind};

/// Types of such maps. All have the same groups of slots.
const MAPS: [&str; 2] = ["net/http.Header", "google.golang.org/grpc/metadata.MD"];

/// Slots of a group, and bytes of a text and of a list.
const SLOTS: u32 = 8;
const TEXT: u32 = 16;
const LIST: u32 = 24;

/// The layout; `None`: something is missing.
pub(super) fn layout(binary: &GoBinary) -> Option<GoHeaders> {
    let found = if binary.version().minor >= 24 { newer(binary)? } else { older(binary) };
    let needed = match found.directory {
        ABSENT => vec![found.buckets, found.old_buckets, found.power],
        _ => vec![found.tables, found.groups, found.mask],
    };
    (!needed.contains(&ABSENT)).then_some(found)
}

/// From Go 1.24 on: control bytes, then eight slots of a key and a value each, or eight keys and then eight values
/// (`GOEXPERIMENT=mapsplitgroup`).
fn newer(binary: &GoBinary) -> Option<GoHeaders> {
    let size = |address: u64| u32::try_from(binary.type_at(address)?.size).ok();
    let place = |offset: u64| u32::try_from(offset).ok();
    let group = MAPS.iter().find_map(|name| binary.map_group(binary.type_address(name)?))?;
    let fields = binary.fields(group);
    let element = |index: usize| binary.type_at(fields.get(index)?.type_address)?.element;
    let (keys, values) = match fields.as_slice() {
        [_, slots] => {
            let (start, slot) = (place(slots.offset)?, element(1)?);
            let [_, value] = <[_; 2]>::try_from(binary.fields(slot)).ok()?;
            ([start, size(slot)?], [start.checked_add(place(value.offset)?)?, size(slot)?])
        }
        [_, keys, values] => ([place(keys.offset)?, size(element(1)?)?], [place(values.offset)?, size(element(2)?)?]),
        _ => return None,
    };
    let group_bytes = size(group).filter(|_| binary.type_at(group).is_some_and(|found| found.kind == Kind::Struct))?;
    let directory = offset(binary, "internal/runtime/maps.Map", "dirPtr");
    (directory != ABSENT).then(|| GoHeaders {
        directory,
        tables: offset(binary, "internal/runtime/maps.Map", "dirLen"),
        groups: offset(binary, "internal/runtime/maps.table", "groups.data"),
        mask: offset(binary, "internal/runtime/maps.table", "groups.lengthMask"),
        group_bytes,
        keys,
        values,
        ..GoHeaders::NONE
    })
}

/// Before: a byte for each slot, eight keys, eight values, and a pointer to the group behind (`runtime/map.go`).
fn older(binary: &GoBinary) -> GoHeaders {
    let (keys, values) = (SLOTS, SLOTS + SLOTS * TEXT);
    GoHeaders {
        buckets: offset(binary, "runtime.hmap", "buckets"),
        old_buckets: offset(binary, "runtime.hmap", "oldbuckets"),
        power: offset(binary, "runtime.hmap", "B"),
        group_bytes: values + SLOTS * LIST + 8,
        keys: [keys, TEXT],
        values: [values, LIST],
        ..GoHeaders::NONE
    }
}
