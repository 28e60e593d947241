//! Run times: what a process is written in, known by its binary and not by its name, and what its service is called.
//!
//! One file per run time, one line in [`RUNTIMES`]; the first that recognises a process has it.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use crate::{
    binary::{Binary, BinaryError},
    config::BridgeSwitches,
    exchange::Nanos,
    kernel::Tools,
    process::{Environ, Process},
};

pub mod agents;
pub mod dotnet;
pub mod go;
mod java;
mod line;
mod native;
mod nginx;
pub mod node;
pub mod own;
mod php;
mod python;
mod ruby;

pub use line::{Line, pack};
use own::OwnConnections;

/// Run times, most telling evidence first; `native` takes what is left.
pub static RUNTIMES: &[&dyn Runtime] = &[
    &go::Go,
    &node::NodeJs,
    &dotnet::DotNet,
    &java::Java,
    &python::Python,
    &ruby::Ruby,
    &php::Php,
    &nginx::Nginx,
    &native::Native,
];

/// A run time.
pub trait Runtime: Sync {
    /// For people: `Go`, `Node.js`.
    fn name(&self) -> &'static str;

    /// The subject runs on this run time.
    fn detect(&self, subject: &Subject) -> Option<Detected>;

    /// What the service is called, by the files and arguments of the subject.
    fn service(&self, subject: &Subject) -> Option<Named>;

    /// Environment of the service where none is set.
    fn environment(&self, _subject: &Subject) -> Option<String> {
        None
    }

    /// Web framework and its version.
    fn framework(&self, _subject: &Subject) -> Option<(String, String)> {
        None
    }

    /// What cannot be seen in it, one sentence each with its reason.
    fn limits(&self) -> &'static [&'static str] {
        &[]
    }
}

/// A door of a run time's own, through which it tells of its requests and calls ([`crate::bridge`]).
pub trait Bridge: Sync {
    /// The user lets us use it.
    fn is_on(&self, switches: &BridgeSwitches) -> bool;

    /// What would be done to `process`, or why nothing would be, as far as can be told without doing it.
    fn outlook(&self, process: &Process) -> String;

    /// Listens to `process` until it ends or `line` says that it is time to go, on a thread of its own. Leaves nothing
    /// behind in the process.
    ///
    /// # Errors
    /// Why the run time is not listened to, in one sentence.
    fn talk(&self, process: &Process, kit: &Kit, line: &mut Line) -> Result<(), String>;

    /// What is done with what the process wrote to its channel. Called by the engine, in the order of the kernel's
    /// events.
    fn written(&self, batch: Batch) -> Written {
        Written::ToInbox(batch)
    }
}

/// What is done with a [`Batch`].
pub enum Written {
    /// Whoever talks to the process gets it.
    ToInbox(Batch),
    /// It says this.
    Says(crate::bridge::Said),
    /// It says nothing.
    Nothing,
}

/// What the bridge to one process is given.
pub struct Kit {
    /// What it is to tell.
    pub settings: BridgeSettings,
    /// What the kernel does for it; `None` where nothing is loaded.
    pub kernel: Option<Tools>,
    /// What the process wrote to its channel, in order.
    pub inbox: Receiver<Batch>,
    /// Where it makes known which connections are ours.
    pub own: Arc<OwnConnections>,
}

/// What a process wrote to its channel at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// When.
    pub time: Nanos,
    /// The thread that wrote.
    pub tid: u32,
    /// What.
    pub bytes: Vec<u8>,
}

/// What bridges have to know.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgeSettings {
    /// Part of the traces that begin in the process that is recorded, 0 to 1.
    pub sample_rate: f64,
    /// Sources of spans named by the user.
    pub sources: Vec<String>,
    /// How often the run time's own metrics are told; `None`: never.
    pub metrics_interval: Option<Duration>,
    /// Errors the program logs are told.
    pub log_errors: bool,
    /// Everything the program logs is told.
    pub logs: bool,
    /// Libraries that are left alone, by their names.
    pub left_alone: Vec<String>,
    /// The script in Node.js knows which request makes a call.
    pub node_context: bool,
    /// It looks for libraries in bundles.
    pub node_bundles: bool,
}

/// The door of the run time with this `service.agent.name`, if it has one.
pub fn bridge_of(agent_name: &str) -> Option<&'static dyn Bridge> {
    match agent_name {
        dotnet::AGENT_NAME => Some(&dotnet::EventPipe),
        node::AGENT_NAME => Some(&node::Script),
        _ => None,
    }
}

