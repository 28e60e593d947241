//! The bridges to the run times of watched processes: one thread each, which ends with its process.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
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
    exchange::Nanos,
    kernel::Tools,
    process::Proc,
    runtime::{Batch, Bridge, BridgeSettings, Kit, Line, Written, bridge_of, own::OwnConnections, pack},
};

/// Batches on the way to the engine; a bridge that finds the line full waits.
const BATCHES: usize = 256;

/// Batches on the way from the kernel to one bridge, of 16 KiB at most; what does not fit is lost, and counted.
const INBOX: usize = 64;

/// Most processes with a bridge at once: each costs a thread.
const MOST: usize = 512;

/// How far the kernel's events may be out of order: programs on several processors write them.
const DISORDER: Nanos = 50_000_000;

/// Time for all bridges to say what they still have to say, and to go.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// Longest time from the moment a process that dies closes its sockets until it is gone.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// All bridges.
pub(super) struct Bridges {
    switches: BridgeSwitches,
    settings: BridgeSettings,
    running: HashMap<u32, Running>,
    leaving: Vec<(u32, Running)>,
    kernel: Option<Tools>,
    own: Arc<OwnConnections>,
    batches: u64,
    batches_lost: u64,
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
    inbox: SyncSender<Batch>,
    bridge: &'static dyn Bridge,
    thread: JoinHandle<()>,
}

impl Bridges {
    /// None yet.
    pub(super) fn new(switches: BridgeSwitches, settings: BridgeSettings, kernel: Option<Tools>) -> Self {
        let (sender, receiver) = sync_channel(BATCHES);
        Self {
            switches,
            settings,
            running: HashMap::new(),
            leaving: Vec::new(),
            kernel,
            own: Arc::default(),
            batches: 0,
            batches_lost: 0,
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
        let (inbox, batches) = sync_channel(INBOX);
        let kit = Kit {
            settings: self.settings.clone(),
            kernel: self.kernel.clone(),
            inbox: batches,
            own: Arc::clone(&self.own),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let wanted = Arc::new(AtomicU8::new(0));
        let line =
            Line::new(pid, Arc::clone(&stop), Arc::clone(&wanted), Arc::clone(&self.abandoned), self.sender.clone());
        let broken = Arc::clone(&self.broken);
        let talk = move || talk(bridge, &kit, line, &broken);
        match std::thread::Builder::new().name(format!("bridge {pid}")).spawn(talk) {
            Ok(thread) => {
                self.running.insert(pid, Running { stop, wanted, inbox, bridge, thread });
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
            self.leaving.push((pid, running));
        }
        self.leaving.retain(|(_, leaving)| !leaving.thread.is_finished());
    }

    /// A process wrote to its channel. Gives back what that says by itself.
    pub(super) fn written(&mut self, pid: u32, batch: Batch) -> Option<Message> {
        let leaving = self.leaving.iter().find(|(left, _)| *left == pid).map(|(_, leaving)| leaving);
        let running = self.running.get(&pid).or(leaving);
        let time = batch.time;
        self.batches += 1;
        let sent = match running.map(|running| (running, running.bridge.written(batch))) {
            Some((_, Written::Says(said))) => return Some(Message { pid, time, said }),
            Some((_, Written::Nothing)) => true,
            Some((running, Written::ToInbox(batch))) => running.inbox.try_send(batch).is_ok(),
            None => false,
        };
        self.batches_lost += u64::from(!sent);
        None
    }

    /// Is a connection of `pid` that began at `time` ours?
    pub(super) fn is_own(&self, pid: u32, remote: SocketAddr, time: Nanos) -> bool {
        self.own.has(pid, remote, time)
    }

    /// Takes in what has arrived. To be called before the kernel's events are taken.
    pub(super) fn receive(&mut self) {
        self.arrived.extend(self.receiver.try_iter());
    }

    /// What had arrived before the kernel's events were taken: they are all older than the events not taken yet.
    pub(super) fn ready(&mut self) -> Vec<Message> {
        self.arrived.drain(..).flatten().collect()
    }

    /// What is older than the kernel's events not taken yet, when those taken last happened at `time`. An engine that
    /// never finds the ring buffer empty must not be deaf.
    pub(super) fn ready_until(&mut self, time: Nanos) -> Vec<Message> {
        let before = time.saturating_sub(DISORDER);
        let later = |batch: &Vec<Message>| batch.last().is_some_and(|message| message.time > before);
        let count = self.arrived.iter().position(later).unwrap_or(self.arrived.len());
        self.arrived.drain(..count).flatten().collect()
    }

    /// Ends all bridges. What they still say arrives later; meanwhile they need the kernel's events.
    pub(super) fn end_all(&mut self) {
        let pids: Vec<u32> = self.running.keys().copied().collect();
        for pid in pids {
            self.end(pid);
        }
    }

    /// Bridges that were ended have not gone yet.
    pub(super) fn is_leaving(&mut self) -> bool {
        self.leaving.retain(|(_, leaving)| !leaving.thread.is_finished());
        !self.leaving.is_empty()
    }

    /// Nobody listens to bridges any more; gives back what they said last.
    pub(super) fn abandon(&mut self) -> Vec<Message> {
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
            ("bridge.batches", self.batches),
            ("bridge.batches_lost", self.batches_lost),
        ]
    }
}

/// The life of one bridge.
fn talk(bridge: &dyn Bridge, kit: &Kit, mut line: Line, broken: &AtomicU64) {
    let outcome = match Proc::default().process(line.pid) {
        Ok(process) => bridge.talk(&process, kit, &mut line),
        Err(_) => Ok(()),
    };
    if let Err(reason) = outcome {
        // A process that has ended says nothing more; that is no failure.
        if has_ended(&line) {
            tracing::info!(pid = line.pid, "the process has ended, and with it what its run time says");
        } else {
            broken.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(pid = line.pid, "the run time is not listened to, the wire goes on alone: {reason}");
        }
    }
    line.ended();
}

/// The process is gone, or will be at once: the kernel closes its sockets before it takes it from `/proc`.
fn has_ended(line: &Line) -> bool {
    let begun = Instant::now();
    loop {
        if Proc::default().process(line.pid).map_or(true, |process| process.stat().is_zombie()) {
            return true;
        }
        if line.is_ending() || begun.elapsed() > LAST_BREATH {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::Said;

    #[test]
    fn an_engine_that_is_behind_still_hears_what_is_old() {
        let settings = BridgeSettings {
            sample_rate: 1.0,
            sources: Vec::new(),
            metrics_interval: None,
            log_errors: false,
            logs: false,
            left_alone: Vec::new(),
            node_context: true,
            node_bundles: true,
        };
        let mut bridges = Bridges::new(BridgeSwitches::default(), settings, None);
        let heard = |time| Message { pid: 7, time, said: Said::Heard };
        for last in [1_000_000_000, 2_000_000_000] {
            bridges.sender.send(vec![heard(last - 5), heard(last)]).expect("there is room");
        }
        bridges.receive();
        assert_eq!(bridges.ready_until(1_000_000_000), [], "events of the same moment may still come");
        let times = |said: Vec<Message>| said.into_iter().map(|message| message.time).collect::<Vec<_>>();
        assert_eq!(times(bridges.ready_until(1_900_000_000)), [999_999_995, 1_000_000_000]);
        assert_eq!(times(bridges.ready()), [1_999_999_995, 2_000_000_000]);
    }
}
