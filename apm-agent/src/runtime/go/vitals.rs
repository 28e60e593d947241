//! What Go's run time counts of itself, read from the memory of a process that runs on: the metrics of Elastic's agent,
//! which asks `runtime.ReadMemStats`.
//!
//! Between two collections what each processor counted since it last handed its counts over is missing, 0.1 % at most.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use super::layout::{Layout, SIZES};
use crate::{
    binary::go::{Globals, GoBinary},
    process::Process,
};

/// Processors looked at.
const MOST_PROCESSORS: u64 = 4096;

/// More goroutines than this are none.
const MOST_GOROUTINES: i64 = 100_000_000;

/// How often the statistics are read until two readings in a row agree.
const MOST_READINGS: usize = 4;

/// Spans of the heap come in pages of this size.
const PAGE: u64 = 8192;

/// Metrics by their names.
type Samples = Vec<(String, f64)>;

/// The variables of one process.
#[derive(Debug)]
pub struct Vitals {
    memory: File,
    globals: Globals,
    bias: u64,
    layout: Layout,
}

impl Vitals {
    /// Those of a process that runs a binary, at a distance of `bias` from the file's addresses.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn find(binary: &GoBinary, bias: u64, process: &Process) -> Result<Self, String> {
        let layout = Layout::of(binary).ok_or("the layout of its run time's variables is not known")?;
        let globals = binary.globals().ok_or("its run time's variables were not found")?;
        let memory =
            File::open(process.memory_file()).map_err(|error| format!("its memory cannot be read: {error}"))?;
        let vitals = Self { memory, globals, bias, layout };
        match vitals.read() {
            Ok(Some(_)) => Ok(vitals),
            Ok(None) => Err("what was found is not its run time's variables".into()),
            Err(error) => Err(format!("its memory cannot be read: {error}")),
        }
    }

    /// The metrics now; `None`: they make no sense.
    ///
    /// # Errors
    /// The process is gone.
    pub fn read(&self) -> io::Result<Option<Samples>> {
        let (statistics, heap) = self.settled()?;
        let goroutines = self.goroutines()?;
        Ok(self.samples(&statistics, &heap, goroutines))
    }

    /// `memstats` and `gcController`. Each processor adds to the former as it pleases: they are read until nothing moves,
    /// or the last time.
    fn settled(&self) -> io::Result<(Words, Words)> {
        let read = || {
            let statistics = self.words(self.globals.heap_stats, self.layout.statistics_bytes())?;
            io::Result::Ok((statistics, self.words(self.globals.gc_controller, self.layout.controller_bytes())?))
        };
        let mut before = read()?;
        for _ in 1..MOST_READINGS {
            let now = read()?;
            if now == before {
                break;
            }
            before = now;
        }
        Ok(before)
    }

    /// As `runtime.NumGoroutine`: all there ever were at once, less those that ended and the run time's own.
    fn goroutines(&self) -> io::Result<i64> {
        let all = self.word(self.globals.all_goroutines)?;
        let sched = self.globals.sched_lock.wrapping_sub(self.layout.sched_lock);
        let mut free = 0;
        for offset in self.layout.sched_counts {
            free += i64::from(self.half(sched.wrapping_add(*offset))?);
        }
        let (first, count) = (self.word(self.globals.all_processors)?, self.word(self.globals.all_processors + 8)?);
        for index in 0..count.min(MOST_PROCESSORS) {
            let processor = self.word_at(first.wrapping_add(8 * index))?;
            free += i64::from(self.half_at(processor.wrapping_add(self.layout.processor_free))?);
        }
        Ok(all.cast_signed().saturating_sub(free))
    }

    fn samples(&self, statistics: &Words, heap: &Words, goroutines: i64) -> Option<Samples> {
        let layout = &self.layout;
        let objects = Objects::count(layout, statistics)?;
        // Stacks and work buffers, and up to 1.24 bits of pointers.
        let mut inside = (IN_STACKS..layout.large_allocated - 8).step_by(8).map(|at| layout.sum(statistics, at));
        let inside = inside.try_fold(0_u64, |all, part| Some(all.wrapping_add(part?)))?;
        let own = layout.own();
        let mut outside = (own..own + 48).step_by(8).map(|at| statistics.at(at));
        let outside = outside.try_fold(0_u64, |all, part| Some(all.wrapping_add(part?)))?;
        let stacks = layout.sum(statistics, IN_STACKS)?.wrapping_add(statistics.at(own)?);
        let [active, released, free] = [0, 8, 16].map(|place| heap.at(layout.heap_in_use + place));
        let (active, released, free) = (active?, released?, free?);
        let obtained = active.wrapping_add(released).wrapping_add(free);
        let collections = statistics.at(layout.collections())? & u64::from(u32::MAX);
        let share = f64::from_bits(statistics.at(layout.collections() + 8)?);
        let makes_sense = objects.frees <= objects.mallocs
            && objects.live <= obtained
            && active.is_multiple_of(PAGE)
            && (1..MOST_GOROUTINES).contains(&goroutines)
            && (0.0..=1.0).contains(&share);
        if !makes_sense {
            return None;
        }
        // With a limit of memory the goal is what the limit leaves, if that is less: only the run time can tell.
        let is_unlimited = heap.at(MEMORY_LIMIT)? == u64::MAX >> 1;
        let goal = heap.at(layout.heap_goal)?;
        let mut samples: Samples = [
            ("goroutines", goroutines.cast_unsigned()),
            ("heap.allocations.mallocs", objects.mallocs),
            ("heap.allocations.frees", objects.frees),
            ("heap.allocations.objects", objects.mallocs.wrapping_sub(objects.frees)),
            ("heap.allocations.total", objects.total),
            ("heap.allocations.allocated", objects.live),
            ("heap.allocations.idle", released.wrapping_add(free)),
            ("heap.allocations.active", active),
            ("heap.system.total", obtained.wrapping_add(inside).wrapping_add(outside)),
            ("heap.system.obtained", obtained),
            ("heap.system.stack", stacks),
            ("heap.system.released", released),
            ("heap.gc.total_count", collections),
            ("heap.gc.total_pause.ns", statistics.at(layout.pauses())?),
        ]
        .map(|(name, value)| (format!("golang.{name}"), value as f64))
        .into();
        samples.extend(is_unlimited.then(|| ("golang.heap.gc.next_gc_limit".to_owned(), goal as f64)));
        samples.push(("golang.heap.gc.cpu_fraction".to_owned(), share));
        Some(samples)
    }

    fn words(&self, address: u64, bytes: u64) -> io::Result<Words> {
        let mut words = vec![0; usize::try_from(bytes).unwrap_or(0)];
        self.memory.read_exact_at(&mut words, address.wrapping_add(self.bias))?;
        Ok(Words(words))
    }

    /// A word of a variable.
    fn word(&self, address: u64) -> io::Result<u64> {
        self.word_at(address.wrapping_add(self.bias))
    }

    fn half(&self, address: u64) -> io::Result<i32> {
        self.half_at(address.wrapping_add(self.bias))
    }

    /// A word of what a pointer points to.
    fn word_at(&self, address: u64) -> io::Result<u64> {
        let mut word = [0; 8];
        self.memory.read_exact_at(&mut word, address)?;
        Ok(u64::from_le_bytes(word))
    }

    fn half_at(&self, address: u64) -> io::Result<i32> {
        let mut half = [0; 4];
        self.memory.read_exact_at(&mut half, address)?;
        Ok(i32::from_le_bytes(half))
    }
}

