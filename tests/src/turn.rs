//! A test's turn: tests that attach run one at a time, and one that cannot run says so by name.

use std::{fs::File, io::Write as _, path::Path, thread};

use anyhow::{Context as _, Result};

use crate::{place, privilege};

/// What a test needs of the machine.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Root.
    Root,
    /// The agent's binary.
    Agent,
    /// A program on `PATH`.
    Program(&'static str),
    /// A file, by its whole path.
    File(&'static str),
    /// .NET, unpacked by `cargo xtask setup`.
    Dotnet,
    /// Every Node.js with its libraries, installed by `cargo xtask setup`.
    NodeMajors,
}

/// Held while a test runs; no other test of any process attaches meanwhile.
#[must_use]
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for the turn of the test on this thread. `None`: the test cannot run here; the reason was printed.
    ///
    /// # Panics
    /// If the lock file cannot be made: then nothing can be tested.
    pub fn take(needs: &[Need]) -> Option<Self> {
        let all = [ATTACHING, needs].concat();
        can_run(&all).then(|| Self { _lock: lock().expect("the lock of the end-to-end tests can be taken") })
    }
}

/// What every test that attaches needs: it attaches, and has its documents decoded.
const ATTACHING: &[Need] = &[Need::Root, Need::Agent, Need::Program("go")];

/// True when the test on this thread can run; prints the reason otherwise.
pub fn can_run(needs: &[Need]) -> bool {
    let Some(reason) = needs.iter().find_map(obstacle) else { return true };
    let name = thread::current().name().unwrap_or("a test").to_owned();
    // Written past libtest's capture, so that a skipped test is never silent.
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {reason}");
    false
}

fn obstacle(need: &Need) -> Option<String> {
    match need {
        Need::Root if !privilege::is_root() => Some("it attaches to processes, so it needs root".to_owned()),
        Need::Agent if !place::agent().exists() => {
            Some(format!("{} is missing; `cargo xtask test` builds it", place::agent().display()))
        }
        Need::Program(name) if find_program(name).is_none() => Some(format!("it needs the program `{name}`")),
        Need::File(path) if !Path::new(path).exists() => Some(format!("it needs {path}")),
        Need::Dotnet if !place::dotnet().join("dotnet").exists() => {
            Some("it needs .NET from ../shared/dotnet, unpacked by `cargo xtask setup`".to_owned())
        }
        Need::NodeMajors if !place::node().join(".installed").exists() => {
            Some("it needs every Node.js from npm, installed by `cargo xtask setup`".to_owned())
        }
        _ => None,
    }
}

/// First program of this name on `PATH`.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn lock() -> Result<File> {
    // Agents of other checkouts would disturb as much as those of this one, so the lock is the machine's. The tests of
    // the kernel programs (`apm-agent/tests/kernel/stage.rs`) take the same.
    let path = std::env::temp_dir().join("apm-agent-tests.lock");
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("could not open {}", path.display()))?;
    file.lock()?;
    Ok(file)
}
