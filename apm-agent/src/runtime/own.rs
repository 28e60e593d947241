//! Connections of watched processes that are our own: to an inspector, from a script. The wire is not to tell of them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{clock, exchange::Nanos};

/// How long a connection that has ended is remembered: the kernel's events come later.
const REMEMBERED: Nanos = 60_000_000_000;

/// Connections that are ours, by process and port of the other end, which is on the process's loopback device.
#[derive(Debug, Default)]
pub struct OwnConnections(Mutex<Vec<Entry>>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    pid: u32,
    port: u16,
    from: Nanos,
    until: Nanos,
}

/// A connection that is ours, or a port whose connections are; until it is dropped.
#[derive(Debug)]
pub struct Own {
    pid: u32,
    port: u16,
    from: Nanos,
    all: Arc<OwnConnections>,
}

impl OwnConnections {
    /// A connection of `pid` to our `port` is ours. To be called before there is one.
    pub fn add(self: &Arc<Self>, pid: u32, port: u16) -> Own {
        let from = clock::monotonic();
        let mut entries = self.locked();
        entries.retain(|entry| entry.until > from.saturating_sub(REMEMBERED));
        entries.push(Entry { pid, port, from, until: Nanos::MAX });
        Own { pid, port, from, all: Arc::clone(self) }
    }

    /// Was a connection of `pid` to `remote` that began at `time` ours?
    pub fn has(&self, pid: u32, remote: SocketAddr, time: Nanos) -> bool {
        let is_it = |entry: &Entry| {
            entry.pid == pid && entry.port == remote.port() && (entry.from..=entry.until).contains(&time)
        };
        remote.ip().to_canonical().is_loopback() && self.locked().iter().any(is_it)
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let now = clock::monotonic();
        let is_ours = |entry: &&mut Entry| (entry.pid, entry.port, entry.from) == (self.pid, self.port, self.from);
        if let Some(entry) = self.all.locked().iter_mut().find(is_ours) {
            entry.until = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_as_long_as_it_lasted() {
        let all = Arc::new(OwnConnections::default());
        let before = clock::monotonic() - 1;
        let own = all.add(7, 40_000);
        let during = clock::monotonic();
        let has = |pid, ip: [u8; 4], time| all.has(pid, (ip, 40_000).into(), time);
        assert!(has(7, [127, 66, 23, 9], during) && !has(7, [127, 0, 0, 1], before));
        assert!(!has(7, [10, 0, 0, 1], during) && !has(8, [127, 0, 0, 1], during));
        drop(own);
        assert!(has(7, [127, 0, 0, 1], during), "the kernel's event may come later");
        assert!(!has(7, [127, 0, 0, 1], clock::monotonic() + 1), "the port may be somebody else's by now");
    }
}
