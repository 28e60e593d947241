//! The counters of `System.Runtime` as metrics.
//!
//! `clr.gc.*` are the metrics of Elastic's .NET agent. All others have the names and units that OpenTelemetry's semantic
//! conventions give them (runtime/dotnet-metrics), where they give one. The counters are those of dotnet/runtime,
//! RuntimeEventSource.cs: a megabyte there has 1,000,000 bytes, and what only grows is told as what was added in the
//! interval.

use std::{collections::HashMap, time::Instant};

use super::{
    Event,
    payload::{Counter, Reading},
};
use crate::exchange::Nanos;

/// The event source.
pub(super) const PROVIDER: &str = "System.Runtime";

/// Most counters of an interval; there are 27.
const MOST: usize = 64;

/// Characters kept of a name.
const LONGEST_NAME: usize = 64;

const MEGABYTE: f64 = 1e6;
const PERCENT: f64 = 0.01;
const MILLISECOND: f64 = 1e-3;

/// Counters that are metrics by themselves: counter, metric, and what one of the counter's unit is in the metric's.
const METRICS: &[(&str, &str, f64)] = &[
    ("poh-size", "dotnet.gc.poh.size", 1.0),
    ("gc-heap-size", "dotnet.gc.heap.size", MEGABYTE),
    ("gc-committed", "dotnet.gc.last_collection.memory.committed_size", MEGABYTE),
    ("gc-fragmentation", "dotnet.gc.fragmentation.pct", PERCENT),
    ("alloc-rate", "dotnet.gc.heap.total_allocated", 1.0),
    ("working-set", "dotnet.process.memory.working_set", MEGABYTE),
    ("threadpool-thread-count", "dotnet.thread_pool.thread.count", 1.0),
    ("threadpool-queue-length", "dotnet.thread_pool.queue.length", 1.0),
    ("threadpool-completed-items-count", "dotnet.thread_pool.work_item.count", 1.0),
    ("monitor-lock-contention-count", "dotnet.monitor.lock_contentions", 1.0),
    ("exception-count", "dotnet.exceptions", 1.0),
    ("active-timer-count", "dotnet.timer.count", 1.0),
    ("assembly-count", "dotnet.assembly.count", 1.0),
    ("methods-jitted-count", "dotnet.jit.compiled_methods", 1.0),
    ("il-bytes-jitted", "dotnet.jit.compiled_il.size", 1.0),
    ("time-in-jit", "dotnet.jit.compilation.time", MILLISECOND),
];

/// Sizes of the heap after the last collection, in bytes.
const SIZES: [(&str, &str); 4] = [
    ("gen-0-size", "clr.gc.gen0size"),
    ("gen-1-size", "clr.gc.gen1size"),
    ("gen-2-size", "clr.gc.gen2size"),
    ("loh-size", "clr.gc.gen3size"),
];

/// Collections, each of a generation and all younger ones, so that the first counts them all.
const COLLECTIONS: [&str; 3] = ["gen-0-gc-count", "gen-1-gc-count", "gen-2-gc-count"];

const COLLECTIONS_OF: [&str; 3] =
    ["dotnet.gc.gen0.collections", "dotnet.gc.gen1.collections", "dotnet.gc.gen2.collections"];

/// Milliseconds in which all threads stood still for collections.
const PAUSE: &str = "total-pause-time-by-gc";

/// What was told of an interval so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    read: HashMap<String, f64>,
    /// Length of the interval, in seconds.
    interval: f64,
    time: Nanos,
    last: Option<Instant>,
    /// Collections since the session began.
    collections: f64,
}

impl Counters {
    /// Takes in a counter; false when the event is none of ours.
    pub(super) fn hear(&mut self, event: &Event<'_>) -> bool {
        if event.provider != PROVIDER {
            return false;
        }
        if let Some(counter) = Counter::read(event)
            && self.read.len() < MOST
        {
            let value = match counter.reading {
                Reading::Values { mean, .. } => mean,
                Reading::Increment(added) => added,
            };
            if self.read.is_empty() {
                self.time = event.time;
            }
            self.read.insert(counter.name.to_capped_string(LONGEST_NAME), value);
            (self.interval, self.last) = (counter.interval, Some(Instant::now()));
        }
        true
    }

    /// The metrics of an interval that is over, with its time: when the last counter came before `until`, if it matters.
    pub(super) fn take(&mut self, until: Option<Instant>) -> Option<(Nanos, Vec<(String, f64)>)> {
        let last = self.last?;
        if until.is_some_and(|until| last > until) {
            return None;
        }
        self.last = None;
        let read = std::mem::take(&mut self.read);
        let mut samples = self.collector(&read);
        for (counter, metric, factor) in METRICS {
            samples.extend(read.get(*counter).map(|value| ((*metric).to_owned(), value * factor)));
        }
        Some((self.time, samples))
    }

