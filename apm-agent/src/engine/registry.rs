//! Which processes are watched, and as what: the user's rules applied to `/proc`.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::admission::{Admit, Decision};
use crate::{
    config::Settings,
    metadata::{
        ServiceInstance,
        instance::{InstanceKey, Overrides, instance_key},
    },
    process::{ListenTable, Proc, Process, Rules, discover::Reason},
};

/// How long a table of listening sockets is believed.
const TABLE_AGE: Duration = Duration::from_secs(1);

/// Network namespaces whose tables are kept.
const MOST_TABLES: usize = 256;

/// A process to watch, its service, and why.
pub type Found = (u32, Arc<ServiceInstance>, Reason);

/// A watched process.
struct Known {
    key: InstanceKey,
    instance: Arc<ServiceInstance>,
}

/// Decides by rules, and describes what is watched.
pub struct Registry {
    rules: Rules,
    settings: Settings,
    proc: Proc,
    known: HashMap<u32, Known>,
    tables: HashMap<u64, (Instant, ListenTable)>,
}

impl Registry {
    /// A registry with the user's rules.
    pub fn new(rules: Rules, settings: Settings) -> Self {
        Self { rules, settings, proc: Proc::default(), known: HashMap::new(), tables: HashMap::new() }
    }

    /// The processes that run already, should be watched and are not: each with its service and the reason.
    pub fn scan(&mut self) -> Vec<Found> {
        let found = self.rules.scan(&self.proc);
        let new = found.into_iter().filter(|(pid, _)| !self.known.contains_key(pid)).collect::<Vec<_>>();
        new.into_iter()
            .filter_map(|(pid, reason)| {
                let process = self.proc.process(pid).ok()?;
                Some((pid, self.enter(&process), reason))
            })
            .collect()
    }

    /// Describes a process and remembers it. A worker that its parent made by fork alone is the same instance.
    fn enter(&mut self, process: &Process) -> Arc<ServiceInstance> {
        let key = instance_key(process);
        let parent = self.known.get(&process.stat().parent);
        let instance = match parent.filter(|parent| parent.key == key) {
            Some(parent) => Arc::clone(&parent.instance),
            None => self.describe(process),
        };
        self.known.insert(process.pid, Known { key, instance: Arc::clone(&instance) });
        instance
    }

    fn describe(&self, process: &Process) -> Arc<ServiceInstance> {
        let mut instance = ServiceInstance::of(process, Overrides::from(&self.settings)).instance;
        let others = self.known.iter().filter(|(pid, _)| **pid != process.pid);
        if others.into_iter().any(|(_, other)| other.instance.name == instance.name) {
            instance.distinguish();
        }
        Arc::new(instance)
    }

    /// A process stays the service it was.
    fn keep(&mut self, process: &Process, known_as: &Arc<ServiceInstance>) -> Arc<ServiceInstance> {
        let key = instance_key(process);
        self.known.insert(process.pid, Known { key, instance: Arc::clone(known_as) });
        Arc::clone(known_as)
    }
}

impl Admit for Registry {
    fn decide(&mut self, pid: u32, known_as: Option<&Arc<ServiceInstance>>) -> Decision {
        let Ok(process) = self.proc.process(pid) else {
            return Decision::Leave;
        };
        let reason = self.rules.explain(&process);
        let descends = known_as.is_some() && reason == Reason::NotNamed;
        if !reason.is_watched() && !descends {
            self.known.remove(&pid);
            return Decision::Leave;
        }
        // A process that execs its own executable again (a re-exec on reload) stays what it was.
        let same = self.known.get(&pid).is_some_and(|known| known.key == instance_key(&process));
        match known_as {
            Some(instance) if same => Decision::Watch(self.keep(&process, instance)),
            _ => {
                let instance = self.enter(&process);
                tracing::info!(pid, service = instance.name, "also watching a process that started: {reason}");
                Decision::Watch(instance)
            }
        }
    }

    fn accepted(&mut self, pid: u32, local: SocketAddr) -> Option<bool> {
        let process = self.proc.process(pid).ok()?;
        let namespace = process.namespace("net")?;
        let fresh = self.tables.get(&namespace).is_some_and(|(read, _)| read.elapsed() < TABLE_AGE);
        if !fresh {
            if self.tables.len() >= MOST_TABLES {
                self.tables.clear();
            }
            self.tables.insert(namespace, (Instant::now(), process.listen_table()));
        }
        self.tables.get(&namespace).map(|(_, table)| table.listens(local.port(), local.ip()))
    }

    fn gone(&mut self, pid: u32) {
        self.known.remove(&pid);
    }
}
