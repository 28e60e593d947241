//! APM Server's internal metrics: the names it stores in the data stream `metrics-apm.internal`, where the charts of the
//! user interface look (apm-data, modeldecoderutil).

/// Is this name on the server's list? A set made of such names only is stored as internal; one foreign name in it sends
/// the whole set to the service's own data stream.
pub fn is_internal(name: &str) -> bool {
    INTERNAL.iter().any(|(prefix, rest)| name.strip_prefix(prefix).is_some_and(|end| rest.contains(&end)))
}

/// The list, by the first words of the names.
const INTERNAL: &[(&str, &[&str])] = &[
    (
        "agent.",
        &[
            "background.cpu.overhead.pct",
            "background.cpu.total.pct",
            "background.memory.allocation.bytes",
            "events.dropped",
            "events.queue.max_size.pct",
            "events.queue.min_size.pct",
            "events.requests.bytes",
            "events.requests.count",
            "events.total",
        ],
    ),
    ("clr.gc.", &["count", "gen0size", "gen1size", "gen2size", "gen3size", "time"]),
    ("faas.", &["billed_duration", "coldstart_duration", "duration", "timeout"]),
    ("golang.", &["goroutines"]),
    ("golang.heap.allocations.", &["active", "allocated", "frees", "idle", "mallocs", "objects", "total"]),
    ("golang.heap.gc.", &["cpu_fraction", "next_gc_limit", "total_count", "total_pause.ns"]),
    ("golang.heap.system.", &["obtained", "released", "stack", "total"]),
    ("jvm.", &["fd.max", "fd.used", "gc.alloc", "gc.count", "gc.time", "thread.count"]),
    ("jvm.memory.heap.", &["committed", "max", "used", "pool.committed", "pool.max", "pool.used"]),
    ("jvm.memory.non_heap.", &["committed", "max", "used", "pool.committed", "pool.max", "pool.used"]),
    ("nodejs.", &["eventloop.delay.avg.ms", "handles.active", "requests.active"]),
    ("nodejs.memory.", &["arrayBuffers.bytes", "external.bytes", "heap.allocated.bytes", "heap.used.bytes"]),
    ("ruby.", &["gc.count", "gc.time", "heap.allocations.total", "heap.slots.free", "heap.slots.live", "threads"]),
    ("system.", &["cpu.total.norm.pct", "memory.actual.free", "memory.total"]),
    (
        "system.process.cgroup.",
        &[
            "cpu.cfs.period.us",
            "cpu.cfs.quota.us",
            "cpu.stats.periods",
            "cpu.stats.throttled.ns",
            "cpu.stats.throttled.periods",
            "cpuacct.total.ns",
            "memory.mem.limit.bytes",
            "memory.mem.usage.bytes",
            "memory.stats.inactive_file.bytes",
        ],
    ),
    ("system.process.cpu.", &["system.norm.pct", "total.norm.pct", "user.norm.pct"]),
    ("system.process.memory.", &["rss.bytes", "size"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_list_and_nothing_like_it() {
        for name in ["system.memory.total", "golang.heap.gc.total_pause.ns", "clr.gc.gen3size", "jvm.fd.used"] {
            assert!(is_internal(name), "{name}");
        }
        for name in ["", "system.", "system.memory.totals", "agent.background.threads.count", "golang.heap.system.x"] {
            assert!(!is_internal(name), "{name}");
        }
        assert_eq!(INTERNAL.iter().map(|(_, rest)| rest.len()).sum::<usize>(), 83);
    }
}
