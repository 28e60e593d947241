//! Probes in watched processes: set when their binaries have been read, gone with the process or the agent.

use std::collections::{HashMap, HashSet};

use crate::{
    bridge::{Message, Said},
    event::{Event, Header},
    kernel::Kernel,
    runtime::go::{AGENT_NAME, Code, Reader},
};

/// Which processes are to have probes.
pub(super) struct Probes {
    is_on: bool,
    routes: bool,
    /// Started when the first process needs it.
    reader: Option<Reader>,
    reading: HashSet<u32>,
    /// What is needed to put panics into words.
    codes: HashMap<u32, Code>,
    ended: Vec<u32>,
    /// Processes that could have no probes.
    refused: u64,
}

impl Probes {
    /// None yet. `routes`: requests are named by the patterns of `ServeMux`.
    pub(super) fn new(is_on: bool, routes: bool) -> Self {
        Self {
            is_on,
            routes,
            reader: None,
            reading: HashSet::new(),
            codes: HashMap::new(),
            ended: Vec::new(),
            refused: 0,
        }
    }

    /// A process is watched, or has a new image.
    pub(super) fn begin(&mut self, pid: u32, agent_name: &str) {
        self.ended.push(pid);
        if !self.is_on || agent_name != AGENT_NAME {
            return;
        }
        if self.reader.is_none() {
            match Reader::start(self.routes) {
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
        self.ended.push(pid);
    }

    /// An error, a panic, or the end of one, in words.
    pub(super) fn describe(&self, header: &Header, event: &Event<'_>) -> Option<Message> {
        let code = self.codes.get(&header.pid)?;
        let said = match event {
            Event::Failed { request, value } => Said::Failed(Box::new(code.failed(*request, value))),
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
            let set = read.and_then(|(plan, code)| {
                for (function, reason) in &plan.left_out {
                    tracing::info!(pid, function, "not probed: {reason}");
                }
                kernel.probe(pid, &plan.probes).map_err(|failure| failure.to_string())?;
                self.codes.insert(pid, code);
                Ok(())
            });
            match set {
                Ok(()) => tracing::info!(pid, "Go's probes are set"),
                Err(reason) => self.refuse(pid, &reason),
            }
        }
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
