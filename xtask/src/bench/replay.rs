//! How fast a recording becomes documents: the user-space half of the agent alone, on one core.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use apm_tests::{
    agent::{self, Agent},
    load,
    nginx::Nginx,
    process,
    stats::Stats,
};
use serde::Serialize;
use tempfile::TempDir;

use super::AGENT_CORE;

/// What a replay gave.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Replay {
    /// Kernel events in the recording.
    pub events: u64,
    /// Documents made of them.
    pub documents: u64,
    /// Wall time, seconds.
    pub seconds: f64,
    /// Events per second on one core.
    pub events_per_second: f64,
}

/// Records nginx at saturation, and replays the recording.
///
/// # Errors
/// If the agent fails.
pub fn measure(duration: Duration) -> Result<Replay> {
    let folder = TempDir::new()?;
    let recording = folder.path().join("nginx.recording");
    let nginx = Nginx::start()?;
    let words = ["--pid", &nginx.pid().to_string(), "--output", &recording.display().to_string()].map(str::to_owned);
    let recorder = Agent::start("record", &words, &[])?;
    process::pin(recorder.pid(), AGENT_CORE)?;
    load::wrk(&["taskset", "-c", "0"], 16, duration, &format!("http://127.0.0.1:{}/", nginx.port()))?;
    recorder.stop()?;
    let output = folder.path().join("documents.ndjson");
    let mut command = std::process::Command::new("taskset");
    command.arg("-c").arg(AGENT_CORE.to_string()).arg(agent::command().get_program());
    let stats = folder.path().join("stats.json");
    command.arg("replay").arg(&recording).arg("--file").arg(&output).arg("--stats-file").arg(&stats);
    let start = Instant::now();
    let finished = agent::finish(&mut command, Duration::from_secs(300))?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(finished.code == Some(0), "replay failed:\n{}", finished.output);
    let events = Stats::read(&stats)?.get("pipeline.events");
    ensure!(events > 0, "the recording holds no events:\n{}", finished.output);
    let documents = fs::read_to_string(&output)?.lines().count() as u64;
    Ok(Replay { events, documents, seconds, events_per_second: events as f64 / seconds })
}
