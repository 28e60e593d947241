//! What `/proc` says of the whole machine: `stat` and `meminfo` (proc_stat(5), proc_meminfo(5)).

use crate::process::{Proc, read_capped};

/// The first line of `stat` is what we read; the kernel may have thousands of bytes more.
const STAT_BYTES: u64 = 512;
/// `meminfo` has some 1500 bytes.
const MEMINFO_BYTES: u64 = 16 * 1024;

/// The machine at one time; `None` is what could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct System {
    pub cpu: Option<CpuTime>,
    pub memory: MemoryInfo,
}

impl System {
    pub fn read(proc: &Proc) -> Self {
        let text = |name: &str, cap| {
            let bytes = read_capped(&proc.root().join(name), cap).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self {
            cpu: CpuTime::parse(&text("stat", STAT_BYTES)),
            memory: MemoryInfo::parse(&text("meminfo", MEMINFO_BYTES)),
        }
    }
}

/// Time of all CPUs since boot, clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub total: u64,
    /// Without idle and waiting for I/O.
    pub busy: u64,
}

impl CpuTime {
    /// Reads the line `cpu user nice system idle iowait irq softirq steal guest guest_nice`. Guests' time is part of
    /// user and nice, so it is not added again.
    pub fn parse(stat: &str) -> Option<Self> {
        let mut words = stat.lines().next()?.split_ascii_whitespace();
        if words.next() != Some("cpu") {
            return None;
        }
        let times: Vec<u64> = words.take(8).map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let sum = |times: &[u64]| times.iter().fold(0_u64, |sum, time| sum.saturating_add(*time));
        let (total, idle) = (sum(&times), sum(times.get(3..5)?));
        Some(Self { total, busy: total.saturating_sub(idle) })
    }

    /// Share of the time since `before` in which CPUs were busy. The kernel's idle times may run backwards a little.
    pub fn busy_since(self, before: Self) -> Option<f64> {
        self.share_since(before, self.busy.saturating_sub(before.busy))
    }

    /// What part `ticks` are of the time of all CPUs since `before`, 0 to 1. `None`: no time has passed.
    pub fn share_since(self, before: Self, ticks: u64) -> Option<f64> {
        let passed = self.total.checked_sub(before.total).filter(|passed| *passed > 0)?;
        Some((ticks as f64 / passed as f64).min(1.0))
    }
}

/// Memory of the machine, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryInfo {
    pub total: Option<u64>,
    pub available: Option<u64>,
}

impl MemoryInfo {
    pub fn parse(meminfo: &str) -> Self {
        let bytes = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
        };
        Self { total: bytes("MemTotal"), available: bytes("MemAvailable") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_time_between() {
        let before = CpuTime::parse("cpu  100 0 50 800 50 0 0 0 7 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n").unwrap();
        assert_eq!(before, CpuTime { total: 1000, busy: 150 });
        let now = CpuTime::parse("cpu 130 10 60 840 60 5 3 2 9 9").unwrap();
        assert_eq!(now, CpuTime { total: 1110, busy: 210 });
        assert_eq!(now.busy_since(before), Some(60.0 / 110.0));
        assert_eq!(now.share_since(before, 11), Some(0.1));
        assert_eq!(now.share_since(before, 999), Some(1.0), "more than there was");
        assert_eq!(now.share_since(now, 5), None, "no time");
        assert_eq!(before.busy_since(now), None, "backwards");
    }

    #[test]
    fn what_is_not_there_stays_unknown() {
        for wrong in ["", "cpu", "cpu 1 2 3", "cpu 1 2 3 4", "cpu0 1 2 3 4 5 6 7 8", "cpu a b c d e", "cpu -1 2 3 4 5"]
        {
            assert_eq!(CpuTime::parse(wrong), None, "{wrong}");
        }
        assert!(CpuTime::parse("cpu 18446744073709551615 18446744073709551615 1 1 1").is_some(), "no overflow");
        let text = "MemTotal:       4053312 kB\nMemFree: 1 kB\nMemAvailable:   2000 kB\n";
        assert_eq!(MemoryInfo::parse(text), MemoryInfo { total: Some(4_150_591_488), available: Some(2_048_000) });
        assert_eq!(MemoryInfo::parse("MemTotal\nMemAvailable: many kB\n"), MemoryInfo::default());
        assert_eq!(MemoryInfo::parse("MemTotal: 18446744073709551615 kB\n"), MemoryInfo::default());
        assert_eq!(System::read(&Proc::at("/nowhere")), System::default());
    }

    #[test]
    fn reads_this_machine() {
        let system = System::read(&Proc::default());
        assert!(system.cpu.is_some_and(|cpu| cpu.busy > 0 && cpu.busy < cpu.total), "{system:?}");
        assert!(system.memory.available > Some(0) && system.memory.available < system.memory.total, "{system:?}");
    }

    proptest::proptest! {
        #[test]
        fn takes_anything(text in "[cpu0-9 :\\nMemTotalkB-]{0,200}") {
            let _ = (CpuTime::parse(&text), MemoryInfo::parse(&text));
        }
    }
}
