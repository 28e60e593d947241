//! Whether SIGUSR1 may be sent to a process: it opens the inspector of a node that handles it as node does, runs code of
//! the program where that handles it itself, and ends a process that does not handle it.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::{
    binary::Binary,
    kernel::Tools,
    process::{Proc, Process, Status},
};

/// Oldest and newest major version the script was tried with.
pub const MAJORS: std::ops::RangeInclusive<u32> = 18..=26;

/// SIGUSR1 in the masks of `/proc/PID/status`.
const USR1: u64 = 1 << 9;

/// Options with which node does not open its inspector on SIGUSR1.
const SHUT: [&str; 3] = ["--disable-sigusr1", "--permission", "--experimental-permission"];

/// Why the inspector of a process is not asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// By its arguments or `NODE_OPTIONS`.
    #[error("it runs with `{option}`, which keeps its inspector shut")]
    Shut {
        /// The option.
        option: &'static str,
    },
    /// The version is not one of those that were tried.
    #[error("Node.js {version} is none of the versions {} to {} that the script is for", MAJORS.start(), MAJORS.end())]
    Version {
        /// As the executable names it.
        version: String,
    },
    /// It starts, or the embedder of node has switched it off.
    #[error("it does not handle SIGUSR1, on which node opens its inspector")]
    NotHandled,
    /// The signal would stay pending.
    #[error("it blocks SIGUSR1, on which node opens its inspector")]
    Blocked,
    /// The program would run its handler.
    #[error("the program handles SIGUSR1 itself (`{handler}`), so it is not sent")]
    Own {
        /// Where the kernel goes on the signal.
        handler: String,
    },
    /// It cannot be told whether it is node's.
    #[error("whose handler of SIGUSR1 it is cannot be told ({reason}), so it is not sent")]
    Unknown {
        /// Why not.
        reason: String,
    },
    /// A cluster's primary passes the signal on.
    #[error("its worker {worker} would get SIGUSR1 from it: {refusal}")]
    Worker {
        /// The worker's process id.
        worker: u32,
        /// Why it must not.
        refusal: Box<Refusal>,
    },
    /// Two agents would tell everything twice.
    #[error("another agent is inside: {agent}")]
    OtherAgent {
        /// Whose, and the sign of it.
        agent: String,
    },
    /// The process has ended.
    #[error("the process has ended")]
    Gone,
}

impl Refusal {
    /// A process that has just started may get there yet.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NotHandled | Self::Blocked)
    }
}

/// What can be seen without asking the kernel: options and signal masks.
///
/// # Errors
/// Why the signal is not to be sent.
pub fn glance(process: &Process) -> Result<(), Refusal> {
    if let Some(option) = shut_by(process) {
        return Err(Refusal::Shut { option });
    }
    let Status { caught, blocked, .. } = process.status().ok_or(Refusal::Gone)?;
    if caught & USR1 == 0 {
        Err(Refusal::NotHandled)
    } else if blocked & USR1 != 0 {
        Err(Refusal::Blocked)
    } else {
        Ok(())
    }
}

/// Everything that has to be so before SIGUSR1 is sent.
///
/// # Errors
/// Why it is not to be sent.
pub fn look(process: &Process, tools: &Tools) -> Result<(), Refusal> {
    glance(process)?;
    let unknown = |reason: String| Refusal::Unknown { reason };
    let handler = tools.usr1_handler(process.pid).map_err(|failure| unknown(failure.to_string()))?;
    let handler = handler.ok_or(Refusal::Gone)?;
    if handler <= 1 {
        // By now: it is the default, or ignored.
        return Err(Refusal::NotHandled);
    }
    let (path, offset) = process.mapped_at(handler).ok_or_else(|| unknown("no file is mapped there".into()))?;
    let function = function(process, &path, offset);
    match owner(&path, function.as_deref()) {
        Owner::Node => Ok(()),
        Owner::Program => Err(Refusal::Own { handler: function.unwrap_or_else(|| path.display().to_string()) }),
        Owner::Nobody => Err(unknown(format!("`{}` has no symbols for it", path.display()))),
    }
}

