//! When which instance is measured, and the way out for every metric.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Metricset,
    cgroup::Mounts,
    stream::{SHORTEST, Stream},
    system::System,
};
use crate::{
    build::{Document, EpochMicros, wildcard::Wildcards},
    clock::{self, Clock},
    config,
    metadata::ServiceInstance,
    process::Proc,
    send::Output,
};

/// Watched processes with their instances, as the engine keeps them.
type Services = HashMap<u32, Arc<ServiceInstance>>;

/// Measures every watched instance, each first one interval after it was met: a share of the CPU needs two readings.
#[derive(Debug)]
pub struct Collector {
    /// `None`: nothing is measured.
    interval: Option<Duration>,
    disabled: Wildcards,
    proc: Proc,
    mounts: Mounts,
    /// The instance each process is counted for.
    known: Services,
    streams: Vec<Stream>,
    published: u64,
}

/// The machine at one time: read when the first stream needs it, then shared.
#[derive(Default)]
struct Moment(Option<(System, EpochMicros)>);

impl Moment {
    fn get(&mut self, proc: &Proc) -> (&System, EpochMicros) {
        let (system, time) = self.0.get_or_insert_with(|| (System::read(proc), Clock::now().epoch(clock::monotonic())));
        (system, *time)
    }
}

impl Collector {
    /// A collector; an interval above zero and below a second counts as a second.
    pub fn new(settings: &config::Metrics) -> Self {
        Self::at(Proc::default(), settings)
    }

    /// One that measures nothing.
    pub fn off() -> Self {
        Self::new(&config::Metrics { interval: Duration::ZERO, ..config::Metrics::default() })
    }

    pub(super) fn at(proc: Proc, settings: &config::Metrics) -> Self {
        let interval = (!settings.interval.is_zero()).then(|| settings.interval.max(SHORTEST));
        Self {
            interval,
            disabled: Wildcards::new(&settings.disabled),
            mounts: interval.map(|_| Mounts::read(&proc)).unwrap_or_default(),
            proc,
            known: HashMap::new(),
            streams: Vec::new(),
            published: 0,
        }
    }

    /// How often instances are measured; `None`: never.
    pub fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Called about ten times a second: meets processes that have come, and measures the instances whose time it is.
    pub fn tick(&mut self, now: Instant, services: &Services, output: &mut dyn Output) {
        let Some(interval) = self.interval else { return };
        let mut moment = Moment::default();
        for (pid, instance) in services {
            let known = self.known.get(pid).is_some_and(|known| Arc::ptr_eq(known, instance));
            if !known {
                self.leave(now, *pid, output);
                self.enter((now, interval), *pid, instance, &mut moment);
            }
        }
        let mut due = Vec::new();
        for stream in self.streams.iter_mut().filter(|stream| stream.due <= now) {
            // Should we have slept over several, one is enough.
            stream.due = Some(stream.due + interval).filter(|due| *due > now).unwrap_or(now + interval);
            let set = stream.report(moment.get(&self.proc), now, &self.proc, &self.mounts);
            due.extend(set.map(|set| (Arc::clone(&stream.instance), set)));
        }
        due.into_iter().for_each(|(instance, set)| self.publish(&instance, set, output));
    }

    fn enter(
        &mut self,
        (now, interval): (Instant, Duration),
        pid: u32,
        instance: &Arc<ServiceInstance>,
        moment: &mut Moment,
    ) {
        self.known.insert(pid, Arc::clone(instance));
        let (proc, same) = (&self.proc, |stream: &&mut Stream| Arc::ptr_eq(&stream.instance, instance));
        if let Some(stream) = self.streams.iter_mut().find(same) {
            stream.enter(pid, proc);
            return;
        }
        let (system, _) = moment.get(proc);
        let mut stream = Stream::new(Arc::clone(instance), system, now, interval);
        stream.enter(pid, proc);
        self.streams.push(stream);
    }

    /// A process is watched no longer. With its last process an instance is measured once more, before its stream ends.
    pub fn leave(&mut self, now: Instant, pid: u32, output: &mut dyn Output) {
        let Some(instance) = self.known.remove(&pid) else { return };
        let Some(at) = self.streams.iter().position(|stream| Arc::ptr_eq(&stream.instance, &instance)) else { return };
        let Some(stream) = self.streams.get_mut(at) else { return };
        stream.leave(pid, &self.proc);
        if stream.is_empty() {
            let stream = self.streams.swap_remove(at);
            self.report_last(now, stream, &mut Moment::default(), output);
        }
    }

    /// Measures everything once more. Nothing is measured after this.
    pub fn finish(&mut self, now: Instant, output: &mut dyn Output) {
        let mut moment = Moment::default();
        for stream in std::mem::take(&mut self.streams) {
            self.report_last(now, stream, &mut moment, output);
        }
        self.known.clear();
        self.interval = None;
    }

    /// A last report, unless there was one just now.
    fn report_last(&mut self, now: Instant, mut stream: Stream, moment: &mut Moment, output: &mut dyn Output) {
        if stream.has_lasted(now)
            && let Some(set) = stream.report(moment.get(&self.proc), now, &self.proc, &self.mounts)
        {
            self.publish(&stream.instance, set, output);
        }
    }

    /// Hands metrics on, whoever measured them: without those the user has disabled, and internal ones apart.
    pub fn publish(&mut self, instance: &Arc<ServiceInstance>, set: Metricset, output: &mut dyn Output) {
        for part in set.parts(&self.disabled) {
            self.published += 1;
            output.publish(instance, &Document::Metrics(part));
        }
    }

    /// Counters for the report.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("metrics.sets", self.published)]
    }
}

#[cfg(test)]
mod tests;
