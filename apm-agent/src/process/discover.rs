//! Which processes are watched: rules from the settings, and the reason for each answer.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::Path,
};

use super::{ListenTable, Proc, Process, glob::Glob};
use crate::config::Targets;

/// Rules by which a process is watched or not.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pids: HashSet<u32>,
    executables: Vec<Glob>,
    ports: Vec<u16>,
    all: bool,
    exclude_executables: Vec<Glob>,
    exclude_ports: Vec<u16>,
    exclude_pids: HashSet<u32>,
    own_pid: u32,
}

/// A pattern that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{pattern}` is not a path, a file name or a glob: {reason}")]
pub struct BadPattern {
    /// As it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a process is watched or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Named by its id.
    Pid,
    /// Its executable fits this pattern.
    Executable(String),
    /// It listens on this port.
    Port(u16),
    /// Every process is watched.
    All,
    /// It is a descendant of this process, which is watched.
    ChildOf(u32),
    /// Not: nothing names it.
    NotNamed,
    /// Not: excluded by its id.
    ExcludedPid,
    /// Not: its executable fits this exclude.
    ExcludedExecutable(String),
    /// Not: it listens on this excluded port.
    ExcludedPort(u16),
    /// Not: a thread of the kernel.
    KernelThread,
    /// Not: it has ended and waits to be collected.
    Ended,
    /// Not: it is this agent or a child of it.
    Ourselves,
}

impl Reason {
    /// The process is watched.
    pub fn is_watched(&self) -> bool {
        matches!(self, Self::Pid | Self::Executable(_) | Self::Port(_) | Self::All | Self::ChildOf(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid => formatter.write_str("named by its process id"),
            Self::Executable(pattern) => write!(formatter, "its executable fits `{pattern}`"),
            Self::Port(port) => write!(formatter, "it listens on port {port}"),
            Self::All => formatter.write_str("every process is watched"),
            Self::ChildOf(pid) => write!(formatter, "it descends from process {pid}, which is watched"),
            Self::NotNamed => formatter.write_str("nothing names it"),
            Self::ExcludedPid => formatter.write_str("its process id is excluded"),
            Self::ExcludedExecutable(pattern) => write!(formatter, "its executable fits the exclude `{pattern}`"),
            Self::ExcludedPort(port) => write!(formatter, "it listens on port {port}, which is excluded"),
            Self::KernelThread => formatter.write_str("it is a thread of the kernel"),
            Self::Ended => formatter.write_str("it has ended"),
            Self::Ourselves => formatter.write_str("it is this agent or was started by it"),
        }
    }
}

impl Rules {
    /// Rules of the settings. `own_pid` and its descendants are never watched, unless named by their id.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn new(targets: &Targets, own_pid: u32) -> Result<Self, BadPattern> {
        Ok(Self {
            pids: targets.pids.iter().copied().collect(),
            executables: patterns(&targets.executables)?,
            ports: targets.ports.clone(),
            all: targets.all,
            exclude_executables: patterns(&targets.exclude_executables)?,
            exclude_ports: targets.exclude_ports.clone(),
            exclude_pids: targets.exclude_pids.iter().copied().collect(),
            own_pid,
        })
    }

    /// Nothing is named: nothing would ever be watched.
    pub fn is_empty(&self) -> bool {
        self.pids.is_empty() && self.executables.is_empty() && self.ports.is_empty() && !self.all
    }

    /// A process that starts later can be watched: only ids are named otherwise.
    pub fn watches_later(&self) -> bool {
        self.all || !self.executables.is_empty() || !self.ports.is_empty()
    }

    /// A process can be decided on only once it listens.
    pub fn needs_ports(&self) -> bool {
        !self.ports.is_empty() || !self.exclude_ports.is_empty()
    }

    /// The processes to watch now, each with its reason, descendants of watched processes included, ascending by id.
    pub fn scan(&self, proc: &Proc) -> Vec<(u32, Reason)> {
        self.explain_all(proc).into_iter().filter(|(_, reason)| reason.is_watched()).collect()
    }

