//! The bridges to the run times of watched processes: one thread each, which ends with its process.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    bridge::{Detail, Message},
    config::BridgeSwitches,
    process::Proc,
    runtime::{Bridge, BridgeSettings, Line, bridge_of, pack},
};

/// Batches on the way to the engine; a bridge that finds the line full waits.
const BATCHES: usize = 256;

/// Most processes with a bridge at once: each costs a thread.
const MOST: usize = 512;

/// Time for all bridges to say what they still have to say, and to go.
const FAREWELL: Duration = Duration::from_secs(5);

/// All bridges.
pub(super) struct Bridges {
    switches: BridgeSwitches,
    settings: BridgeSettings,
    running: HashMap<u32, Running>,
    leaving: Vec<Running>,
    abandoned: Arc<AtomicBool>,
    sender: SyncSender<Vec<Message>>,
    receiver: Receiver<Vec<Message>>,
    arrived: VecDeque<Vec<Message>>,
    refused: u64,
    broken: Arc<AtomicU64>,
}

struct Running {
    stop: Arc<AtomicBool>,
    wanted: Arc<AtomicU8>,
    thread: JoinHandle<()>,
}

impl Bridges {
    /// None yet.
    pub(super) fn new(switches: BridgeSwitches, settings: BridgeSettings) -> Self {
        let (sender, receiver) = sync_channel(BATCHES);
        Self {
            switches,
            settings,
            running: HashMap::new(),
            leaving: Vec::new(),
            abandoned: Arc::default(),
            sender,
            receiver,
            arrived: VecDeque::new(),
            refused: 0,
            broken: Arc::default(),
        }
    }

    /// Begins to listen to a process, if its run time has a door and the user lets us use it.
    pub(super) fn begin(&mut self, pid: u32, agent_name: &str) {
        let Some(bridge) = bridge_of(agent_name).filter(|bridge| bridge.is_on(&self.switches)) else { return };
        if self.running.contains_key(&pid) {
            return;
        }
        if self.running.len() >= MOST {
            self.refused += 1;
            return;
        }
        let settings = self.settings.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let wanted = Arc::new(AtomicU8::new(0));
        let line =
            Line::new(pid, Arc::clone(&stop), Arc::clone(&wanted), Arc::clone(&self.abandoned), self.sender.clone());
        let broken = Arc::clone(&self.broken);
        let talk = move || talk(bridge, &settings, line, &broken);
        match std::thread::Builder::new().name(format!("bridge {pid}")).spawn(talk) {
            Ok(thread) => {
                self.running.insert(pid, Running { stop, wanted, thread });
            }
            Err(error) => {
                self.refused += 1;
                tracing::warn!(pid, "the run time cannot be listened to: no thread could be started: {error}");
            }
        }
    }

    /// The wire does not show enough of a process: its run time is to tell more.
    pub(super) fn widen(&mut self, pid: u32, detail: Detail) {
        if let Some(running) = self.running.get(&pid) {
            running.wanted.fetch_or(pack(detail), Ordering::Relaxed);
        }
    }

    /// Ends the bridge to a process; what it still says arrives later.
    pub(super) fn end(&mut self, pid: u32) {
        if let Some(running) = self.running.remove(&pid) {
            running.stop.store(true, Ordering::Relaxed);
            self.leaving.push(running);
        }
        self.leaving.retain(|leaving| !leaving.thread.is_finished());
    }

    /// Takes in what has arrived. To be called before the kernel's events are taken.
    pub(super) fn receive(&mut self) {
        self.arrived.extend(self.receiver.try_iter());
    }

    /// What had arrived before the kernel's events were taken: they are all older than the events not taken yet.
    pub(super) fn ready(&mut self) -> Vec<Message> {
        self.arrived.drain(..).flatten().collect()
    }

    /// Ends all bridges and gives back what they said last.
    pub(super) fn finish(&mut self) -> Vec<Message> {
        let pids: Vec<u32> = self.running.keys().copied().collect();
        for pid in pids {
            self.end(pid);
        }
        let until = Instant::now() + FAREWELL;
        while !self.leaving.is_empty() && Instant::now() < until {
            self.receive();
            self.leaving.retain(|leaving| !leaving.thread.is_finished());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.abandoned.store(true, Ordering::Relaxed);
        self.receive();
        self.ready()
    }

    /// Counters by name.
    pub(super) fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("bridge.running", self.running.len() as u64),
            ("bridge.refused", self.refused),
            ("bridge.broken", self.broken.load(Ordering::Relaxed)),
        ]
    }
}

/// The life of one bridge.
fn talk(bridge: &dyn Bridge, settings: &BridgeSettings, mut line: Line, broken: &AtomicU64) {
    let outcome = match Proc::default().process(line.pid) {
        Ok(process) => bridge.talk(&process, settings, &mut line),
        Err(_) => Ok(()),
    };
    if let Err(reason) = outcome {
        // A process that has ended says nothing more; that is no failure.
        if Proc::default().process(line.pid).is_ok() {
            broken.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(pid = line.pid, "the run time is not listened to, the wire goes on alone: {reason}");
        }
    }
    line.ended();
}
