//! Maps from texts to lists of texts: `http.Header`, `metadata.MD` of gRPC.

use crate::settings::ABSENT;

/// Where such a map of one Go process keeps its keys and values, in groups of eight slots. Offsets as in
/// [`GoLayout`](super::GoLayout).
///
/// Maps are of one of two kinds. From Go 1.24 on (`internal/runtime/maps`), a map is one group, or a list of tables with
/// a power of two of groups each. Before (`runtime.hmap`), it is a power of two of groups, each of which may have another
/// behind it. Such a map that is still moving keys out of its old groups (which ends with the second key after it has
/// begun, up to 52 keys) is read as far as it has come, and it is known that it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoHeaders {
    /// `maps.Map.dirPtr`: a group, or a list of tables; absent: maps are of the older kind
    pub directory: u32,
    /// `maps.Map.dirLen`
    pub tables: u32,
    /// `maps.table.groups.data`
    pub groups: u32,
    /// `maps.table.groups.lengthMask`
    pub mask: u32,
    /// `runtime.hmap.buckets`; absent with `directory`: maps cannot be read
    pub buckets: u32,
    /// `runtime.hmap.oldbuckets`
    pub old_buckets: u32,
    /// `runtime.hmap.B`
    pub power: u32,
    /// Bytes of a group. It begins with a byte for each slot, which says whether that is free.
    pub group_bytes: u32,
    /// First key in it, and bytes from one to the next.
    pub keys: [u32; 2],
    /// First value in it, and bytes from one to the next.
    pub values: [u32; 2],
}

impl GoHeaders {
    /// Maps cannot be read.
    pub const NONE: GoHeaders = GoHeaders {
        directory: ABSENT,
        tables: ABSENT,
        groups: ABSENT,
        mask: ABSENT,
        buckets: ABSENT,
        old_buckets: ABSENT,
        power: ABSENT,
        group_bytes: 0,
        keys: [0; 2],
        values: [0; 2],
    };
}