/// The major version, if the script is for it.
///
/// # Errors
/// When it is not.
pub fn major(version: &str) -> Result<u32, Refusal> {
    let major = version.split('.').next().and_then(|major| major.parse().ok());
    major.filter(|major| MAJORS.contains(major)).ok_or_else(|| Refusal::Version { version: version.to_owned() })
}

fn shut_by(process: &Process) -> Option<&'static str> {
    let environ = process.environ();
    let options = environ.get("NODE_OPTIONS").unwrap_or_default();
    let arguments = process.arguments();
    // Node's own options end at the script.
    let own = arguments.iter().skip(1).take_while(|word| word.starts_with('-')).map(String::as_str);
    let given: Vec<&str> = own.chain(options.split_ascii_whitespace()).collect();
    SHUT.into_iter().find(|option| given.contains(option))
}

/// Functions by file (device and inode) and place in it: processes of one executable are many, its symbols too.
static FUNCTIONS: Mutex<BTreeMap<(u64, u64, u64), Option<String>>> = Mutex::new(BTreeMap::new());

/// Most functions remembered.
const MOST_FUNCTIONS: usize = 256;

fn function(process: &Process, path: &Path, offset: u64) -> Option<String> {
    let file = match process.executable() {
        Some(executable) if executable == path => std::fs::File::open(process.executable_file()),
        _ => process.open_inside(path),
    };
    let file = file.ok()?;
    let about = file.metadata().ok()?;
    let key = (about.dev(), about.ino(), offset);
    let functions = || FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = functions().get(&key) {
        return known.clone();
    }
    let found = Binary::read(file, path).ok()?.function_at(offset);
    let mut functions = functions();
    if functions.len() >= MOST_FUNCTIONS {
        functions.clear();
    }
    functions.insert(key, found.clone());
    found
}

/// Workers of a `cluster` that this process is the primary of: when its inspector opens, it has theirs opened, too.
pub fn workers(process: &Process) -> Vec<Process> {
    let all = Proc::default();
    let running = all.pids().into_iter().filter_map(|pid| all.process(pid).ok());
    let own = running.filter(|other| other.stat().parent == process.pid && !other.stat().is_zombie());
    own.filter(|child| child.environ().get("NODE_UNIQUE_ID").is_some()).collect()
}

/// The first of the processes, from child to parent, that run the same executable: a primary and its workers have it
/// in common.
pub fn eldest(process: &Process) -> u32 {
    let all = Proc::default();
    let mut eldest = process.clone();
    for _ in 0..MOST_GENERATIONS {
        match all.process(eldest.stat().parent) {
            Ok(parent) if parent.executable() == process.executable() => eldest = parent,
            _ => break,
        }
    }
    eldest.pid
}

/// Generations looked at.
const MOST_GENERATIONS: usize = 16;

#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Node,
    Program,
    Nobody,
}

/// Whose a handler is. A program's handlers are called by libuv's; node's own lies in the inspector's agent. Where the
/// executable is stripped, the last exported function before it is of the same source file or of one beside it: node's
/// are in its namespace.
fn owner(path: &Path, function: Option<&str>) -> Owner {
    let library = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let function = function.unwrap_or_default();
    if function.contains("StartIoThreadWakeup") {
        Owner::Node
    } else if function.starts_with("uv_") || library.starts_with("libuv.") {
        Owner::Program
    } else if function.starts_with("_ZN4node") || function.starts_with("_ZNK4node") || library.starts_with("libnode.") {
        Owner::Node
    } else if library.contains(".so") || library.ends_with(".node") {
        Owner::Program
    } else {
        Owner::Nobody
    }
}

/// Signs of another agent by arguments, environment and mapped files; what it was required by, the script looks for.
///
/// # Errors
/// When there is one.
pub fn alone(process: &Process) -> Result<(), Refusal> {
    let Ok(subject) = crate::runtime::Subject::of_process(process) else { return Err(Refusal::Gone) };
    match crate::runtime::agents::present(&subject).into_iter().next() {
        Some(agent) => Err(Refusal::OtherAgent { agent }),
        None => Ok(()),
    }
}

/// A place where node listens if its arguments say so: an inspector that is the user's own.
pub fn named_port(process: &Process) -> Option<u16> {
    let environ = process.environ();
    let arguments = process.arguments();
    let options = environ.get("NODE_OPTIONS").unwrap_or_default().split_ascii_whitespace();
    let words = arguments.iter().skip(1).take_while(|word| word.starts_with('-')).map(String::as_str).chain(options);
    words.filter_map(inspect_port).last()
}

