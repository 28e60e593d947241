//! Go programs that are watched: probes are set when their binaries have been read, gone with the process or the agent;
//! what their run time counts is read every `metrics_interval`.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    time::{Duration, Instant},
};

use crate::{
    bridge::{Message, Said, StatementFailed},
    clock,
    config::BridgeSwitches,
    event::{Event, Header},
    kernel::{Kernel, Probe, Written},
    runtime::go::{AGENT_NAME, Asked, Code, Known, Plan, Reader, Vitals},
};

/// Which processes are to have probes, and what is measured.
pub(super) struct Probes {
    asked: Asked,
    /// How often run times are measured; `None`: never.
    interval: Option<Duration>,
    /// Started when the first process needs it.
    reader: Option<Reader>,
    reading: HashSet<u32>,
    /// What is needed to put errors and panics into words.
    codes: HashMap<u32, Code>,
    /// What is measured, and when next.
    vitals: HashMap<u32, (Instant, Vitals)>,
    ended: Vec<u32>,
    /// Processes that could have no probes.
    refused: u64,
}

impl Probes {
    /// None yet.
    pub(super) fn new(switches: &BridgeSwitches) -> Self {
        Self {
            asked: Asked {
                probes: switches.go,
                routes: switches.go_routes,
                left_alone: switches.left_alone.clone(),
                ancestry: switches.go_ancestry,
                vitals: false,
            },
            interval: None,
            reader: None,
            reading: HashSet::new(),
            codes: HashMap::new(),
            vitals: HashMap::new(),
            ended: Vec::new(),
            refused: 0,
        }
    }

    /// Processes that are watched from now on are measured so often; `None`: not.
    pub(super) fn measure_every(&mut self, interval: Option<Duration>) {
        self.interval = interval;
        self.asked.vitals = interval.is_some();
    }

    /// A process is watched, or has a new image.
    pub(super) fn begin(&mut self, pid: u32, agent_name: &str) {
        self.ended.push(pid);
        self.vitals.remove(&pid);
        if !(self.asked.probes || self.asked.vitals) || agent_name != AGENT_NAME {
            return;
        }
        if self.reader.is_none() {
            match Reader::start(self.asked.clone()) {
                Ok(reader) => self.reader = Some(reader),
                Err(error) => return self.refuse(pid, &format!("no thread could be started: {error}")),
            }
        }
        if let Some(reader) = &self.reader {
            reader.ask(pid);
            self.reading.insert(pid);
        }
    }

    /// A process is not watched any more.
    pub(super) fn end(&mut self, pid: u32) {
        self.reading.remove(&pid);
        self.codes.remove(&pid);
        self.vitals.remove(&pid);
        self.ended.push(pid);
    }

    /// An error, a panic, or the end of one, in words.
    pub(super) fn describe(&self, header: &Header, event: &Event<'_>) -> Option<Message> {
        let code = self.codes.get(&header.pid)?;
        let said = match event {
            Event::Failed { request, value } => Said::Failed(Box::new(code.failed(*request, value))),
            Event::StatementFailed { goroutine, value } => {
                Said::StatementFailed(Box::new(StatementFailed { goroutine: *goroutine, thrown: code.error(value) }))
            }
            Event::Panic(panic) => Said::Panicked(Box::new(code.panicked(panic))),
            Event::Recovered { goroutine, resumed_at } => Said::Recovered(code.recovered(*goroutine, *resumed_at)),
            _ => return None,
        };
        Some(Message { pid: header.pid, time: header.time, said })
    }

    /// Takes probes out of what has ended, and sets those of what has been read.
    pub(super) fn carry_out(&mut self, kernel: &mut Kernel) {
        for pid in self.ended.drain(..) {
            kernel.unprobe(pid);
        }
        for (pid, read) in self.reader.as_ref().map(Reader::done).unwrap_or_default() {
            if !self.reading.remove(&pid) {
                continue;
            }
            match read {
                Ok(known) => self.known(kernel, pid, known),
                Err(reason) => self.refuse(pid, &reason),
            }
        }
    }

    fn known(&mut self, kernel: &mut Kernel, pid: u32, known: Known) {
        match (known.vitals, self.interval) {
            (Some(Ok(vitals)), Some(interval)) => {
                self.vitals.insert(pid, (Instant::now() + interval, vitals));
            }
            (Some(Err(reason)), _) => tracing::warn!(pid, "Go's run time is not measured: {reason}"),
            _ => {}
        }
        let Some(plan) = known.plan else { return };
        let code = plan.as_ref().ok().and_then(|plan| plan.carries.clone());
        match plan.and_then(|plan| set(kernel, pid, plan)) {
            Ok(()) => {
                self.codes.insert(pid, known.code);
                if let Some(code) = code {
                    carry(kernel, pid, code);
                }
                tracing::info!(pid, "Go's probes are set");
            }
            Err(reason) => self.refuse(pid, &reason),
        }
    }

    /// Measures the run times whose time it is.
    pub(super) fn measure(&mut self, now: Instant) -> Vec<Message> {
        let Some(interval) = self.interval else { return Vec::new() };
        let mut said = Vec::new();
        for (pid, (due, vitals)) in self.vitals.iter_mut().filter(|(_, (due, _))| *due <= now) {
            // Should we have slept over several, one is enough.
            *due = Some(*due + interval).filter(|due| *due > now).unwrap_or(now + interval);
            // A process that is gone will be told as ended.
            if let Ok(Some(samples)) = vitals.read() {
                said.push(Message { pid: *pid, time: clock::monotonic(), said: Said::Metrics(samples) });
            }
        }
        said
    }

    /// Counters by name.
    pub(super) fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("probes.reading", self.reading.len() as u64), ("probes.refused", self.refused)]
    }

    fn refuse(&mut self, pid: u32, reason: &str) {
        self.refused += 1;
        tracing::warn!(pid, "Go's probes are not set, the wire goes on alone: {reason}");
    }
}

/// Has the place in the trace go along with the calls of a process.
fn carry(kernel: &mut Kernel, pid: u32, code: Range<u64>) {
    match kernel.carry_for(pid, code) {
        Ok(true) => {
            tracing::info!(pid, "`traceparent` goes into HTTP/1 calls, on older connections from the second one on")
        }
        Ok(false) => {}
        Err(failure) => tracing::warn!(pid, "`traceparent` is not put into calls: {failure}"),
    }
}

fn set(kernel: &mut Kernel, pid: u32, mut plan: Plan) -> Result<(), String> {
    for (function, reason) in &plan.left_out {
        tracing::info!(pid, function, "not probed: {reason}");
    }
    let way = if plan.heads.is_empty() { Ok(None) } else { kernel.write_into_heads() };
    match way {
        Ok(Some(way)) => {
            let heads = plan.heads.iter().map(|probe| Probe { program: way.program(probe.program), ..*probe });
            plan.probes.probes.extend(heads);
            let how = if way == Written::Directly { "in its memory" } else { "while it is stopped" };
            tracing::info!(pid, "`traceparent` is written into calls over TLS, HTTP/2 and gRPC, {how}");
        }
        Ok(None) => {}
        Err(failure) => {
            tracing::info!(pid, "`traceparent` is not written into calls over TLS, HTTP/2 and gRPC: {failure}");
        }
    }
    kernel.probe(pid, &plan.probes).map_err(|failure| failure.to_string())
}
