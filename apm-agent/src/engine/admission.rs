//! Processes that come: each exec or listen of a process nobody has decided on is a question, and its events wait for
//! the answer.

use std::{collections::HashMap, sync::Arc};

use crate::metadata::ServiceInstance;

/// Bytes of events kept for all processes that wait for a decision. It takes milliseconds; more than this is lost, and
/// counted.
const MOST_WAITING: usize = 4 * 1024 * 1024;

/// What becomes of a process.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It is watched, as this service.
    Watch(Arc<ServiceInstance>),
    /// It is left alone.
    Leave,
}

/// Decides about processes.
pub trait Admit {
    /// What becomes of a process that has just got a new image (`known_as`: it was watched before, as this), or
    /// has begun to listen.
    fn decide(&mut self, pid: u32, known_as: Option<&Arc<ServiceInstance>>) -> Decision;

    /// Is a connection at this local address an accepted one, as far as the listening sockets of the process's network
    /// namespace tell? `None`: the process is gone.
    fn accepted(&mut self, pid: u32, local: std::net::SocketAddr) -> Option<bool>;

    /// The process is gone.
    fn gone(&mut self, pid: u32);
}

/// Events of processes that wait for a decision.
#[derive(Debug, Default)]
pub struct WaitingRoom {
    waiting: HashMap<u32, Vec<Vec<u8>>>,
    bytes: usize,
    /// Events that did not fit.
    pub lost: u64,
}

impl WaitingRoom {
    /// A process waits from here on.
    pub fn enter(&mut self, pid: u32) {
        self.waiting.entry(pid).or_default();
    }

    /// Does the process wait?
    pub fn has(&self, pid: u32) -> bool {
        self.waiting.contains_key(&pid)
    }

    /// Processes that wait.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.waiting.keys().copied().collect();
        pids.sort_unstable();
        pids
    }

    /// Keeps an event of a process that waits.
    pub fn keep(&mut self, pid: u32, record: &[u8]) {
        if self.bytes + record.len() > MOST_WAITING {
            self.lost += 1;
        } else if let Some(events) = self.waiting.get_mut(&pid) {
            self.bytes += record.len();
            events.push(record.to_vec());
        }
    }

    /// The wait is over: the events kept meanwhile.
    pub fn leave(&mut self, pid: u32) -> Vec<Vec<u8>> {
        let events = self.waiting.remove(&pid).unwrap_or_default();
        self.bytes -= events.iter().map(Vec::len).sum::<usize>();
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_wait_in_order_and_within_bounds() {
        let mut room = WaitingRoom::default();
        room.keep(1, b"nobody waits");
        room.enter(1);
        room.keep(1, b"a");
        room.keep(1, b"b");
        assert_eq!(room.leave(1), [b"a".to_vec(), b"b".to_vec()]);
        room.enter(2);
        room.keep(2, &vec![0; MOST_WAITING]);
        room.keep(2, b"too much");
        assert_eq!((room.lost, room.leave(2).len(), room.bytes), (1, 1, 0));
        assert!(!room.has(2));
    }
}
