//! The bridge to Node.js: a script in the process, for as long as the process is watched.

use std::{
    collections::BTreeMap,
    sync::mpsc::RecvTimeoutError,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{
    attach::{Approach, AttachError},
    guard::{self, Refusal},
    lease::Lease,
    script::{self, ScriptSettings, Status},
    source::Sources,
    telling::Telling,
};
use crate::{
    bridge::{Detail, Said},
    config::BridgeSwitches,
    exchange::Nanos,
    kernel::Tools,
    process::Process,
    runtime::{Batch, Bridge, BridgeSettings, Kit, Line},
};

/// How long a process that has just started may take until it handles SIGUSR1.
const STARTING: Duration = Duration::from_secs(10);

/// Pause between two looks at it.
const AGAIN: Duration = Duration::from_millis(20);

/// How long one read of the channel waits.
const READ: Duration = Duration::from_millis(50);

/// How often a script that went away, the process being there, is put into it again; and the pause before.
const RETURNS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Time for the script to undo everything, and for the silence after its last words.
const FAREWELL: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_millis(100);

/// Most milliseconds for which the script keeps what it has to tell.
const FLUSH_MS: u32 = 200;

/// A thread of JavaScript that has been silent for so long is not waited for.
const SILENT: Nanos = 3_000_000_000;

/// The bridge.
pub struct Script;

impl Bridge for Script {
    fn is_on(&self, switches: &BridgeSwitches) -> bool {
        switches.node
    }

    fn outlook(&self, process: &Process) -> String {
        let inspector = if guard::named_port(process).is_some() {
            "the inspector it was started with, which stays open"
        } else {
            "its inspector, opened by SIGUSR1 if the kernel says that the handler is node's own, and closed again"
        };
        match guard::alone(process).and_then(|()| guard::glance(process)) {
            Ok(()) => format!("a script is put into it through {inspector}"),
            Err(refusal) => format!("none: {refusal}"),
        }
    }

    fn talk(&self, process: &Process, kit: &Kit, line: &mut Line) -> Result<(), String> {
        let Some(tools) = &kit.kernel else { return Err("no kernel programs are loaded".into()) };
        if !started(process, line).map_err(|refusal| refusal.to_string())? {
            return Ok(());
        }
        enter(process).map_err(|error| format!("its network namespace cannot be entered: {error}"))?;
        for _ in 0..=RETURNS {
            let (mut lease, status) = match put(process, tools, kit, line) {
                Err(AttachError::Left) => return Ok(()),
                outcome => outcome.map_err(|error| error.to_string())?,
            };
            let fd = u32::try_from(status.fd).map_err(|_| "the script has no channel".to_owned())?;
            let _channel = tools.open_channel(line.pid, fd).map_err(|failure| failure.to_string())?;
            line.began(Detail { requests: true, statements: true, connections: true });
            tell(line.pid, &status);
            if listen(process, kit, line, &mut lease) == Left::Ended {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err("the script does not stay in it: does another agent remove it?".into())
    }
}

/// Waits until the process handles SIGUSR1; false: it is not needed any more.
fn started(process: &Process, line: &Line) -> Result<bool, Refusal> {
    let begun = Instant::now();
    while !line.is_ending() {
        match guard::glance(process) {
            Err(refusal) if refusal.may_pass() && begun.elapsed() < STARTING => std::thread::sleep(AGAIN),
            outcome => return outcome.map(|()| true),
        }
    }
    Ok(false)
}

/// Moves this thread into the process's network namespace, where its inspector and its loopback device are.
fn enter(process: &Process) -> std::io::Result<()> {
    let own = crate::process::Proc::default().process(std::process::id()).ok().and_then(|own| own.namespace("net"));
    if own.is_some() && process.namespace("net") == own {
        return Ok(());
    }
    use std::os::fd::AsFd as _;
    let namespace = process.open_namespace("net")?;
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Puts the script into the process.
fn put(process: &Process, tools: &Tools, kit: &Kit, line: &Line) -> Result<(Lease, Status), AttachError> {
    let lease = Lease::open(line.pid, &kit.own).map_err(AttachError::Lease)?;
    let expression = script::expression(&wanted(&kit.settings, lease.port().map_err(AttachError::Lease)?));
    let approach = Approach { process, tools, own: &kit.own, is_ending: &|| line.is_ending() };
    let status = approach.attach(&expression)?;
    Ok((lease, status))
}

fn wanted(settings: &BridgeSettings, lease_port: u16) -> ScriptSettings {
    let interval = settings.metrics_interval.map_or(0, |interval| interval.as_millis());
    ScriptSettings {
        lease_port,
        flush_ms: FLUSH_MS,
        sample_rate: settings.sample_rate,
        metrics_interval_ms: u32::try_from(interval).unwrap_or(u32::MAX),
        context: settings.node_context,
        off: settings.left_alone.clone(),
        ..ScriptSettings::default()
    }
}

fn tell(pid: u32, status: &Status) {
    tracing::info!(pid, "a script in Node.js {} tells of {}", status.version, status.patched.join(", "));
    for refusal in &status.refused {
        tracing::warn!(pid, "of `{}` nothing is told: {}", refusal.library, refusal.reason);
    }
    for bug in &status.bugs {
        tracing::warn!(pid, "an error of the script itself: {bug}");
    }
}

/// Why a script is not listened to any more.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// The process or the watch has ended.
    Ended,
    /// The script has gone, and the process may be there.
    Gone,
}

fn listen(process: &Process, kit: &Kit, line: &mut Line, lease: &mut Lease) -> Left {
    let telling = Telling::of(process.folder().unwrap_or_default());
    let mut ear = Ear { telling, threads: BTreeMap::new(), sources: Sources::of(process) };
    let mut held = false;
    loop {
        let read = kit.inbox.recv_timeout(READ);
        if let Ok(batch) = &read {
            ear.hear(batch, line);
        }
        line.pass_on(false);
        let holders = lease.tend();
        held |= holders > 0;
        if line.is_ending() || read == Err(RecvTimeoutError::Disconnected) {
            if !lease.end(FAREWELL) {
                tracing::warn!(pid = line.pid, "the script does not answer; it goes when it sees that we have gone");
            }
            while let Ok(batch) = kit.inbox.recv_timeout(SILENCE) {
                ear.hear(&batch, line);
            }
            return Left::Ended;
        }
        if held && holders == 0 {
            return Left::Gone;
        }
    }
}

/// Hears what the threads of a process write.
struct Ear<'a> {
    telling: Telling,
    sources: Sources<'a>,
    /// When each thread wrote last: it has said everything until then.
    threads: BTreeMap<u32, Nanos>,
}

impl Ear<'_> {
    fn hear(&mut self, batch: &Batch, line: &mut Line) {
        let sources = &mut self.sources;
        self.telling.told(&batch.bytes, &mut |time, mut said| {
            if let Said::Threw(threw) = &mut said {
                sources.trace(&mut threw.thrown);
            }
            line.say(time, said);
        });
        line.lost(std::mem::take(&mut self.telling.lost));
        self.threads.insert(batch.tid, batch.time);
        self.threads.retain(|_, wrote| batch.time.saturating_sub(*wrote) < SILENT);
        line.heard(self.threads.values().min().copied().unwrap_or_default());
    }
}
