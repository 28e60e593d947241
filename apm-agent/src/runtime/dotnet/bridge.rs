//! The bridge to .NET: a session on the diagnostics port, for as long as the process is watched.

use std::time::{Duration, Instant};

use super::{
    Absence, Item, Port, Progress, Session, SessionError,
    asking::{self, Wanted},
    exception,
    telling::Telling,
    threads::Threads,
};
use crate::{
    bridge::{CallBegan, Detail, Panicked, Said},
    config::BridgeSwitches,
    kernel::{Channel, Tools},
    process::Process,
    runtime::{Batch, Bridge, Kit, Line, Written},
};

/// Time for each step of asking for a session.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a process that has just started may take to open its port.
const STARTING: Duration = Duration::from_secs(30);

/// Pause between two looks for the port.
const AGAIN: Duration = Duration::from_millis(200);

/// How long one read waits.
const READ: Duration = Duration::from_millis(50);

/// How long after a counter no other of its interval comes: they are told together, and sent ten times a second.
const SETTLED: Duration = Duration::from_millis(300);

/// Time for the session's orderly end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Descriptor that .NET 9 and later write an exception to that nobody catches. Before, a copy of it was used.
const STANDARD_ERROR: u32 = 2;

/// The bridge.
pub struct EventPipe;

impl Bridge for EventPipe {
    fn is_on(&self, switches: &BridgeSwitches) -> bool {
        switches.dotnet
    }

    fn outlook(&self, process: &Process) -> String {
        match Port::find(process) {
            Ok(_) => "a session is asked for on its diagnostics port".into(),
            Err(absence) => format!("none: {absence}"),
        }
    }

    /// The event of the exception that ends the process never leaves it, but the run time writes it down before.
    fn written(&self, batch: Batch) -> Written {
        match exception::read_crash(&String::from_utf8_lossy(&batch.bytes)) {
            Some(thrown) => {
                let panicked = Panicked { goroutine: batch.tid.into(), request: 0, thrown };
                Written::Says(Said::Panicked(Box::new(panicked)))
            }
            None => Written::Nothing,
        }
    }

    fn talk(&self, process: &Process, kit: &Kit, line: &mut Line) -> Result<(), String> {
        let settings = &kit.settings;
        let _errors = kit.kernel.as_ref().and_then(|tools| last_words(tools, line.pid));
        let Some(port) = find(process, line).map_err(|absence| absence.to_string())? else {
            return Ok(());
        };
        let version =
            port.process_info(PATIENCE).map(|info| info.runtime_version).unwrap_or_default().unwrap_or_default();
        let mut wanted = Wanted {
            major: major(&version).unwrap_or(OLDEST),
            sample_rate: settings.sample_rate,
            sources: &settings.sources,
            embedded: asking::embedded(&process.mapped_files()),
            detail: Detail::default(),
            metrics_interval: settings.metrics_interval,
            log_errors: settings.log_errors,
            logs: settings.logs,
        };
        let mut port = Some(port);
        while let Some(found) = port {
            let session = Session::start(found, &asking::session(&wanted), PATIENCE);
            let session = session.map_err(|error| error.to_string())?;
            let walks = if session.walks_stacks() { WALKS } else { "" };
            let more = if wanted.detail == Detail::default() { "" } else { MORE };
            line.began(wanted.detail);
            tracing::info!(pid = line.pid, "listening to .NET {version} through its diagnostics port{walks}{more}");
            match listen(session, process, line, &wanted).map_err(|error| error.to_string())? {
                Left::Ended => break,
                Left::WantsMore => wanted.detail = wanted.detail.with(line.wanted()),
            }
            port = find(process, line).map_err(|absence| absence.to_string())?;
        }
        Ok(())
    }
}

/// What the process writes to standard error, as long as this is kept.
fn last_words(tools: &Tools, pid: u32) -> Option<Channel> {
    let opened = tools.open_channel(pid, STANDARD_ERROR);
    opened.inspect_err(|failure| tracing::warn!(pid, "a crash will not be reported: {failure}")).ok()
}

const WALKS: &str = "; it takes a stack with each event, which makes them dearer";
const MORE: &str = "; it is asked for more, since the wire does not show all of it";

/// Why a session was left.
enum Left {
    /// The process or the watch has ended.
    Ended,
    /// More is wanted than it was asked for.
    WantsMore,
}

/// What is asked for of a run time whose version cannot be read must suit all.
const OLDEST: u32 = 8;

/// `10` of `10.0.12+commit`.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// The port, as soon as it is there; `None`: not needed any more.
fn find(process: &Process, line: &Line) -> Result<Option<Port>, Absence> {
    let begun = Instant::now();
    while !line.is_ending() {
        match Port::find(process) {
            Err(Absence::NoSocket { .. } | Absence::Refused) if begun.elapsed() < STARTING => std::thread::sleep(AGAIN),
            found => return found.map(Some),
        }
    }
    Ok(None)
}

fn listen(mut session: Session, process: &Process, line: &mut Line, wanted: &Wanted) -> Result<Left, SessionError> {
    let (mut telling, mut threads) = (Telling::new(wanted.embedded), Threads::of(process));
    loop {
        let progress = session.read(READ, |item| hear(&mut telling, &mut threads, line, &item))?;
        line.lost(std::mem::take(&mut telling.commands.lost));
        measured(&mut telling, line, Instant::now().checked_sub(SETTLED));
        line.pass_on(progress == Progress::Quiet);
        if progress == Progress::Ended {
            return Ok(Left::Ended);
        }
        let more = wanted.detail.with(line.wanted()) != wanted.detail;
        if line.is_ending() || more {
            session.stop(FAREWELL, |item| hear(&mut telling, &mut threads, line, &item))?;
            measured(&mut telling, line, None);
            return Ok(if more { Left::WantsMore } else { Left::Ended });
        }
    }
}

/// Passes on the counters of an interval, if the last of them came before `until`.
fn measured(telling: &mut Telling, line: &mut Line, until: Option<Instant>) {
    if let Some((time, samples)) = telling.counters.take(until) {
        line.say(time, Said::Metrics(samples));
    }
}

fn hear(telling: &mut Telling, threads: &mut Threads, line: &mut Line, item: &Item<'_>) {
    match item {
        Item::Event(event) => telling.told(event, &mut |time, said| match said {
            Said::CallBegan(call) => match threads.ours(call.tid) {
                Some(tid) => line.say(time, Said::CallBegan(CallBegan { tid, ..call })),
                None => line.lost(1),
            },
            said => line.say(time, said),
        }),
        Item::Lost(messages) => line.lost(*messages),
        Item::Trace(_) => {}
    }
}
