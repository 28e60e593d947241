//! From kernel events to documents: one thread, no locks, no clock but the events' own.
//!
//! Sans I/O: events come in by [`Pipeline::handle`], documents go out through an [`Output`], and what the kernel should
//! know comes back as [`Wish`]es. So the same events give the same documents, live or from a recording.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

mod close;
mod counters;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use apm_common::event::{DATA_END, DATA_ERROR, DATA_OUTGOING, DATA_POLLED, OPEN_ADOPTED};

pub use counters::PipelineCounters;

use crate::{
    bridge::{Detail, Message},
    clock::Clock,
    config::Capture,
    correlate::{CallEnd, Carried, Ids, Mark, Party, Tracer},
    event::{self, Event, Header},
    exchange::{Exchange, Signal, Stamp},
    metadata::ServiceInstance,
    send::Output,
    stream::{Connection, Role, Told},
};

/// Most connections followed at once; the kernel's own cap is the same.
const MOST_CONNECTIONS: usize = apm_common::limits::CONNECTIONS as usize;

/// What the pipeline would like the kernel to do. A replay has nobody to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Send no more of this connection.
    Ignore(u64),
    /// Ask the run time of this process for more: the wire does not show it.
    Widen(u32, Detail),
    /// Put nothing into calls on this connection: they are none of HTTP.
    Spare(u64),
    /// Put the place in the trace into calls on this connection of a process, which seems to have this descriptor.
    Reach(u32, u64, u64),
    /// Forget this connection: nobody holds it any more.
    Forget(u64),
}

/// The state of all watched processes and connections.
pub struct Pipeline {
    tracer: Tracer,
    counters: PipelineCounters,
    services: HashMap<u32, Arc<ServiceInstance>>,
    connections: HashMap<u64, Connection>,
    signals: Vec<Signal>,
    wishes: Vec<Wish>,
}

impl Pipeline {
    /// A pipeline with the user's settings.
    pub fn new(capture: Capture, ids: Ids, clock: Clock) -> Self {
        Self {
            tracer: Tracer::new(capture, ids, clock),
            counters: PipelineCounters::default(),
            services: HashMap::new(),
            connections: HashMap::new(),
            signals: Vec::new(),
            wishes: Vec::new(),
        }
    }

    /// From now on, events of `pid` belong to this service.
    pub fn watch(&mut self, pid: u32, instance: Arc<ServiceInstance>) {
        self.services.insert(pid, instance);
    }

    /// Sets the difference between kernel time and wall time.
    pub fn set_clock(&mut self, clock: Clock) {
        self.tracer.clock = clock;
    }

