//! Connections of watched processes that are our own: to an inspector, from a script. The wire is not to tell of them.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections that are ours, by process and port of the other end, which is on the process's loopback device.
#[derive(Debug, Default)]
pub struct OwnConnections(Mutex<HashSet<(u32, u16)>>);

/// A connection that is ours, or a port whose connections are; until it is dropped.
#[derive(Debug)]
pub struct Own {
    connection: (u32, u16),
    all: Arc<OwnConnections>,
}

impl OwnConnections {
    /// A connection of `pid` to our `port` is ours. To be called before there is one, and kept until the kernel's event of
    /// it has been taken.
    pub fn add(self: &Arc<Self>, pid: u32, port: u16) -> Own {
        self.locked().insert((pid, port));
        Own { connection: (pid, port), all: Arc::clone(self) }
    }

    /// Is a connection of `pid` to `remote` ours?
    pub fn has(&self, pid: u32, remote: SocketAddr) -> bool {
        remote.ip().to_canonical().is_loopback() && self.locked().contains(&(pid, remote.port()))
    }

    fn locked(&self) -> MutexGuard<'_, HashSet<(u32, u16)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.all.locked().remove(&self.connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_until_dropped() {
        let all = Arc::new(OwnConnections::default());
        let own = all.add(7, 40_000);
        assert!(all.has(7, ([127, 66, 23, 9], 40_000).into()));
        assert!(!all.has(7, ([10, 0, 0, 1], 40_000).into()) && !all.has(8, ([127, 0, 0, 1], 40_000).into()));
        drop(own);
        assert!(!all.has(7, ([127, 0, 0, 1], 40_000).into()));
    }
}
