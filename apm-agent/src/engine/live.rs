//! The live engine: drains the kernel, decides about processes that come, keeps everybody informed.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use apm_common::event::{
    CLOSE_LAST, OPEN_ADOPTED, PROCESS_WATCHED, ProcessEntry, ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN,
};

use super::{
    admission::{Admit, Decision, WaitingRoom},
    bridges::{Bridges, FAREWELL},
    probes::Probes,
    registry::{Found, Registry},
};
use crate::{
    bridge::{Message, Said},
    build::destination::Endpoint,
    clock::{self, Clock},
    config::BridgeSwitches,
    event::{Event, Header, decode, set_role},
    exchange::Nanos,
    kernel::{Kernel, KernelFailure},
    metadata::ServiceInstance,
    metric::{Collector, Metricset, Value},
    pipeline::{Pipeline, Wish},
    recording::Recorder,
    runtime::{Batch, BridgeSettings},
    send::Output,
};

/// Longest time between two looks at the ring buffer; the kernel wakes us before when much comes. Each look begins with
/// cold caches: at 800 requests a second, looks of 10 ms took 1.3 times the CPU time of these, and longer ones gain nothing.
const NAP: Duration = Duration::from_millis(40);
/// The same while bridges end.
const SHORT_NAP: Duration = Duration::from_millis(5);
/// Events taken in one go, before decisions are made and outputs get their turn.
const BATCH: usize = 4096;
/// How often the clocks are compared.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// When to stop.
pub struct Stop {
    /// Set by a signal.
    pub asked: Arc<AtomicBool>,
    /// The run's end, when it has one.
    pub at: Option<Instant>,
}

impl Stop {
    fn now(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.at.is_some_and(|at| Instant::now() >= at)
    }
}

/// A running agent.
pub struct Live<A> {
    kernel: Kernel,
    desk: Desk<A>,
    clock_read: Instant,
}

/// Everything a live engine is made of, but the kernel.
pub struct Parts<A> {
    /// Makes documents of events.
    pub pipeline: Pipeline,
    /// Decides about processes.
    pub admit: A,
    /// Where documents go.
    pub output: Box<dyn Output>,
    /// Where events go, when they are recorded.
    pub recorder: Option<Recorder>,
    /// Which run times are listened to.
    pub bridges: BridgeSwitches,
    /// What run times are asked for.
    pub bridge_settings: BridgeSettings,
}

/// Everything but the kernel: what a record is handed to.
struct Desk<A> {
    pipeline: Pipeline,
    admit: A,
    output: Box<dyn Output>,
    recorder: Option<Recorder>,
    bridges: Bridges,
    probes: Probes,
    /// Connections of watched processes that are our own.
    own: HashSet<u64>,
    /// Events of them, which go no further.
    own_events: u64,
    /// Those of them that the kernel should tell no more of.
    ignored: Vec<u64>,
    services: std::collections::HashMap<u32, Arc<ServiceInstance>>,
    waiting: WaitingRoom,
    metrics: Collector,
    undecoded: u64,
    /// When the last event taken happened.
    taken_until: Nanos,
}

impl<A: Admit> Live<A> {
    /// An engine on a loaded kernel.
    pub fn new(kernel: Kernel, parts: Parts<A>) -> Self {
        let desk = Desk {
            pipeline: parts.pipeline,
            admit: parts.admit,
            output: parts.output,
            recorder: parts.recorder,
            probes: Probes::new(&parts.bridges),
            bridges: Bridges::new(parts.bridges, parts.bridge_settings, Some(kernel.tools())),
            own: HashSet::new(),
            own_events: 0,
            ignored: Vec::new(),
            services: std::collections::HashMap::new(),
            waiting: WaitingRoom::default(),
            metrics: Collector::off(),
            undecoded: 0,
            taken_until: 0,
        };
        Self { kernel, desk, clock_read: Instant::now() }
    }

