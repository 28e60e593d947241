//! The engine behind `run`, `record` and `replay`.
//!
//! Settings have been read and targets checked when these are called; they return when the run is over.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use apm_common::propagation::{CONTINUE, Propagation, RESTART, UNDECIDED};

use crate::{
    clock::Clock,
    command::{ExitCode, Failure},
    config::{Continuation, Propagation as Carry, Settings},
    correlate::{Ids, trace_context},
    engine::{self, Live, Parts, Registry, Stop},
    kernel::{Admission, Kernel, KernelFailure},
    metric::Collector,
    pipeline::Pipeline,
    priority,
    process::Rules,
    recording::{Recorder, RecordingError},
    report::{Counters, Reporter},
    runtime::BridgeSettings,
    send::{self, Output},
};

/// Times the running processes are looked through: a process may fork between the look and the watch.
const SCANS: usize = 3;

/// Watches until a signal or [`Settings::duration`] ends it.
///
/// # Errors
/// When the kernel, the privileges or an output do not allow it.
pub fn run(settings: &Settings) -> Result<(), Failure> {
    watch(settings, send::outputs(&settings.outputs)?, None)
}

/// As [`run`]; the events go to a new file at `output`, and no documents are made.
///
/// # Errors
/// As [`run`], and when the file cannot be written.
pub fn record(settings: &Settings, output: &Path) -> Result<(), Failure> {
    watch(settings, Box::new(Nowhere), Some(output))
}

/// Turns a recording into documents.
///
/// # Errors
/// When the recording or an output cannot be opened.
pub fn replay(settings: &Settings, recording: &Path) -> Result<(), Failure> {
    let reporter = reporter(settings)?;
    let mut output = send::outputs(&settings.outputs)?;
    let replayed = engine::replay(recording, settings.capture.clone(), output.as_mut());
    output.finish();
    let mut counters = replayed.map_err(|error| unusable(recording, &error))?;
    counters.extend(output.counters());
    reporter.finish(&counted(counters));
    Ok(())
}

/// An output for nobody.
struct Nowhere;

impl Output for Nowhere {
    fn publish(&mut self, _: &Arc<crate::metadata::ServiceInstance>, _: &crate::build::Document) {}

    fn finish(&mut self) {}
}

fn watch(settings: &Settings, output: Box<dyn Output>, recording: Option<&Path>) -> Result<(), Failure> {
    let rules = Rules::new(&settings.targets, std::process::id())?;
    let mut reporter = reporter(settings)?;
    let asked = stop_signals().map_err(|error| Failure::internal(format!("signals cannot be handled: {error}")))?;
    let admission = Admission { exec: rules.watches_later(), listen: rules.needs_ports() };
    let mut kernel = Kernel::load(admission)?;
    let (seed, clock) = (fastrand::u64(..), Clock::now());
    let ids = Ids::seeded(seed);
    // What is only recorded is not changed.
    if settings.bridges.propagation != Carry::Off && recording.is_none() {
        kernel.propagate(propagation(settings, &ids), settings.bridges.propagation);
    }
    let recorder = recording
        .map(|path| Recorder::create(path, seed, clock).map_err(|error| unusable(path, &error)))
        .transpose()?;
    let pipeline = Pipeline::new(settings.capture.clone(), ids, clock);
    let waits_for_more = rules.watches_later();
    let mut registry = Registry::new(rules, settings.clone());
    let first = registry.scan();
    let collector = if recording.is_none() { Collector::new(&settings.metrics) } else { Collector::off() };
    let bridge_settings = BridgeSettings {
        sample_rate: settings.capture.sample_rate,
        sources: settings.bridges.dotnet_sources.clone(),
        metrics_interval: collector.interval(),
        log_errors: settings.capture.log_errors,
        logs: settings.capture.log_sending,
        left_alone: settings.bridges.left_alone.clone(),
        node_context: settings.bridges.node_context,
        node_bundles: settings.bridges.node_bundles,
    };
    let bridges = settings.bridges.clone();
    let mut live = Live::new(kernel, Parts { pipeline, admit: registry, output, recorder, bridges, bridge_settings });
    live.measure(collector);
    priority::go_ahead();
    begin(&mut live, first)?;
    let stop = Stop { asked, at: settings.duration.map(|duration| Instant::now() + duration) };
    live.run(&stop, |live| {
        reporter.tick(Instant::now(), || counted(live.counters()));
        if !waits_for_more && live.is_idle() {
            tracing::info!("every watched process has ended");
            stop.asked.store(true, Ordering::Relaxed);
        }
    });
    let (counters, recorded) = live.finish();
    reporter.finish(&counted(counters));
    match (recorded, recording) {
        (Err(error), Some(path)) => Err(unusable(path, &error)),
        _ => Ok(()),
    }
}

/// How the place in the trace is written into calls.
fn propagation(settings: &Settings, ids: &Ids) -> Propagation {
    let continuation = match settings.capture.continuation {
        Continuation::Continue => CONTINUE,
        Continuation::Restart => RESTART,
        Continuation::RestartExternal => UNDECIDED,
    };
    let rate = settings.capture.sample_rate;
    Propagation::new(ids.secret(), rate, continuation, &trace_context::format_tracestate(rate))
}

/// Watches what runs already. Repeated, because a process that was not watched yet may fork meanwhile.
fn begin(live: &mut Live<Registry>, first: Vec<engine::Found>) -> Result<(), Failure> {
    let mut found = first;
    let mut count = 0;
    for _ in 0..SCANS {
        for (pid, instance, reason) in found {
            count += 1;
            tracing::info!(pid, service = instance.name, agent = instance.agent_name, "{reason}");
            live.watch(pid, instance)?;
        }
        found = live.scan();
        if found.is_empty() {
            break;
        }
    }
    tracing::info!("watching {count} process{}", if count == 1 { "" } else { "es" });
    Ok(())
}

/// SIGINT and SIGTERM ask for an orderly end; the second one ends us at once, and the kernel then detaches for us.
fn stop_signals() -> io::Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&asked))?;
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    Ok(asked)
}

fn reporter(settings: &Settings) -> Result<Reporter, Failure> {
    Reporter::start(&settings.report).map_err(|error| {
        let file = settings.report.stats_file.as_deref().unwrap_or(Path::new("")).display();
        Failure::new(
            ExitCode::Output,
            format!("the counters cannot be written to `{file}`: {error}"),
            "name another file with `--stats-file`",
        )
    })
}

fn counted(counters: Vec<(&'static str, u64)>) -> Counters {
    let mut all = Counters::default();
    for (name, value) in counters {
        all.add(name, value);
    }
    all
}

fn unusable(path: &Path, error: &RecordingError) -> Failure {
    let remedy = match error {
        RecordingError::Io(_) => "check the path and its permissions",
        RecordingError::NotARecording => "name a file written by `apm-agent record`",
        RecordingError::OtherLayout { .. } => "replay it with the agent that made it, or record it again",
        RecordingError::Damaged { .. } => "the documents up to the damage have been written; record it again",
    };
    Failure::new(ExitCode::Recording, format!("recording `{}` cannot be used: {error}", path.display()), remedy)
}

impl From<KernelFailure> for Failure {
    fn from(failure: KernelFailure) -> Self {
        let code = if failure.is_privilege() { ExitCode::Privileges } else { ExitCode::Kernel };
        Self::new(code, &failure, failure.remedy())
    }
}

impl From<send::OutputError> for Failure {
    fn from(error: send::OutputError) -> Self {
        Self::new(ExitCode::Output, error, "")
    }
}