/// `heapStatsDelta.inStacks`, in all versions.
const IN_STACKS: u64 = 24;

/// `gcControllerState.memoryLimit`, in all versions.
const MEMORY_LIMIT: u64 = 8;

/// Objects of the heap, and their bytes.
struct Objects {
    mallocs: u64,
    frees: u64,
    total: u64,
    live: u64,
}

impl Objects {
    fn count(layout: &Layout, statistics: &Words) -> Option<Self> {
        // Objects and bytes: large ones, whose bytes and count come first, then those of each class.
        let all = |start: u64| -> Option<(u64, u64)> {
            let large = (layout.sum(statistics, start + 8)?, layout.sum(statistics, start)?);
            let mut classes = SIZES.iter().zip((start + 16..).step_by(8));
            classes.try_fold(large, |(count, bytes), (size, at)| {
                let objects = layout.sum(statistics, at)?;
                Some((count.wrapping_add(objects), bytes.wrapping_add(objects.wrapping_mul(*size))))
            })
        };
        let (allocated, total) = all(layout.large_allocated)?;
        let (freed, freed_bytes) = all(layout.large_freed())?;
        // Several tiny ones lie in one object: the run time tells of each as if it was freed at once.
        let tiny = layout.sum(statistics, layout.large_allocated - 8)?;
        let live = total.wrapping_sub(freed_bytes);
        Some(Self { mallocs: allocated.wrapping_add(tiny), frees: freed.wrapping_add(tiny), total, live })
    }
}

impl Layout {
    /// What the three generations of the statistics have at an offset, together: each has what was added in its time,
    /// which may be less than was taken away.
    fn sum(&self, statistics: &Words, offset: u64) -> Option<u64> {
        let mut each = (0..3).map(|generation| statistics.at(generation * self.generation_bytes + offset));
        each.try_fold(0_u64, |sum, word| Some(sum.wrapping_add(word?)))
    }
}

/// A piece of memory.
#[derive(Debug, PartialEq, Eq)]
struct Words(Vec<u8>);

impl Words {
    fn at(&self, offset: u64) -> Option<u64> {
        let start = usize::try_from(offset).ok()?;
        Some(u64::from_le_bytes(self.0.get(start..start.checked_add(8)?)?.try_into().ok()?))
    }
}