    /// Every process with the reason why it is watched or not, ascending by id.
    pub fn explain_all(&self, proc: &Proc) -> Vec<(u32, Reason)> {
        let processes: Vec<Process> = proc.pids().into_iter().filter_map(|pid| proc.process(pid).ok()).collect();
        let parents: HashMap<u32, u32> = processes.iter().map(|one| (one.pid, one.stat().parent)).collect();
        let mut tables: HashMap<u64, ListenTable> = HashMap::new();
        let mut own = |process: &Process| {
            let ports = || match process.namespace("net") {
                Some(namespace) => {
                    let table = tables.entry(namespace).or_insert_with(|| process.listen_table());
                    table.ports_of(&process.sockets())
                }
                None => process.listening_ports(),
            };
            (process.pid, self.explain_with(process, ports))
        };
        let alone: HashMap<u32, Reason> = processes.iter().map(&mut own).collect();
        let full = |process: &Process| (process.pid, self.inherit(process.pid, &alone, &parents));
        processes.iter().map(full).collect()
    }

    /// Why this process is watched or not, seen alone (its parents are not asked).
    pub fn explain(&self, process: &Process) -> Reason {
        self.explain_with(process, || process.listening_ports())
    }

    fn explain_with(&self, process: &Process, ports: impl FnOnce() -> Vec<u16>) -> Reason {
        if process.is_kernel_thread() {
            return Reason::KernelThread;
        }
        if process.stat().is_zombie() {
            return Reason::Ended;
        }
        if process.pid == self.own_pid {
            return Reason::Ourselves;
        }
        let executable = process.executable();
        let ports = if self.needs_ports() { ports() } else { Vec::new() };
        self.decide(process.pid, executable.as_deref(), &ports)
    }

    /// Decides on a process by its facts. `executable` is what `/proc/PID/exe` says: the path in the kernel's exec event
    /// is a script's where one was started, and relative where it was given so.
    pub fn decide(&self, pid: u32, executable: Option<&Path>, ports: &[u16]) -> Reason {
        let fitting =
            |globs: &[Glob]| globs.iter().find(|glob| executable.is_some_and(|path| glob.fits(path))).cloned();
        let common = |named: &[u16]| ports.iter().find(|port| named.contains(port)).copied();
        if self.exclude_pids.contains(&pid) {
            return Reason::ExcludedPid;
        }
        if let Some(glob) = fitting(&self.exclude_executables) {
            return Reason::ExcludedExecutable(glob.as_str().to_string());
        }
        if let Some(port) = common(&self.exclude_ports) {
            return Reason::ExcludedPort(port);
        }
        if self.pids.contains(&pid) {
            return Reason::Pid;
        }
        if let Some(glob) = fitting(&self.executables) {
            return Reason::Executable(glob.as_str().to_string());
        }
        match common(&self.ports) {
            Some(port) => Reason::Port(port),
            None if self.all => Reason::All,
            None => Reason::NotNamed,
        }
    }

    /// A process nothing names is watched when an ancestor is; a descendant of ours is not, unless its id is named.
    fn inherit(&self, pid: u32, alone: &HashMap<u32, Reason>, parents: &HashMap<u32, u32>) -> Reason {
        let Some(own) = alone.get(&pid) else { return Reason::Ended };
        let mut ancestor = None;
        let mut current = pid;
        // A chain is at most as long as there are processes; a torn reading may hold a loop.
        for _ in 0..parents.len() {
            let Some(parent) = parents.get(&current).copied() else { break };
            if parent == self.own_pid && *own != Reason::Pid {
                return Reason::Ourselves;
            }
            if ancestor.is_none() && alone.get(&parent).is_some_and(Reason::is_watched) {
                ancestor = Some(parent);
            }
            current = parent;
        }
        match (own, ancestor) {
            (Reason::NotNamed, Some(parent)) => Reason::ChildOf(parent),
            _ => own.clone(),
        }
    }
}