/// The port of `--inspect[-brk|-wait|-port][=[host:]port]`.
fn inspect_port(word: &str) -> Option<u16> {
    let rest = word.strip_prefix("--inspect")?;
    let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
    if !["", "-brk", "-wait", "-port", "-brk-node"].contains(&name) {
        return None;
    }
    let port = value.rsplit(':').next().and_then(|port| port.parse().ok());
    Some(port.unwrap_or(super::inspector::USUAL_PORT))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::process::tests::FakeProc;

    fn process(arguments: &str, environ: &str, caught: u64, blocked: u64) -> (FakeProc, Process) {
        let fake = FakeProc::new();
        let root = fake.add(7, 1, "/usr/bin/node");
        fs::write(root.join("cmdline"), arguments).expect("cmdline");
        fs::write(root.join("environ"), environ).expect("environ");
        fs::write(root.join("status"), format!("SigBlk:\t{blocked:016x}\nSigCgt:\t{caught:016x}\n")).expect("status");
        let process = fake.proc().process(7).expect("process");
        (fake, process)
    }

    #[test]
    fn options_and_masks_are_enough_to_refuse() {
        let glance = |arguments: &str, environ: &str, caught, blocked| {
            let (_fake, process) = process(arguments, environ, caught, blocked);
            glance(&process)
        };
        assert_eq!(glance("node\0app.js\0", "", USR1, 0), Ok(()));
        assert_eq!(glance("node\0app.js\0--permission\0", "", USR1, 0), Ok(()), "the program's own option");
        let shut = |option| Err(Refusal::Shut { option });
        assert_eq!(glance("node\0--disable-sigusr1\0app.js\0", "", USR1, 0), shut("--disable-sigusr1"));
        assert_eq!(
            glance("node\0app.js\0", "NODE_OPTIONS=--no-warnings --permission\0", USR1, 0),
            shut("--permission")
        );
        assert_eq!(glance("node\0", "", !USR1, 0), Err(Refusal::NotHandled));
        assert_eq!(glance("node\0", "", USR1, USR1), Err(Refusal::Blocked));
    }

    #[test]
    fn handlers_have_owners() {
        let owner = |path: &str, function| super::owner(Path::new(path), function);
        let own = "_ZN4node9inspector12_GLOBAL__N_1L19StartIoThreadWakeupEiP9siginfo_tPv";
        assert_eq!(owner("/usr/bin/node", Some(own)), Owner::Node);
        assert_eq!(owner("/usr/bin/node", Some("_ZN4node25MapStaticCodeToLargePagesEv")), Owner::Node, "stripped");
        assert_eq!(owner("/usr/bin/node", Some("uv__signal_handler")), Owner::Program);
        assert_eq!(owner("/usr/bin/node", Some("uv_kill")), Owner::Program, "stripped");
        assert_eq!(owner("/usr/lib/libnode.so.108", Some("whatever")), Owner::Node);
        assert_eq!(owner("/usr/lib/libuv.so.1", None), Owner::Program);
        assert_eq!(owner("/app/build/addon.node", Some("handler")), Owner::Program);
        assert_eq!(owner("/usr/bin/node", None), Owner::Nobody);
    }

    #[test]
    fn versions_have_bounds() {
        assert_eq!(major("20.20.2"), Ok(20));
        for version in ["17.9.1", "27.0.0", "", "x"] {
            assert_eq!(major(version), Err(Refusal::Version { version: version.into() }));
        }
    }

    #[test]
    fn the_users_own_inspector_has_a_port() {
        let port = |arguments: &str, environ: &str| named_port(&process(arguments, environ, 0, 0).1);
        assert_eq!(port("node\0app.js\0--inspect\0", ""), None);
        assert_eq!(port("node\0--inspect\0app.js\0", ""), Some(9229));
        assert_eq!(port("node\0--inspect=0.0.0.0:9300\0app.js\0", ""), Some(9300));
        assert_eq!(port("node\0", "NODE_OPTIONS=--inspect-brk=9301\0"), Some(9301));
        assert_eq!(port("node\0--inspector-like\0app.js\0", ""), None);
    }
}
