//! The bridge to .NET: a session on the diagnostics port, for as long as the process is watched.

use std::time::{Duration, Instant};

use super::{
    Absence, Item, Port, Progress, Session, SessionError,
    asking::{self, Wanted},
    telling::Telling,
};
use crate::{
    config::BridgeSwitches,
    process::Process,
    runtime::{Bridge, BridgeSettings, Line},
};

/// Time for each step of asking for a session.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a process that has just started may take to open its port.
const STARTING: Duration = Duration::from_secs(30);

/// Pause between two looks for the port.
const AGAIN: Duration = Duration::from_millis(200);

/// How long one read waits.
const READ: Duration = Duration::from_millis(50);

/// Time for the session's orderly end.
const FAREWELL: Duration = Duration::from_secs(3);

/// The bridge.
pub struct EventPipe;

impl Bridge for EventPipe {
    fn is_on(&self, switches: &BridgeSwitches) -> bool {
        switches.dotnet
    }

    fn talk(&self, process: &Process, settings: &BridgeSettings, line: &mut Line) -> Result<(), String> {
        let Some(port) = find(process, line).map_err(|absence| absence.to_string())? else {
            return Ok(());
        };
        let version =
            port.process_info(PATIENCE).map(|info| info.runtime_version).unwrap_or_default().unwrap_or_default();
        let wanted = Wanted {
            major: major(&version).unwrap_or(OLDEST),
            sample_rate: settings.sample_rate,
            sources: &settings.sources,
        };
        let session = Session::start(port, &asking::session(&wanted), PATIENCE).map_err(|error| error.to_string())?;
        let walks =
            if session.walks_stacks() { "; it takes a stack with each event, which makes them dearer" } else { "" };
        tracing::info!(pid = line.pid, "listening to .NET {version} through its diagnostics port{walks}");
        line.began();
        listen(session, line).map_err(|error| error.to_string())
    }
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

fn listen(mut session: Session, line: &mut Line) -> Result<(), SessionError> {
    let mut telling = Telling::default();
    loop {
        let progress = session.read(READ, |item| hear(&mut telling, line, &item))?;
        line.lost(std::mem::take(&mut telling.commands.lost));
        line.pass_on();
        if progress == Progress::Ended {
            return Ok(());
        }
        if line.is_ending() {
            return session.stop(FAREWELL, |item| hear(&mut telling, line, &item));
        }
    }
}

fn hear(telling: &mut Telling, line: &mut Line, item: &Item<'_>) {
    match item {
        Item::Event(event) => telling.told(event, &mut |time, said| line.say(time, said)),
        Item::Lost(messages) => line.lost(*messages),
        Item::Trace(_) => {}
    }
}