    /// Measures what is watched.
    pub fn measure(&mut self, metrics: Collector) {
        self.desk.probes.measure_every(metrics.interval());
        self.desk.metrics = metrics;
    }

    /// Watches a process that runs already.
    ///
    /// # Errors
    /// When the kernel's set of processes is full.
    pub fn watch(&mut self, pid: u32, instance: Arc<ServiceInstance>) -> Result<(), KernelFailure> {
        self.desk.probes.begin(pid, &instance.agent_name);
        self.desk.introduce(pid, instance);
        self.kernel.watch(pid, ProcessEntry { start_time: 0, state: PROCESS_WATCHED, reserved: 0 })
    }

    /// Is anything watched?
    pub fn is_idle(&self) -> bool {
        self.desk.services.is_empty()
    }

    /// Counters of every part, with the kernel's.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = kernel_counters(&self.kernel);
        counters.extend(self.desk.counters());
        counters
    }

    /// Runs until asked to stop; calls `now_and_then` about ten times a second at most.
    pub fn run(&mut self, stop: &Stop, mut now_and_then: impl FnMut(&mut Self)) {
        let mut ticked = Instant::now();
        while !stop.now() {
            if self.turn() < BATCH {
                self.kernel.wait(NAP);
            }
            if ticked.elapsed() >= Duration::from_millis(100) {
                ticked = Instant::now();
                self.desk.metrics.tick(ticked, &self.desk.services, self.desk.output.as_mut());
                let said = self.desk.probes.measure(ticked);
                self.desk.hear(said);
                self.desk.output.tick();
                self.read_clock();
                now_and_then(self);
            }
        }
        // What the kernel still holds was sent before we were asked to stop.
        while self.turn() > 0 {}
    }

    /// Detaches from the kernel, ends what is open, flushes the outputs. Gives back the final counters.
    pub fn finish(mut self) -> (Vec<(&'static str, u64)>, Result<(), crate::recording::RecordingError>) {
        self.desk.bridges.end_all();
        let until = Instant::now() + FAREWELL;
        while self.desk.bridges.is_leaving() && Instant::now() < until {
            if self.turn() == 0 {
                self.kernel.wait(SHORT_NAP);
            }
        }
        while self.turn() > 0 {}
        let said = self.desk.bridges.abandon();
        self.desk.hear(said);
        let mut counters = kernel_counters(&self.kernel);
        drop(self.kernel);
        let now = clock::monotonic();
        self.desk.pipeline.finish(now, self.desk.output.as_mut());
        self.desk.metrics.finish(Instant::now(), self.desk.output.as_mut());
        let recorded = self.desk.recorder.take().map_or(Ok(0), |recorder| recorder.finish(now));
        self.desk.output.finish();
        counters.extend(self.desk.counters());
        (counters, recorded.map(|_| ()))
    }

    /// One round: drain, decide, carry out wishes. Returns the number of events.
    fn turn(&mut self) -> usize {
        let (kernel, desk) = (&mut self.kernel, &mut self.desk);
        desk.bridges.receive();
        let taken = kernel.drain(BATCH, |record| desk.receive(record));
        for connection in desk.ignored.drain(..) {
            kernel.ignore_connection(connection);
        }
        for pid in self.desk.waiting.pids() {
            self.decide(pid);
        }
        self.desk.probes.carry_out(&mut self.kernel);
        let bridges = &mut self.desk.bridges;
        // An emptied ring buffer has nothing older to say than what had arrived before.
        let said = if taken < BATCH { bridges.ready() } else { bridges.ready_until(self.desk.taken_until) };
        self.desk.hear(said);
        let wishes: Vec<Wish> = self.desk.pipeline.take_wishes().collect();
        for wish in wishes {
            match wish {
                Wish::Ignore(connection) => {
                    self.kernel.ignore_connection(connection);
                    self.kernel.carry_no_more_on(connection);
                }
                Wish::Spare(connection) => self.kernel.carry_no_more_on(connection),
                Wish::Widen(pid, detail) => self.desk.bridges.widen(pid, detail),
                Wish::Reach(pid, connection, descriptor) => self.kernel.carry_on(pid, connection, descriptor),
                Wish::Forget(connection) => self.kernel.forget_connection(connection),
            }
        }
        taken
    }

    fn decide(&mut self, pid: u32) {
        let known_as = self.desk.services.get(&pid).cloned();
        let decision = self.desk.admit.decide(pid, known_as.as_ref());
        let events = self.desk.waiting.leave(pid);
        match decision {
            Decision::Watch(instance) => {
                self.desk.probes.begin(pid, &instance.agent_name);
                if known_as.is_none_or(|known| !Arc::ptr_eq(&known, &instance)) {
                    self.desk.introduce(pid, instance);
                }
                if self.kernel.is_watched(pid) {
                    let entry = ProcessEntry { start_time: 0, state: PROCESS_WATCHED, reserved: 0 };
                    let _ = self.kernel.watch(pid, entry);
                }
                for record in events {
                    self.desk.receive(&record);
                }
            }
            Decision::Leave => {
                self.desk.retire(pid);
                self.kernel.forget(pid);
            }
        }
    }

    fn read_clock(&mut self) {
        if self.clock_read.elapsed() >= CLOCK_EVERY {
            self.clock_read = Instant::now();
            let clock = Clock::now();
            self.desk.pipeline.set_clock(clock);
            if let Some(recorder) = &mut self.desk.recorder {
                recorder.clock(clock);
            }
        }
    }
}

