//! Thread ids of a process in a pid namespace of its own: its events have those it knows, the kernel's events ours.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::process::Process;

/// Shortest time between two looks at the process's threads.
const PAUSE: Duration = Duration::from_millis(200);

/// From the process's thread ids to ours.
pub(super) struct Threads {
    process: Process,
    /// `None`: they are the same.
    ours: Option<HashMap<u32, u32>>,
    read: Option<Instant>,
}

impl Threads {
    /// Of a process.
    pub(super) fn of(process: &Process) -> Self {
        let inside = process.status().and_then(|status| status.pid_inside);
        let nested = inside.is_some_and(|inside| inside != process.pid);
        Self { process: process.clone(), ours: nested.then(HashMap::new), read: None }
    }

    /// Our id of a thread; `None`: it has ended, or is not known yet.
    pub(super) fn ours(&mut self, inside: u32) -> Option<u32> {
        let Some(ours) = &mut self.ours else { return Some(inside) };
        if !ours.contains_key(&inside) && self.read.is_none_or(|read| read.elapsed() >= PAUSE) {
            self.read = Some(Instant::now());
            *ours = self.process.threads().into_iter().map(|(tid, inside)| (inside, tid)).collect();
        }
        ours.get(&inside).copied()
    }
}
