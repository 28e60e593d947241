//! The metrics of one service instance from one report to the next.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Metricset,
    cgroup::{CgroupMemory, Mounts},
    splits_cpu_time,
    system::{CpuTime, System},
};
use crate::{
    build::EpochMicros,
    metadata::ServiceInstance,
    process::{Proc, Stat},
};

/// Shortest time a share of the CPUs is told of: the kernel counts in ticks of 10 ms.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);

/// CPU time of a process when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    start_ticks: u64,
    spent: Spent,
}

/// CPU time, clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spent {
    user: u64,
    system: u64,
}

impl Reading {
    fn of(stat: &Stat) -> Self {
        let spent = Spent { user: stat.user_ticks, system: stat.system_ticks };
        Self { start_ticks: stat.start_ticks, spent }
    }

    /// CPU time since an earlier reading of the same process. The id may have become another process's.
    fn since(self, before: Option<Self>) -> Option<Spent> {
        let before = before.filter(|before| before.start_ticks == self.start_ticks)?.spent;
        let Spent { user, system } = self.spent;
        Some(Spent { user: user.saturating_sub(before.user), system: system.saturating_sub(before.system) })
    }
}

/// An instance with its processes and what was read of them last.
#[derive(Debug)]
pub(super) struct Stream {
    pub instance: Arc<ServiceInstance>,
    /// `None`: it could not be read yet.
    processes: BTreeMap<u32, Option<Reading>>,
    /// CPU time since the last report of processes that have ended.
    ended: Option<Spent>,
    cpu: Option<CpuTime>,
    reported: Instant,
    pub due: Instant,
}

/// Memory of processes, bytes.
#[derive(Debug, Default)]
struct Memory {
    size: Option<u64>,
    resident: Option<u64>,
    cgroup: CgroupMemory,
}

impl Stream {
    pub fn new(instance: Arc<ServiceInstance>, system: &System, now: Instant, interval: Duration) -> Self {
        let processes = BTreeMap::new();
        Self { instance, processes, ended: None, cpu: system.cpu, reported: now, due: now + interval }
    }

    /// A process is part of the instance from here on.
    pub fn enter(&mut self, pid: u32, proc: &Proc) {
        let reading = proc.process(pid).ok().map(|process| Reading::of(process.stat()));
        self.processes.insert(pid, reading);
    }

    /// A process is no longer part of the instance: its last CPU time counts, as far as its parent has left it to read.
    pub fn leave(&mut self, pid: u32, proc: &Proc) {
        let Some(before) = self.processes.remove(&pid) else { return };
        if let Ok(process) = proc.process(pid) {
            let spent = Reading::of(process.stat()).since(before);
            self.ended = sum(self.ended, spent);
        }
    }

    /// All its processes have left.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Long enough after the last report for another one.
    pub fn has_lasted(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.reported) >= SHORTEST
    }

    /// Reads its processes. `None`: none of them can be read, nor has one ended.
    pub fn report(
        &mut self,
        (system, time): (&System, EpochMicros),
        now: Instant,
        proc: &Proc,
        mounts: &Mounts,
    ) -> Option<Metricset> {
        let was_empty = self.is_empty();
        let mut spent = self.ended.take();
        let mut readable = was_empty || spent.is_some();
        let mut memory = Memory::default();
        for (pid, before) in &mut self.processes {
            let Ok(process) = proc.process(*pid) else { continue };
            readable = true;
            let reading = Reading::of(process.stat());
            spent = sum(spent, reading.since(*before));
            *before = Some(reading);
            memory.add(&process, mounts);
        }
        let cpu_before = std::mem::replace(&mut self.cpu, system.cpu);
        self.reported = now;
        readable.then(|| self.metricset(time, system, cpu_before, spent, &memory))
    }

    fn metricset(
        &self,
        time: EpochMicros,
        system: &System,
        cpu_before: Option<CpuTime>,
        spent: Option<Spent>,
        memory: &Memory,
    ) -> Metricset {
        let cpu = system.cpu.zip(cpu_before);
        let share = |ticks: fn(Spent) -> u64| {
            let ((now, before), spent) = cpu.zip(spent)?;
            now.share_since(before, ticks(spent))
        };
        let mut set = Metricset::new(time);
        set.add("system.cpu.total.norm.pct", cpu.and_then(|(now, before)| now.busy_since(before)));
        set.add("system.memory.total", system.memory.total);
        set.add("system.memory.actual.free", system.memory.available);
        set.add("system.process.cpu.total.norm.pct", share(|spent| spent.user.saturating_add(spent.system)));
        if splits_cpu_time(&self.instance) {
            set.add("system.process.cpu.user.norm.pct", share(|spent| spent.user));
            set.add("system.process.cpu.system.norm.pct", share(|spent| spent.system));
        }
        set.add("system.process.memory.size", memory.size);
        set.add("system.process.memory.rss.bytes", memory.resident);
        set.add("system.process.cgroup.memory.mem.limit.bytes", memory.cgroup.limit);
        set.add("system.process.cgroup.memory.mem.usage.bytes", memory.cgroup.usage);
        set
    }
}

impl Memory {
    /// Adds a process. The cgroup is that of the first one; a zombie is in none any more.
    fn add(&mut self, process: &crate::process::Process, mounts: &Mounts) {
        let status = process.status().unwrap_or_default();
        let plus = |sum: Option<u64>, more: Option<u64>| match (sum, more) {
            (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
            (sum, more) => sum.or(more),
        };
        let first = self.resident.is_none() && status.resident.is_some();
        self.size = plus(self.size, status.size);
        self.resident = plus(self.resident, status.resident);
        if first {
            self.cgroup = mounts.memory(&process.cgroup());
        }
    }
}

fn sum(one: Option<Spent>, other: Option<Spent>) -> Option<Spent> {
    match (one, other) {
        (Some(one), Some(other)) => {
            Some(Spent { user: one.user.saturating_add(other.user), system: one.system.saturating_add(other.system) })
        }
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
pub(super) mod tests;
