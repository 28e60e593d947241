//! Connections and processes that end.

use std::sync::Arc;

use apm_common::event::{CLOSE_LAST, CLOSE_READ, CLOSE_WRITE, SEALED};

use super::{Pipeline, Wish};
use crate::{event::Header, exchange::Stamp, stream::Role};

impl Pipeline {
    /// A watched process closed a descriptor or shut a direction down. What was said over TLS ends with its socket.
    pub(super) fn close(&mut self, header: &Header, id: u64) {
        self.close_one(header, id | SEALED);
        self.close_one(header, id);
    }

    fn close_one(&mut self, header: &Header, id: u64) {
        let at = Stamp { time: header.time, mark: u64::from(header.tid) };
        if header.flags & (CLOSE_READ | CLOSE_WRITE) != 0 {
            if header.flags & CLOSE_WRITE != 0 {
                self.with_connection(id, |connection, signals| {
                    connection.close(connection.role.map(Role::side), at, signals);
                });
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let held = connection.holders.len();
        connection.holders.retain(|pid| *pid != header.pid);
        let was_holder = connection.holders.len() < held;
        // Another process may hold it still (a parent that hands a connection to its child); when the one that closes
        // was the only one seen to use it, and has used it, the conversation is over for us.
        let last = header.flags & CLOSE_LAST != 0;
        if last || (was_holder && connection.holders.is_empty() && connection.has_spoken()) {
            connection.holders.push(header.pid);
            self.end(id, at);
        }
    }

    /// A watched process ended: so do its connections, unless another process holds them.
    pub(super) fn exit(&mut self, header: &Header, exit_code: u32) {
        let at = Stamp { time: header.time, mark: u64::from(header.tid) };
        if let Some(instance) = self.services.get(&header.pid) {
            self.tracer.process_ended(header.pid, exit_code, &Arc::clone(instance), header.time);
        }
        let mut ended = Vec::new();
        for (id, connection) in &mut self.connections {
            if connection.holders.contains(&header.pid) {
                if connection.holders.len() == 1 {
                    ended.push(*id);
                } else {
                    connection.holders.retain(|pid| *pid != header.pid);
                }
            }
        }
        ended.sort_unstable();
        for id in ended {
            self.end(id, at);
            self.wishes.push(Wish::Forget(id));
        }
        self.services.remove(&header.pid);
        self.counters.processes_ended += 1;
    }

    /// Our own side is gone.
    fn end(&mut self, id: u64, at: Stamp) {
        self.with_connection(id, |connection, signals| {
            connection.close(connection.role.map(Role::side), at, signals);
            connection.finish(at, signals);
        });
        if let Some(connection) = self.connections.remove(&id) {
            for pid in connection.holders {
                self.tracer.connection_closed(pid, id, at.time);
            }
        }
    }
}
