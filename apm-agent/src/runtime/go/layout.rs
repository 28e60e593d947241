//! Where the run time's own variables keep what is counted, by version of Go: their types have no descriptors, as nobody
//! allocates one. Read off `runtime2.go`, `mstats.go` and `mgcpacer.go` of each version, and compared with DWARF for 1.19
//! to 1.27.

use crate::binary::go::GoBinary;

/// Classes of small objects (`gc.NumSizeClasses`).
const CLASSES: usize = 68;

/// Bytes of an object of each class (`sizeclasses.go`), the same since 1.16.
pub(super) const SIZES: [u64; CLASSES] = [
    0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448,
    480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096,
    4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072,
    20480, 21760, 24576, 27264, 28672, 32768,
];

/// Versions whose layouts are known; the run time of a later one may differ.
const KNOWN: std::ops::RangeInclusive<u16> = 19..=27;

/// Offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// `heapStatsDelta.largeAlloc`; the count of tiny objects lies before, that of large ones and those of each class behind.
    pub large_allocated: u64,
    /// Of a `heapStatsDelta`, of which there are three.
    pub generation_bytes: u64,
    /// `gcControllerState.heapInUse`, before `heapReleased` and `heapFree`.
    pub heap_in_use: u64,
    /// `gcControllerState.gcPercentHeapGoal`
    pub heap_goal: u64,
    /// `schedt.lock`
    pub sched_lock: u64,
    /// `schedt.ngsys`, and how many goroutines are in the lists of `schedt.gFree`: one count up to 1.24, then one for each
    /// list.
    pub sched_counts: &'static [u64],
    /// Goroutines in `p.gFree`.
    pub processor_free: u64,
}

impl Layout {
    /// That of a program.
    pub(super) fn of(binary: &GoBinary) -> Option<Self> {
        let version = binary.version().minor;
        if !KNOWN.contains(&version) {
            return None;
        }
        let large_allocated = if version <= 24 { 56 } else { 48 };
        let (heap_in_use, heap_goal) = match version {
            19 => (304, 104),
            20 => (248, 48),
            _ => (272, 72),
        };
        let (sched_lock, sched_counts): (u64, &[u64]) = match version {
            19 => (24, &[72, 176]),
            20..=24 => (24, &[72, 184]),
            25 => (32, &[80, 184, 200]),
            _ => (32, &[96, 200, 216]),
        };
        let field = |path| binary.field("runtime.p", path);
        Some(Self {
            large_allocated,
            generation_bytes: large_allocated + 1120,
            heap_in_use,
            heap_goal,
            sched_lock,
            sched_counts,
            processor_free: field("gFree.n").or_else(|| field("gFree.size"))?,
        })
    }

    /// `heapStatsDelta.largeFree`, before the count of large objects and those of each class.
    pub(super) fn large_freed(&self) -> u64 {
        self.large_allocated + 16 + 8 * CLASSES as u64
    }

    /// `mstats.stacks_sys`, the first of six sizes; the statistics' generations and their lock lie before.
    pub(super) fn own(&self) -> u64 {
        3 * self.generation_bytes + 16
    }

    /// `mstats.pause_total_ns`
    pub(super) fn pauses(&self) -> u64 {
        self.own() + 56
    }

    /// `mstats.numgc`, before `gc_cpu_fraction`; two tables of 256 pauses lie before.
    pub(super) fn collections(&self) -> u64 {
        self.pauses() + 8 + 2 * 256 * 8
    }

    /// What is read of `memstats`.
    pub(super) fn statistics_bytes(&self) -> u64 {
        self.collections() + 16
    }

    /// What is read of `gcController`.
    pub(super) fn controller_bytes(&self) -> u64 {
        self.heap_in_use + 24
    }
}
