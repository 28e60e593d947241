//! `stop-and-write`: heads of calls are written into while their process is stopped, where the kernel's programs may not.
//!
//! A program stops the process at a probe and says what to write; [`hand`], a process of its own, writes it and has the
//! process go on. Each of the two sees to it that nothing stays stopped when the other ends or hangs: the hand outlives the
//! agent, and what the agent's [`Keeper`] finds stopped for too long it has go on, once the hand is dead and can write no
//! more. Were both killed in the same moment in which a process is stopped, it would stay so.

pub mod hand;

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData},
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::clock;

/// The hidden command by which the hand is started; its descriptors follow.
pub const COMMAND: &str = "write-into-stopped";

/// How often the keeper looks.
const GLANCE: Duration = Duration::from_millis(50);

/// A process that is stopped for longer has been forgotten.
const LONGEST_STOP: Duration = Duration::from_secs(2);

/// Maps of the two: orders, stopped processes, those about to go on, spans that were written.
const MAPS: [&str; 4] = ["STOP_ORDERS", "STOPPED", "STOP_ENDING", "STOP_WRITTEN"];

/// Watches the hand. When it is dropped, the hand ends.
pub(super) struct Keeper {
    /// Dropped first, so that the thread ends.
    _ends: Sender<()>,
}

impl Keeper {
    /// Starts the hand, and the thread that watches it; then programs may stop processes.
    ///
    /// # Errors
    /// Why it cannot be done; nothing is stopped then.
    pub(super) fn start(programs: &mut Ebpf) -> Result<Self, String> {
        let missing = |name: &str| format!("the BPF object has no map `{name}`");
        let mut inherited = Vec::new();
        for name in MAPS {
            inherited.push(inheritable(programs.map(name).and_then(fd).ok_or_else(|| missing(name))?));
        }
        let mut processes = |name: &str| {
            let map = programs.take_map(name).ok_or_else(|| missing(name))?;
            HashMap::try_from(map).map_err(|error| error.to_string())
        };
        let stopped = [processes("STOPPED")?, processes("STOP_ENDING")?];
        let switch = programs.take_map("STOPPING").ok_or_else(|| missing("STOPPING"))?;
        let mut switch: Array<MapData, u32> = Array::try_from(switch).map_err(|error| error.to_string())?;
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| error.to_string())?;
        inherited.push(inheritable(read.as_fd()));
        let inherited = inherited.into_iter().collect::<io::Result<Vec<OwnedFd>>>();
        let hand = inherited.and_then(|inherited| start_hand(&inherited));
        let hand = hand.map_err(|error| format!("no process could be started that writes: {error}"))?;
        switch.set(0, 1, 0).map_err(|error| error.to_string())?;
        let (ends, ended) = channel();
        let mut watch = Watch { hand, stopped, switch, _pipe: write };
        let started = thread::Builder::new().name("stop keeper".into()).spawn(move || watch.run(&ended));
        started.map_err(|error| format!("no thread could be started: {error}"))?;
        Ok(Self { _ends: ends })
    }
}

/// What the keeper's thread has.
struct Watch {
    hand: Child,
    stopped: [HashMap<MapData, u32, u64>; 2],
    switch: Array<MapData, u32>,
    /// While it is open, the agent lives.
    _pipe: OwnedFd,
}

impl Watch {
    fn run(&mut self, ended: &Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(GLANCE) {
            let is_dead = !matches!(self.hand.try_wait(), Ok(None));
            if is_dead || self.is_any_forgotten() {
                // What is dead writes no more: only now may the process go on.
                let _ = self.hand.kill();
                let _ = self.hand.wait();
                let _ = self.switch.set(0, 0, 0);
                // A program that saw the switch before has ended by then.
                thread::sleep(GLANCE);
                self.stopped.iter_mut().for_each(release);
                tracing::warn!(
                    "`traceparent` is not written any more while processes are stopped: the one that writes ended"
                );
                return;
            }
        }
        let _ = self.switch.set(0, 0, 0);
    }

    fn is_any_forgotten(&self) -> bool {
        let longest = LONGEST_STOP.as_nanos() as u64;
        let now = clock::monotonic();
        self.stopped.iter().flat_map(HashMap::iter).flatten().any(|(_, since)| now.saturating_sub(since) > longest)
    }
}

/// Has all that is stopped go on.
fn release(stopped: &mut HashMap<MapData, u32, u64>) {
    let processes: Vec<u32> = stopped.keys().flatten().collect();
    for pid in processes {
        go_on(pid);
        let _ = stopped.remove(&pid);
    }
}

/// Has a process go on. One that is gone, or was not stopped, is no error.
fn go_on(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
        let _ = pidfd_send_signal(process, Signal::CONT);
    }
}

fn start_hand(inherited: &[OwnedFd]) -> io::Result<Child> {
    use std::os::fd::AsRawFd as _;
    let mut command = Command::new("/proc/self/exe");
    command.arg(COMMAND).args(inherited.iter().map(|fd| fd.as_raw_fd().to_string()));
    // A group of its own: what ends the agent from a terminal does not reach it.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).spawn()
}

/// A descriptor that a new program keeps.
fn inheritable(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::dup(fd)?)
}

fn fd(map: &Map) -> Option<std::os::fd::BorrowedFd<'_>> {
    match map {
        Map::RingBuf(data) | Map::HashMap(data) | Map::LruHashMap(data) => Some(data.fd().as_fd()),
        _ => None,
    }
}