impl Live<Registry> {
    /// Processes that run, should be watched and are not.
    pub fn scan(&mut self) -> Vec<Found> {
        self.desk.admit.scan()
    }
}

/// What the kernel counts, and what its maps take.
fn kernel_counters(kernel: &Kernel) -> Vec<(&'static str, u64)> {
    let mut counters = kernel.counters();
    let (processes, probes) = kernel.probes();
    counters.push(("kernel.probed_processes", processes as u64));
    counters.push(("kernel.probes", probes as u64));
    counters.push(("kernel.map_bytes", kernel.map_bytes()));
    counters.push(("propagation.connections_taken_over", kernel.taken_over()));
    counters
}

impl<A: Admit> Desk<A> {
    fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = vec![
            ("kernel.events.undecoded", self.undecoded),
            ("kernel.events.not_kept", self.waiting.lost),
            ("kernel.events.own", self.own_events),
        ];
        counters.extend(self.bridges.counters());
        counters.extend(self.probes.counters());
        counters.extend(self.pipeline.counters());
        counters.extend(self.metrics.counters());
        counters.extend(self.output.counters());
        counters
    }

    fn introduce(&mut self, pid: u32, instance: Arc<ServiceInstance>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.service(pid, &instance);
        }
        self.bridges.begin(pid, &instance.agent_name);
        self.pipeline.watch(pid, Arc::clone(&instance));
        self.services.insert(pid, instance);
    }

    /// What run times said.
    fn hear(&mut self, said: Vec<Message>) {
        for message in said {
            if let Some(recorder) = &mut self.recorder {
                recorder.said(&message);
            }
            match &message.said {
                Said::Metrics(samples) => self.measured(&message, samples),
                _ => self.pipeline.told(&message, self.output.as_mut()),
            }
        }
    }

    /// A run time measured itself. What it says after its end has no instance to belong to.
    fn measured(&mut self, message: &Message, samples: &[(String, f64)]) {
        let Some(instance) = self.services.get(&message.pid) else { return };
        let mut set = Metricset::new(Clock::now().epoch(message.time));
        for (name, value) in samples {
            set.add(name.clone(), Some(Value::measured(*value)));
        }
        self.metrics.publish(instance, set, self.output.as_mut());
    }

    /// One record of the kernel, or of the waiting room.
    fn receive(&mut self, record: &[u8]) {
        let Some((header, event)) = decode(record) else {
            self.undecoded += 1;
            return;
        };
        self.taken_until = header.time;
        if self.waiting.has(header.pid) {
            self.waiting.keep(header.pid, record);
            if let Event::Fork { child, .. } = event {
                self.waiting.enter(child);
            }
            return;
        }
        if self.is_own(&header, &event) {
            self.own_events += 1;
            return;
        }
        match &event {
            Event::Written { batch } => {
                let batch = Batch { time: header.time, tid: header.tid, bytes: batch.to_vec() };
                if let Some(message) = self.bridges.written(header.pid, batch) {
                    self.hear(vec![message]);
                }
            }
            Event::Exec { .. } => self.waiting.enter(header.pid),
            Event::Listen { .. } if !self.services.contains_key(&header.pid) => self.waiting.enter(header.pid),
            Event::Fork { child, .. } => {
                if let Some(instance) = self.services.get(&header.pid) {
                    self.services.insert(*child, Arc::clone(instance));
                }
                self.pass(&header, &event, record);
            }
            Event::Exit { .. } => {
                self.pass(&header, &event, record);
                self.admit.gone(header.pid);
                self.retire(header.pid);
            }
            Event::Open(open) if header.flags & OPEN_ADOPTED != 0 && open.role == ROLE_UNKNOWN => {
                let role = self.role(&header, open);
                let mut known = record.to_vec();
                set_role(&mut known, role);
                if let Some((header, event)) = decode(&known) {
                    self.pass(&header, &event, &known);
                }
            }
            Event::Failed { .. } | Event::StatementFailed { .. } | Event::Panic(_) | Event::Recovered { .. } => {
                self.pass(&header, &event, record);
                if let Some(message) = self.probes.describe(&header, &event) {
                    self.hear(vec![message]);
                }
            }
            _ => self.pass(&header, &event, record),
        }
    }

    /// Is it about a connection of our own, which nobody is to hear of?
    fn is_own(&mut self, header: &Header, event: &Event<'_>) -> bool {
        match event {
            Event::Open(open) => {
                let Endpoint::Ip(remote) = open.remote else { return false };
                if !self.bridges.is_own(header.pid, remote, header.time) {
                    // Its number may have been one of ours before.
                    self.own.remove(&open.id);
                    return false;
                }
                self.own.insert(open.id);
                self.ignored.push(open.id);
                true
            }
            Event::Data { connection, .. } => self.own.contains(connection),
            Event::Close { connection } if header.flags & CLOSE_LAST != 0 => self.own.remove(connection),
            Event::Close { connection } => self.own.contains(connection),
            _ => false,
        }
    }

    /// A process is no longer watched; with its last one an instance's stream can end.
    fn retire(&mut self, pid: u32) {
        let Some(instance) = self.services.remove(&pid) else {
            return;
        };
        self.bridges.end(pid);
        self.probes.end(pid);
        self.metrics.leave(Instant::now(), pid, self.output.as_mut());
        if !self.services.values().any(|other| Arc::ptr_eq(other, &instance)) {
            self.output.retire(&instance);
        }
    }

    fn pass(&mut self, header: &Header, event: &Event<'_>, record: &[u8]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.event(record);
        }
        self.pipeline.handle(header, event, self.output.as_mut());
    }

    /// The role of a connection met late: accepted, if somebody listens at its own address; by a unix socket's path.
    fn role(&mut self, header: &Header, open: &crate::event::Connection) -> u8 {
        match (&open.local, &open.remote) {
            (Endpoint::Ip(local), _) => match self.admit.accepted(header.pid, *local) {
                Some(true) => ROLE_SERVER,
                Some(false) => ROLE_CLIENT,
                None => ROLE_UNKNOWN,
            },
            (Endpoint::Unix(path), _) if !path.is_empty() => ROLE_SERVER,
            (_, Endpoint::Unix(path)) if !path.is_empty() => ROLE_CLIENT,
            _ => ROLE_UNKNOWN,
        }
    }
}