    /// What the kernel should do, since the last call.
    pub fn take_wishes(&mut self) -> std::vec::Drain<'_, Wish> {
        self.wishes.drain(..)
    }

    /// Handles one event. Events of processes that nobody watches are counted and dropped.
    pub fn handle(&mut self, header: &Header, event: &Event<'_>, output: &mut dyn Output) {
        self.counters.events += 1;
        match event {
            Event::Data { connection, position, owner, carried, bytes } => {
                let carried = carried.map(Carried::from);
                self.data(header, *connection, *position, (*owner, carried), bytes);
            }
            Event::Handle { request, connection } => {
                self.tracer.request_handled(header.pid, *request, *connection, header.time);
            }
            Event::Asked(asked) => {
                if let Some(instance) = self.services.get(&header.pid) {
                    self.tracer.request_asked(header.pid, &Arc::clone(instance), asked, header.time);
                }
            }
            Event::Answered { request, status, grpc, failed } => {
                self.tracer.request_answered((header.pid, *request), (*status, *grpc), *failed, header.time);
            }
            Event::Rpc { call, request } => {
                self.tracer.grpc_call_began((header.pid, *call), *request, header.time);
            }
            Event::Carrying { call, place } => self.tracer.call_carried((header.pid, *call), (*place).into()),
            Event::RpcDone(call) => {
                if let Some(instance) = self.services.get(&header.pid) {
                    self.tracer.grpc_call_ended(header.pid, &Arc::clone(instance), call, header.time);
                }
            }
            Event::Call(call) => {
                if let Some(instance) = self.services.get(&header.pid) {
                    let local_and_remote = self.connections.get(&call.connection).map(|found| found.addresses.clone());
                    let addresses = local_and_remote.unwrap_or_default();
                    self.tracer.call_begun(header.pid, &Arc::clone(instance), call, addresses, header.time);
                }
            }
            Event::Called { call, status, failed, sent } => {
                let end = CallEnd { status: *status, failed: *failed, sent: *sent, time: header.time };
                self.tracer.call_ended((header.pid, *call), end);
            }
            Event::Route { request, router, part, text } => {
                self.tracer.request_routed((header.pid, *request), *router, *part, text);
            }
            Event::Statement(statement) => {
                if let Some(instance) = self.services.get(&header.pid) {
                    self.tracer.statement_began(header.pid, &Arc::clone(instance), statement, header.time);
                }
            }
            Event::StatementDone { goroutine } => {
                self.tracer.statement_done((header.pid, *goroutine), None, header.time);
            }
            Event::Unreached { connection, descriptor } => {
                self.wishes.push(Wish::Reach(header.pid, *connection, *descriptor));
            }
            Event::Open(open) => self.open(header, open),
            Event::ConnectFailed(attempt) => self.connect_failed(header, attempt),
            Event::Close { connection } => self.close(header, *connection),
            Event::Fork { child, .. } => self.fork(header.pid, *child),
            Event::Exit { exit_code, .. } => self.exit(header, *exit_code),
            // Panics, errors and what a run time wrote are put into words before they mean anything here.
            Event::Exec { .. }
            | Event::Listen { .. }
            | Event::Written { .. }
            | Event::Failed { .. }
            | Event::StatementFailed { .. }
            | Event::Panic(_)
            | Event::Recovered { .. } => {}
        }
        self.deliver(output);
    }

    /// Handles what the run time of a watched process said.
    pub fn told(&mut self, message: &Message, output: &mut dyn Output) {
        match self.services.get(&message.pid) {
            Some(instance) => self.tracer.told(message, &Arc::clone(instance)),
            // It has ended; what it said before still belongs to it.
            None => self.tracer.told_of_ended(message),
        }
        self.wishes.extend(self.tracer.take_widened().map(|(pid, detail)| Wish::Widen(pid, detail)));
        self.deliver(output);
    }

    /// Ends everything that is open: nobody watches any more.
    pub fn finish(&mut self, time: u64, output: &mut dyn Output) {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            self.finish_connection(id, time);
        }
        self.connections.clear();
        self.tracer.finish();
        self.deliver(output);
    }

    /// Counters of the pipeline and the tracer, by name.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counters.list(&self.tracer, self.connections.len())
    }

    fn deliver(&mut self, output: &mut dyn Output) {
        for (instance, document) in self.tracer.take_documents() {
            output.publish(&instance, &document);
        }
    }

    fn fork(&mut self, parent: u32, child: u32) {
        if let Some(instance) = self.services.get(&parent) {
            self.services.insert(child, Arc::clone(instance));
        }
    }

    fn open(&mut self, header: &Header, open: &event::Connection) {
        let Some(instance) = self.services.get(&header.pid) else {
            self.counters.events_unwatched += 1;
            return;
        };
        if self.connections.len() >= MOST_CONNECTIONS {
            self.counters.connections_over_limit += 1;
            return;
        }
        let adopted = header.flags & OPEN_ADOPTED != 0;
        let connection = Connection::new(open, adopted, header.pid, header.tid, Arc::clone(instance));
        self.counters.connections += 1;
        self.finish_connection(open.id, header.time);
        if let Some(old) = self.connections.insert(open.id, connection) {
            // A second connect on the same socket: what was open before is over.
            self.counters.connections_replaced += u64::from(old.role.is_some());
        }
    }

    fn connect_failed(&mut self, header: &Header, attempt: &event::Connection) {
        self.counters.connects_failed += 1;
        self.finish_connection(attempt.id, header.time);
        // Failures that come later are seen in a softirq, which runs on any thread: the connection knows whose it is.
        let (instance, pid, tid) = match (self.connections.remove(&attempt.id), self.services.get(&header.pid)) {
            (Some(connection), _) => {
                (Arc::clone(&connection.instance), connection.holders.first().copied().unwrap_or(0), connection.opener)
            }
            (None, Some(instance)) => (Arc::clone(instance), header.pid, header.tid),
            (None, None) => {
                self.counters.events_unwatched += 1;
                return;
            }
        };
        self.tracer.connect_failed(&instance, pid, tid, header.time, attempt.error, &attempt.remote);
    }

    fn data(
        &mut self,
        header: &Header,
        id: u64,
        position: u64,
        (owner, carried): (u64, Option<Carried>),
        bytes: &[u8],
    ) {
        let outgoing = header.flags & DATA_OUTGOING != 0;
        if !self.connections.contains_key(&id) && !self.meet_unannounced(header, id, position) {
            return;
        }
        let mark = Mark { tid: header.tid, polled: header.flags & DATA_POLLED != 0, owner };
        let at = Stamp { time: header.time, mark: mark.pack() };
        let mut told = Told::Followed;
        self.with_connection(id, |connection, signals| {
            connection.held_by(header.pid);
            if let Some(carried) = carried {
                connection.carried = Some((header.time, carried));
            }
            told = connection.feed(outgoing, position, bytes, at, signals);
            if header.flags & (DATA_END | DATA_ERROR) != 0 {
                // Whichever way an error shows, it is the peer that is gone.
                let by = connection.side(outgoing).map(|side| if outgoing { side.peer() } else { side });
                connection.close(by, at, signals);
            }
        });
        if self.connections.get_mut(&id).is_some_and(Connection::is_found_other_than_http) {
            self.wishes.push(Wish::Spare(id));
        }
        match told {
            Told::Followed => self.counters.bytes += bytes.len() as u64,
            Told::Old => self.counters.events_out_of_order += 1,
            Told::GivenUp => {
                self.counters.connections_unknown += 1;
                self.wishes.push(Wish::Ignore(id));
            }
        }
    }

    /// Bytes of a connection whose announcement was lost.
    fn meet_unannounced(&mut self, header: &Header, id: u64, position: u64) -> bool {
        let Some(instance) = self.services.get(&header.pid) else {
            self.counters.events_unwatched += 1;
            return false;
        };
        if self.connections.len() >= MOST_CONNECTIONS {
            self.counters.connections_over_limit += 1;
            return false;
        }
        let outgoing = header.flags & DATA_OUTGOING != 0;
        let connection = Connection::unannounced(id, outgoing, position, header.pid, Arc::clone(instance));
        self.counters.connections_unannounced += 1;
        self.connections.insert(id, connection);
        true
    }

    /// What is open on a connection will not be followed any more.
    fn finish_connection(&mut self, id: u64, time: u64) {
        let at = Stamp { time, mark: 0 };
        self.with_connection(id, |connection, signals| connection.finish(at, signals));
    }

    /// Lets `act` work on a connection, and then follows the signals it gave.
    fn with_connection(&mut self, id: u64, act: impl FnOnce(&mut Connection, &mut Vec<Signal>)) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let mut signals = std::mem::take(&mut self.signals);
        act(connection, &mut signals);
        let role = connection.role.unwrap_or(Role::Client);
        let mut opaque = false;
        if !signals.is_empty() {
            if signals.contains(&Signal::RequestsMissed) {
                connection.miss_requests();
            }
            let party = Party {
                connection: id,
                pid: connection.holders.last().copied().unwrap_or(0),
                instance: &connection.instance,
                addresses: &connection.addresses,
                whole: connection.is_whole(),
                carried: connection.carried,
            };
            for signal in signals.drain(..) {
                opaque |= follow(&mut self.tracer, &mut self.counters, &party, role, signal);
            }
        }
        self.signals = signals;
        if opaque {
            connection.give_up();
            self.wishes.push(Wish::Ignore(id));
        }
    }
}