/// What was recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Detected {
    /// `service.agent.name`: what Kibana keys its pages on. The three run times with pages of their own have their
    /// agents' names; the rest is `ebpf-<language>`, which Kibana shows generically and which pretends nothing.
    pub agent_name: &'static str,
    /// Language and its version.
    pub language: Option<(String, Option<String>)>,
    /// Run time and its version.
    pub runtime: Option<(String, String)>,
    /// Architecture as the agent of this run time writes it.
    pub architecture: &'static str,
    /// By what it was recognised.
    pub evidence: String,
}

/// A name with its source.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Named {
    /// The name, before its characters are cleaned.
    pub name: String,
    /// Version found beside it.
    pub version: Option<String>,
    /// Where both were found.
    pub source: String,
}

impl Named {
    fn new(name: impl Into<String>, source: impl Into<String>) -> Self {
        Self { name: name.into(), version: None, source: source.into() }
    }
}

/// What is looked at: a process, or a binary that does not run.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The process, if it runs.
    pub process: Option<&'a Process>,
    /// Executable as the process sees it.
    pub executable: PathBuf,
    /// The executable's tables.
    pub binary: Binary,
    /// Arguments, program name first.
    pub arguments: Vec<String>,
    /// Environment at start.
    pub environ: Environ,
    /// Files mapped.
    pub mapped: Vec<PathBuf>,
}

impl<'a> Subject<'a> {
    /// A process.
    ///
    /// # Errors
    /// When its executable cannot be read.
    pub fn of_process(process: &'a Process) -> Result<Self, BinaryError> {
        Ok(Self {
            binary: Binary::open(&process.executable_file())?,
            executable: process.executable().unwrap_or_default(),
            arguments: process.arguments(),
            environ: process.environ(),
            mapped: process.mapped_files(),
            process: Some(process),
        })
    }

    /// A binary that does not run.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_binary(path: &Path) -> Result<Self, BinaryError> {
        let executable = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        Ok(Self {
            process: None,
            binary: Binary::open(path)?,
            executable,
            arguments: Vec::new(),
            environ: Environ::default(),
            mapped: Vec::new(),
        })
    }

    /// The run time it runs on, and how that is known.
    pub fn runtime(&self) -> (&'static dyn Runtime, Detected) {
        let found = RUNTIMES.iter().find_map(|runtime| Some((*runtime, runtime.detect(self)?)));
        found.unwrap_or((&native::Native, Detected::default()))
    }

    /// A path of the subject, as a path of ours.
    fn ours(&self, path: &Path) -> PathBuf {
        self.process.map_or_else(|| path.to_path_buf(), |process| process.inside(path))
    }

    /// The executable's file name.
    fn executable_name(&self) -> Option<String> {
        Some(self.executable.file_name()?.to_string_lossy().into_owned())
    }

    /// A path from the arguments, made absolute by the process's folder.
    fn absolute(&self, path: &str) -> Option<PathBuf> {
        let path = Path::new(path);
        if path.is_absolute() { Some(path.to_path_buf()) } else { Some(self.process?.folder()?.join(path)) }
    }

    /// A mapped file whose name starts so.
    fn mapped(&self, start: &str) -> Option<&Path> {
        let fits = |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        self.mapped.iter().find(fits).map(PathBuf::as_path)
    }

    /// The tables of a mapped file whose name starts so.
    fn mapped_binary(&self, start: &str) -> Option<Binary> {
        let path = self.mapped(start)?;
        Binary::read(self.open(path)?, path).ok()
    }

    fn open(&self, path: &Path) -> Option<File> {
        match self.process {
            Some(process) => process.open_inside(path).ok(),
            None => File::open(path).ok().filter(|file| file.metadata().is_ok_and(|about| about.is_file())),
        }
    }

    /// A text file of the subject, at most 1 MiB of it.
    fn text(&self, path: &Path) -> Option<String> {
        let mut bytes = Vec::new();
        self.open(path)?.take(1 << 20).read_to_end(&mut bytes).ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// Architecture in Go's and most agents' words.
const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };

/// `1.2` or `1.2.3`, and nothing after it but a suffix such as `-rc.1` or `+build`.
fn is_version(text: &str) -> bool {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = numbers.split('.').collect();
    parts.len() >= 2 && parts.iter().all(|part| !part.is_empty() && part.chars().all(|digit| digit.is_ascii_digit()))
}

/// The file name without its last extension.
fn stem(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