fn patterns(texts: &[String]) -> Result<Vec<Glob>, BadPattern> {
    let parse = |text: &String| Glob::parse(text).map_err(|reason| BadPattern { pattern: text.clone(), reason });
    texts.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::{super::tests::FakeProc, *};

    fn rules(targets: Targets) -> Rules {
        Rules::new(&targets, 9).expect("patterns")
    }

    /// 1 init → 20 gunicorn → 21, 22 workers; 1 → 30 node (listens on 8080) → 31 sh; 9 the agent → 40 curl.
    fn tree() -> FakeProc {
        let fake = FakeProc::new();
        for (pid, parent, executable) in [
            (1, 0, "/sbin/init"),
            (9, 1, "/usr/bin/apm-agent"),
            (20, 1, "/usr/bin/python3.11"),
            (21, 20, "/usr/bin/python3.11"),
            (22, 20, "/usr/bin/python3.11"),
            (30, 1, "/usr/bin/node"),
            (31, 30, "/bin/sh"),
            (40, 9, "/usr/bin/curl"),
        ] {
            fake.add(pid, parent, executable);
        }
        let node = fake.folder.path().join("30");
        symlink("socket:[111]", node.join("fd/5")).expect("fd");
        let line =
            "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 111 1 0 100 0 0 10 0\n";
        fs::write(node.join("net/tcp"), line).expect("tcp");
        fake
    }

    fn watched(targets: Targets) -> Vec<(u32, Reason)> {
        rules(targets).scan(&tree().proc())
    }

    #[test]
    fn by_pid_with_children() {
        let found = watched(Targets { pids: vec![20], ..Targets::default() });
        assert_eq!(found, [(20, Reason::Pid), (21, Reason::ChildOf(20)), (22, Reason::ChildOf(20))]);
    }

    #[test]
    fn by_executable_and_port() {
        let found = watched(Targets { executables: vec!["nod?".into()], ..Targets::default() });
        assert_eq!(found, [(30, Reason::Executable("nod?".into())), (31, Reason::ChildOf(30))]);
        let found = watched(Targets { ports: vec![8080], ..Targets::default() });
        assert_eq!(found, [(30, Reason::Port(8080)), (31, Reason::ChildOf(30))]);
    }

    #[test]
    fn all_but_ourselves_and_what_is_excluded() {
        let targets = Targets {
            all: true,
            exclude_executables: vec!["python*".into()],
            exclude_ports: vec![8080],
            exclude_pids: vec![1],
            ..Targets::default()
        };
        assert_eq!(watched(targets), [(31, Reason::All)]);
    }

    #[test]
    fn every_refusal_has_a_reason() {
        let rules = rules(Targets { exclude_pids: vec![1], ..Targets::default() });
        let told = rules.explain_all(&tree().proc());
        let of = |pid| told.iter().find(|(id, _)| *id == pid).map(|(_, reason)| reason.clone());
        assert_eq!(of(1), Some(Reason::ExcludedPid));
        assert_eq!(of(9), Some(Reason::Ourselves));
        assert_eq!(of(40), Some(Reason::Ourselves));
        assert_eq!(of(30), Some(Reason::NotNamed));
        assert!(rules.is_empty() && !rules.watches_later());
    }

    #[test]
    fn a_wrong_pattern_is_told() {
        let error =
            Rules::new(&Targets { executables: vec!["a[".into()], ..Targets::default() }, 9).expect_err("wrong");
        assert_eq!(error.pattern, "a[");
    }

    #[test]
    fn the_real_proc_can_be_scanned() {
        let told = rules(Targets { all: true, ..Targets::default() }).explain_all(&Proc::default());
        assert!(told.iter().any(|(pid, reason)| *pid == std::process::id() && reason.is_watched()));
    }
}
