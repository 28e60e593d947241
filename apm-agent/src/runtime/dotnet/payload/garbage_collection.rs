//! Garbage collections: `GCStart`, `GCEnd`, `GCHeapStats` and the pauses around them, of the run time (dotnet/runtime,
//! ClrEtwAll.man).

use crate::runtime::dotnet::{cursor::Cursor, nettrace::Event};

const RUNTIME: &str = "Microsoft-Windows-DotNETRuntime";

const START: u32 = 1;
const END: u32 = 2;
const RESTARTED: u32 = 3;
const HEAP_STATISTICS: u32 = 4;
const SUSPENDING: u32 = 9;

/// A generation of the heap after a collection, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// Its size.
    pub size: u64,
    /// What was promoted out of it.
    pub promoted: u64,
}

/// The heap after a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapStatistics {
    /// Generations 0, 1, 2, the large object heap (3), and the pinned object heap (4; .NET 5 and later).
    pub generations: [Generation; 5],
    /// Objects that could not be moved.
    pub pinned_objects: u32,
    /// Handles into the heap.
    pub handles: u32,
}

/// What a garbage collection tells. Durations are the differences of the events' times; collections in the background
/// (generation 2) may have others within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarbageCollection {
    /// All threads are about to be stopped.
    Suspending,
    /// It begins.
    Start {
        /// Number of the collection, from 1.
        number: u32,
        /// The oldest generation collected, 0 to 2.
        generation: u32,
    },
    /// It has ended.
    End {
        /// Number of the collection.
        number: u32,
        /// The oldest generation collected.
        generation: u32,
    },
    /// The heap after it.
    Heap(HeapStatistics),
    /// All threads run again.
    Restarted,
}

impl GarbageCollection {
    /// Reads one.
    pub fn read(event: &Event<'_>) -> Option<Self> {
        if event.provider != RUNTIME {
            return None;
        }
        let mut cursor = Cursor::new(event.payload);
        Some(match event.id {
            SUSPENDING => Self::Suspending,
            START => Self::Start { number: cursor.u32()?, generation: cursor.u32()? },
            END => Self::End { number: cursor.u32()?, generation: cursor.u32()? },
            HEAP_STATISTICS => Self::Heap(heap(&mut cursor)?),
            RESTARTED => Self::Restarted,
            _ => return None,
        })
    }
}

fn heap(cursor: &mut Cursor<'_>) -> Option<HeapStatistics> {
    let mut heap = HeapStatistics::default();
    let [young @ .., pinned] = &mut heap.generations;
    for generation in young {
        *generation = Generation { size: cursor.u64()?, promoted: cursor.u64()? };
    }
    let _finalised: [u8; 16] = cursor.array()?;
    heap.pinned_objects = cursor.u32()?;
    let _sync_blocks = cursor.u32()?;
    heap.handles = cursor.u32()?;
    let _runtime = cursor.u16()?;
    // Version 2.
    if let (Some(size), Some(promoted)) = (cursor.u64(), cursor.u64()) {
        *pinned = Generation { size, promoted };
    }
    Some(heap)
}
