//! A program started by a test: what it prints is kept, and it ends with the value, by its own process group.

use std::{
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait;

/// Most bytes kept of what a program prints; the rest is read and dropped.
const OUTPUT_LIMIT: usize = 16 << 20;

/// What a program prints, shared with the threads that read it.
type Text = Arc<Mutex<String>>;

/// A running program in a process group of its own.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    /// Both outputs.
    output: Text,
    stdout: Text,
    /// Whom to signal first when it is dropped, and how long it may take; then everything left is killed.
    farewell: Option<(Signal, Duration)>,
}

impl Child {
    /// Starts `command`; `name` is for messages.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let command = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("could not start {name}: {command:?}"))?;
        let (output, stdout) = (Text::default(), Text::default());
        collect(process.stdout.take(), vec![Arc::clone(&output), Arc::clone(&stdout)]);
        collect(process.stderr.take(), vec![Arc::clone(&output)]);
        Ok(Self { name: name.to_owned(), process, output, stdout, farewell: None })
    }

    /// On drop, send `signal` first and give the program `limit` to end by itself.
    #[must_use]
    pub fn with_farewell(mut self, signal: Signal, limit: Duration) -> Self {
        self.farewell = Some((signal, limit));
        self
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has printed so far on both outputs.
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it has printed so far on standard output.
    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line that contains `text` and returns it.
    ///
    /// # Errors
    /// If the program ends or `limit` passes first; the sentence has what it printed.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> Result<String> {
        let found = wait::until(&format!("a line with `{text}` from {}", self.name), limit, || {
            // Looked at before the output, so that the last words of a program that ended are not missed.
            let ended = !self.is_running();
            let output = self.output();
            let line = output.lines().find(|line| line.contains(text)).map(str::to_owned);
            line.map(Ok).or_else(|| ended.then(|| Err(anyhow!("{} has ended", self.name))))
        });
        found.and_then(|line| line).with_context(|| format!("{} printed:\n{}", self.name, self.output()))
    }

    /// True while it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Sends a signal to the program itself.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.group()?, signal).with_context(|| format!("could not signal {}", self.name))
    }

    /// Waits until it has ended and its output is read.
    ///
    /// # Errors
    /// If `limit` passes first.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        let status = wait::until(&format!("{name} to end"), limit, || self.process.try_wait().transpose());
        let status = status.with_context(|| format!("{name} printed:\n{}", self.output()))??;
        // The readers let go of the text when they have read all there is; a child left behind may hold the pipe.
        let _ =
            wait::until("its output", Duration::from_secs(1), || (Arc::strong_count(&self.output) == 1).then_some(()));
        Ok(status)
    }

    fn group(&self) -> Result<Pid> {
        Pid::from_raw(self.process.id().cast_signed()).context("a process has an id above 0")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some((signal, limit)) = self.farewell
            && self.is_running()
            && self.signal(signal).is_ok()
        {
            let _ = self.wait_for_end(limit);
        }
        // The group is ours alone: the program and the workers it forked.
        if let Ok(group) = self.group() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

fn collect(stream: Option<impl Read + Send + 'static>, texts: Vec<Text>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            for text in &texts {
                let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                if text.len() < OUTPUT_LIMIT {
                    text.push_str(&String::from_utf8_lossy(&line));
                    text.push('\n');
                }
            }
        }
    });
}