/// Hands a parser's signal to the tracer; true when the connection has become opaque.
fn follow(tracer: &mut Tracer, counters: &mut PipelineCounters, party: &Party<'_>, role: Role, signal: Signal) -> bool {
    match (signal, role) {
        (Signal::Opened { serial, at }, Role::Server) => tracer.request_opened(party, serial, at),
        (Signal::Opened { serial, at }, Role::Client) => tracer.call_opened(party, serial, at),
        (Signal::Request { serial, trace }, Role::Server) => tracer.request_read(party.connection, serial, &trace),
        (Signal::Request { serial, trace }, Role::Client) => tracer.call_sent(party, serial, &trace),
        (Signal::Done(exchange), role) => done(tracer, counters, party, role, exchange),
        (Signal::Resynchronised { bytes }, _) => {
            counters.resynchronised += 1;
            counters.bytes_not_understood += bytes;
        }
        (Signal::RequestsMissed, _) => tracer.connection_doubted(party.pid, party.connection),
        (Signal::Opaque, _) => {
            counters.connections_opaque += 1;
            return true;
        }
    }
    false
}

fn done(tracer: &mut Tracer, counters: &mut PipelineCounters, party: &Party<'_>, role: Role, exchange: Box<Exchange>) {
    counters.exchanges += 1;
    match role {
        Role::Server => tracer.request_done(party, exchange),
        Role::Client => tracer.call_done(party, exchange),
    }
}