    /// What is known of the garbage collector. As from Elastic's agent, nothing before there was a collection.
    fn collector(&mut self, read: &HashMap<String, f64>) -> Vec<(String, f64)> {
        let mut samples = Vec::new();
        let mut add = |name: &str, value: f64| samples.push((name.to_owned(), value));
        if let [Some(all), Some(older), Some(oldest)] = COLLECTIONS.map(|name| read.get(name).copied()) {
            self.collections += all;
            for (name, count) in COLLECTIONS_OF.into_iter().zip([all - older, older - oldest, oldest]) {
                add(name, count.max(0.0));
            }
        }
        let pause = read.get(PAUSE);
        if let Some(pause) = pause.filter(|_| self.interval > 0.0) {
            add("dotnet.gc.pause.pct", (pause * MILLISECOND / self.interval).min(1.0));
        }
        let sizes = SIZES.map(|(counter, metric)| (metric, read.get(counter).copied().unwrap_or_default()));
        if self.collections > 0.0 || sizes.iter().any(|(_, size)| *size > 0.0) {
            add("clr.gc.count", self.collections);
            pause.into_iter().for_each(|pause| add("clr.gc.time", *pause));
            sizes.into_iter().for_each(|(metric, size)| add(metric, size));
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::dotnet::{
        Item, Reader,
        nettrace::tests::recorded,
        payload::{GarbageCollection, HeapStatistics},
    };

    /// Metrics of each interval of a recorded stream, and the heap as the collector's own events tell it.
    fn told(name: &str) -> (Vec<HashMap<String, f64>>, Option<HeapStatistics>) {
        let (mut counters, mut sets, mut heap) = (Counters::default(), Vec::new(), None);
        let mut reader = Reader::new();
        let mut hear = |item: Item<'_>| {
            let Item::Event(event) = item else { return };
            if let Some(GarbageCollection::Heap(statistics)) = GarbageCollection::read(&event) {
                heap = Some(statistics);
            }
            // The stream was recorded whole: an interval ends where its first counter comes again.
            let again =
                Counter::read(&event).is_some_and(|counter| counters.read.contains_key(&counter.name.to_string()));
            if again {
                sets.extend(counters.take(None));
            }
            counters.hear(&event);
        };
        reader.feed(&recorded(name), &mut hear).expect("readable");
        sets.extend(counters.take(None));
        (sets.into_iter().map(|(_, samples)| samples.into_iter().collect()).collect(), heap)
    }

    #[test]
    fn counters_are_metrics_with_their_units() {
        for name in ["dotnet10.nettrace", "dotnet8.nettrace"] {
            let (sets, heap) = told(name);
            let [first, second] = sets.as_slice() else { panic!("{name}: {} intervals", sets.len()) };
            let sizes = heap.expect("a collection").generations.map(|generation| generation.size as f64);
            let told =
                ["clr.gc.gen0size", "clr.gc.gen1size", "clr.gc.gen2size", "clr.gc.gen3size", "dotnet.gc.poh.size"];
            assert_eq!(told.map(|metric| second[metric]), sizes, "{name}");
            // One collection was forced in the second interval.
            let count = ["clr.gc.count", "dotnet.gc.gen0.collections", "dotnet.gc.gen2.collections"];
            assert_eq!(count.map(|metric| first[metric]), [0.0, 0.0, 0.0], "{name}");
            assert_eq!(count.map(|metric| second[metric]), [1.0, 0.0, 1.0], "{name}");
            assert!((1.0..100.0).contains(&second["clr.gc.time"]), "{name}: milliseconds");
            assert!(
                (second["dotnet.gc.pause.pct"] * 1000.0 - second["clr.gc.time"]).abs() < 1.0,
                "{name}: of a second"
            );
            assert!((5e7..5e8).contains(&second["dotnet.process.memory.working_set"]), "{name}: bytes");
            assert_eq!(second["dotnet.exceptions"], 4.0, "{name}");
            assert!(METRICS.iter().all(|(_, metric, _)| second.contains_key(*metric)), "{name}: {second:?}");
        }
    }

    #[test]
    fn an_interval_is_told_once_and_when_it_is_over() {
        let mut counters = Counters::default();
        assert_eq!(counters.take(None), None);
        let mut reader = Reader::new();
        let hear = |item: Item<'_>| {
            if let Item::Event(event) = item {
                counters.hear(&event);
            }
        };
        reader.feed(&recorded("dotnet10.nettrace"), hear).expect("readable");
        assert_eq!(counters.take(Instant::now().checked_sub(std::time::Duration::from_secs(5))), None);
        assert!(counters.take(Some(Instant::now())).is_some_and(|(_, samples)| samples.len() > 20));
        assert_eq!(counters.take(None), None);
    }

    #[test]
    fn nothing_of_the_collector_before_there_was_a_collection() {
        let mut counters = Counters { interval: 1.0, ..Counters::default() };
        let mut read: HashMap<String, f64> = COLLECTIONS.map(|name| (name.to_owned(), 0.0)).into();
        read.extend(SIZES.map(|(name, _)| (name.to_owned(), 0.0)));
        let has_sizes = |samples: Vec<(String, f64)>| samples.iter().any(|(name, _)| name.starts_with("clr."));
        assert!(!has_sizes(counters.collector(&read)));
        read.insert("gen-0-gc-count".to_owned(), 2.0);
        assert!(has_sizes(counters.collector(&read)));
    }
}
