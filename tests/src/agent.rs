//! The agent under test, as a person would start it.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{child::Child, place, stats::Stats, wait};

/// Time the agent may take to flush and end.
const END: Duration = Duration::from_secs(40);

/// A running agent that is attached.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    stats: Option<PathBuf>,
    _folder: TempDir,
}

/// An agent that has ended well.
#[derive(Debug)]
pub struct Ended {
    /// What it printed on both outputs.
    pub log: String,
    /// What it printed on standard output: the console tree.
    pub console: String,
    /// What it counted; nothing for a subcommand other than `run`.
    pub stats: Stats,
}

impl Agent {
    /// Starts `apm-agent run` with these arguments and waits until it watches.
    ///
    /// # Errors
    /// If it ends before, or takes too long; the sentence has what it printed.
    pub fn run(arguments: &[String]) -> Result<Self> {
        Self::start("run", arguments, &[])
    }

    /// Starts a subcommand that attaches (`run`, `record`), with variables in its environment.
    ///
    /// # Errors
    /// Like [`Agent::run`].
    pub fn start(task: &str, arguments: &[String], variables: &[(&str, &str)]) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut command = command();
        command.arg(task).args(arguments);
        let stats = (task == "run").then(|| folder.path().join("stats.json"));
        if let Some(path) = &stats {
            command.arg("--stats-file").arg(path);
        }
        command.envs(variables.iter().copied());
        let mut child = Child::start("apm-agent", &mut command)?;
        child.wait_for_line("watching", wait::PATIENCE)?;
        Ok(Self { child, stats, _folder: folder })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        self.child.output()
    }

    /// Waits for a line with `text`.
    ///
    /// # Errors
    /// If it does not come.
    pub fn wait_for_line(&mut self, text: &str) -> Result<String> {
        self.child.wait_for_line(text, wait::PATIENCE)
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.is_running()
    }

    /// Lets it do nothing until something has happened.
    ///
    /// # Errors
    /// If it cannot be signalled, or that takes too long.
    pub fn pause_until(&self, what: &str, happened: impl FnMut() -> Option<()>) -> Result<()> {
        self.child.signal(Signal::STOP)?;
        let waited = wait::until(what, 4 * wait::PATIENCE, happened);
        self.child.signal(Signal::CONT)?;
        waited
    }

    /// Ends it as `systemctl stop` would, and reads what it counted.
    ///
    /// # Errors
    /// If it does not end in time, with status 0, and with its counters written.
    pub fn stop(mut self) -> Result<Ended> {
        self.child.signal(Signal::TERM)?;
        let status = self.child.wait_for_end(END)?;
        let log = self.child.output();
        ensure!(status.success(), "apm-agent ended with {status}:\n{log}");
        ensure!(!log.contains("panicked"), "a thread of apm-agent panicked:\n{log}");
        let stats = self.stats.as_deref().map(Stats::read).transpose()?.unwrap_or_default();
        Ok(Ended { log, console: self.child.stdout(), stats })
    }

    /// Kills it as the kernel would when memory is short: it cannot clean up.
    ///
    /// # Errors
    /// If it does not die.
    pub fn kill(mut self) -> Result<()> {
        self.child.signal(Signal::KILL)?;
        self.child.wait_for_end(END).map(|_| ())
    }
}

/// A command of the agent whose environment holds no settings of whoever runs the tests.
pub fn command() -> Command {
    let mut command = Command::new(place::agent());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("ELASTIC_APM_") || text.starts_with("OTEL_") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command
}

/// A finished command of the agent.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed on both outputs.
    pub output: String,
}

/// Runs a command of the agent to its end.
///
/// # Errors
/// If it cannot be started or takes longer than `limit`.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Finished> {
    let mut child = Child::start("apm-agent", command)?;
    let status = child.wait_for_end(limit)?;
    Ok(Finished { code: status.code(), output: child.output() })
}

/// Runs `apm-agent replay RECORDING --file OUTPUT`.
///
/// # Errors
/// If it fails.
pub fn replay(recording: &PathBuf, output: &PathBuf) -> Result<String> {
    let finished = finish(command().arg("replay").arg(recording).arg("--file").arg(output), END)?;
    ensure!(finished.code == Some(0), "replay failed ({:?}):\n{}", finished.code, finished.output);
    std::fs::read_to_string(output).with_context(|| format!("replay wrote no {}", output.display()))
}
