//! What is joined of a process whose run time speaks: the wire knows what was said and when, the run time whose it is.
//!
//! Either may come first; each waits for the other, for [`GRACE`] after the run time has caught up. What stays alone is
//! reported as the wire shows it, and counted.

mod claims;
mod exceptions;
mod logs;
mod numbering;
#[cfg(test)]
mod tests;
mod threads;
mod tree;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use exceptions::Exceptions;
use logs::Logs;
use numbering::{Connection, Numbering};
use threads::Threads;
use tree::Tree;
pub(super) use tree::{Held, Put, Root};

use super::{Carried, OpenRequest, RequestKey, SpanId};
use crate::{
    bridge::{CallBegan, Detail, RequestEnded, SpanEnded},
    build::{ErrorEvent, destination::Addresses, span::CallParts},
    exchange::{Exchange, Http, Nanos, Payload},
    metadata::ServiceInstance,
};

/// How long, in the run time's own time, the other half of a request or call is waited for.
const GRACE: Nanos = 2_000_000_000;

/// So many requests or calls that the wire does not show, and a fifth of all, and the run time is asked to tell more.
const MISSED: u64 = 5;

/// Most databases a run time is believed to tell of.
const MOST_SYSTEMS: usize = 16;

/// Most messages about requests that are kept because the request they mean is not certain yet.
const MOST_PUZZLING: usize = 4096;

/// A request the wire has seen to its end.
pub(super) struct Answered {
    pub(super) instance: Arc<ServiceInstance>,
    pub(super) addresses: Addresses,
    pub(super) exchange: Box<Exchange>,
    pub(super) http: Http,
    pub(super) request: OpenRequest,
}

/// Ports of a call's connection; 0: it has none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// Ours.
    pub(super) local: u16,
    /// The server's.
    pub(super) remote: u16,
}

/// A call the wire has seen to its end.
pub(super) struct Called {
    pub(super) exchange: Box<Exchange>,
    pub(super) parts: CallParts,
    /// The place in a trace that the call carried to the other service.
    pub(super) carried: Option<Carried>,
}

/// What the run time knows of a call.
pub(super) enum Known {
    /// It was announced on its thread.
    Announced {
        /// What was said.
        call: CallBegan,
        /// It was sent in one write with others.
        shared: bool,
    },
    /// It is of a driver that announces what the program asks for, and was not announced: the driver's own.
    Internal,
    /// It is this span.
    Span(Box<SpanEnded>),
    /// Nothing.
    Nothing,
}

/// A request with what the run time said of it, if anything.
pub(super) type Joined = (Box<Answered>, Option<RequestEnded>);

/// A call between its first byte and the end of waiting.
#[derive(Default)]
struct Call {
    /// What its thread announced, once everything up to its first byte has been said.
    announced: Option<Option<CallBegan>>,
    /// It was sent in one write with others.
    shared: bool,
    /// When it began.
    opened: Nanos,
    /// The span that it is.
    span: Option<SpanId>,
    /// It may be one of several spans, which are told without it.
    doubted: bool,
    /// The wire has seen it to its end.
    over: Option<Box<Called>>,
}

/// What became of a span the run time told of.
pub(super) enum Told {
    /// It is this call, which is over.
    Call(Box<Called>, Box<SpanEnded>),
    /// It is a call that still goes on.
    Waits,
    /// No call on the wire is this span.
    NoCall(Box<SpanEnded>),
}

/// What could not be joined within [`GRACE`].
#[derive(Default)]
pub(super) struct Alone {
    pub(super) requests: Vec<Answered>,
    pub(super) calls: Vec<(Box<Called>, Known)>,
    /// Requests the run time told of that are not known on the wire; and whether a connection to their peer is.
    pub(super) unseen: Vec<(Nanos, RequestEnded, bool)>,
    /// Exceptions of requests and calls of which nothing was told.
    pub(super) exceptions: Vec<ErrorEvent>,
}

/// One process.
pub(super) struct Bridged {
    pub(super) instance: Arc<ServiceInstance>,
    pub(super) tree: Tree,
    /// What the run time tells.
    pub(super) detail: Detail,
    /// Requests seen on both sides, and by the run time alone.
    seen: u64,
    unseen: u64,
    pub(super) exceptions: Exceptions,
    pub(super) logs: Logs,
    numbering: Numbering,
    requests: HashMap<RequestKey, Request>,
    answered: VecDeque<(Nanos, RequestKey)>,
    puzzling: VecDeque<(Nanos, RequestEnded)>,
    threads: Threads,
    calls: HashMap<RequestKey, Call>,
    undecided: VecDeque<(Nanos, u32, RequestKey)>,
    over: VecDeque<(Nanos, RequestKey)>,
    /// Calls by the spans they are: as they carried, or as the spans said.
    carriers: HashMap<SpanId, RequestKey>,
    /// Calls by our port of their connection, oldest first.
    ports: HashMap<u16, VecDeque<RequestKey>>,
    /// The same by the server's port.
    servers: HashMap<u16, VecDeque<RequestKey>>,
    spans: HashMap<SpanId, Box<SpanEnded>>,
    /// The last announced call of each database session whose calls are announced.
    sessions: HashMap<u64, CallBegan>,
    closed: VecDeque<(Nanos, u64)>,
    /// Databases whose calls the run time tells of itself, without a connection.
    told: HashSet<String>,
}

/// A request between its first byte and the end of waiting.
#[derive(Default)]
struct Request {
    answered: Option<Box<Answered>>,
    told: Option<RequestEnded>,
}

impl Bridged {
    pub(super) fn new(instance: Arc<ServiceInstance>) -> Self {
        Self {
            instance,
            tree: Tree::default(),
            detail: Detail::default(),
            seen: 0,
            unseen: 0,
            exceptions: Exceptions::default(),
            logs: Logs::default(),
            numbering: Numbering::default(),
            requests: HashMap::new(),
            answered: VecDeque::new(),
            puzzling: VecDeque::new(),
            threads: Threads::default(),
            calls: HashMap::new(),
            undecided: VecDeque::new(),
            over: VecDeque::new(),
            carriers: HashMap::new(),
            ports: HashMap::new(),
            servers: HashMap::new(),
            spans: HashMap::new(),
            sessions: HashMap::new(),
            closed: VecDeque::new(),
            told: HashSet::new(),
        }
    }

    /// Requests and calls the wire has seen to their end, that wait; and spans and logged errors that
    /// wait for their transaction.
    pub(super) fn waiting(&self) -> usize {
        let requests = self.requests.values().filter(|request| request.answered.is_some()).count();
        let calls = self.calls.values().filter(|call| call.over.is_some()).count();
        requests + calls + self.tree.len() + self.logs.len()
    }

    /// What the run time should tell besides, because the wire does not show it.
    pub(super) fn wants(&self) -> Detail {
        let hidden = |hidden: u64, shown: u64| hidden >= MISSED && hidden * 4 >= shown;
        Detail {
            requests: hidden(self.unseen, self.seen),
            statements: hidden(self.threads.unfollowed, self.threads.followed),
            ..Detail::default()
        }
    }

    /// The wire saw a request begin.
    pub(super) fn request_opened(&mut self, key: RequestKey, request: &OpenRequest) {
        let connection = Connection { id: key.connection, port: request.peer_port, whole: request.whole };
        self.numbering.opened(connection, key.serial, request.opened);
        self.requests.insert(key, Request::default());
    }

    /// The wire saw a request end. Gives it back when nothing need be waited for.
    pub(super) fn request_done(&mut self, key: RequestKey, answered: Box<Answered>) -> Option<Joined> {
        let Some(request) = self.requests.get_mut(&key) else {
            // It began before the run time spoke.
            return Some((answered, None));
        };
        if let Some(ended) = request.told.take() {
            self.requests.remove(&key);
            return Some((answered, Some(ended)));
        }
        self.answered.push_back((answered.exchange.closed.time, key));
        self.numbering.answered(key, answered.exchange.closed.time);
        request.answered = Some(answered);
        None
    }

    /// The wire lost a request, or it is none of ours.
    pub(super) fn request_lost(&mut self, key: RequestKey) {
        self.requests.remove(&key);
        self.numbering.given_up(key);
    }

    /// The run time told of a request; with it others that had been puzzling may become clear.
    pub(super) fn request_ended(&mut self, time: Nanos, ended: RequestEnded) -> Vec<(Nanos, Joined)> {
        let mut ready = Vec::new();
        let Some(key) = self.numbering.ended(time, &ended) else {
            self.puzzling.push_back((time, ended));
            return ready;
        };
        let port = ended.remote_port;
        self.join(key, time, ended, &mut ready);
        // What was learnt is about this peer; the order of the others stays.
        for _ in 0..self.puzzling.len() {
            let Some((time, ended)) = self.puzzling.pop_front() else { break };
            let clear = if ended.remote_port == port { self.numbering.again(time, &ended) } else { None };
            match clear {
                Some(key) => self.join(key, time, ended, &mut ready),
                None => self.puzzling.push_back((time, ended)),
            }
        }
        ready
    }

    fn join(&mut self, key: RequestKey, time: Nanos, ended: RequestEnded, ready: &mut Vec<(Nanos, Joined)>) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        self.seen += 1;
        match request.answered.take() {
            Some(answered) => {
                self.requests.remove(&key);
                ready.push((time, (answered, Some(ended))));
            }
            None => request.told = Some(ended),
        }
    }

    /// The wire saw a connection begin with a call, which is told next.
    pub(super) fn connected(&mut self, connection: u64, time: Nanos) {
        self.threads.connected(connection, time);
    }

    /// The wire saw a call begin.
    pub(super) fn call_opened(&mut self, key: RequestKey, ports: Ports, tid: u32, time: Nanos) {
        self.threads.opened(tid, time, key.connection);
        self.undecided.push_back((time, tid, key));
        self.calls.insert(key, Call { opened: time, ..Call::default() });
        if self.detail.connections {
            self.offer(ports, key);
        }
    }

    /// A call carries a trace context: the run time will call it by this span.
    pub(super) fn call_carries(&mut self, key: RequestKey, carried: Carried) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.span = Some(carried.span);
        if let Some(before) = self.carriers.insert(carried.span, key) {
            // The same call again: redirected, or sent on another connection.
            self.calls.remove(&before);
        }
    }

    /// The wire saw a call end. Gives it back with what is known of it, or keeps it until something is.
    pub(super) fn call_done(&mut self, key: RequestKey, called: Box<Called>) -> Option<(Box<Called>, Known)> {
        let Some(call) = self.calls.get_mut(&key) else {
            return Some((called, Known::Nothing));
        };
        self.over.push_back((called.exchange.closed.time, key));
        call.over = Some(called);
        self.known(key)
    }

    /// The wire lost a call, or it never ended.
    pub(super) fn call_lost(&mut self, key: RequestKey) {
        self.calls.remove(&key);
    }

    /// The run time told of a span that ended at `time`.
    pub(super) fn span_ended(&mut self, ended: Box<SpanEnded>, time: Nanos) -> Told {
        let id = ended.context.span;
        let Some(key) = self.carriers.get(&id).copied().or_else(|| self.claim(&ended, time)) else {
            self.note_told(&ended);
            return Told::NoCall(ended);
        };
        self.spans.insert(id, ended);
        match self.known(key) {
            Some((called, Known::Span(span))) => Told::Call(called, span),
            _ => Told::Waits,
        }
    }

    /// A driver that the run time tells of and the wire shows, too (MySqlConnector): what it tells is not told twice.
    fn note_told(&mut self, ended: &SpanEnded) {
        let system = ["db.system.name", "db.system"].iter().find_map(|name| ended.attribute(name));
        if let Some(system) = system.filter(|_| !self.detail.connections && self.told.len() < MOST_SYSTEMS) {
            self.told.insert(system.to_owned());
        }
    }

    /// The run time is about to make a call.
    pub(super) fn call_began(&mut self, time: Nanos, call: CallBegan) {
        self.threads.began(time, call);
    }

    /// Everything up to `time` has been said: calls begun until then are decided.
    pub(super) fn heard(&mut self, time: Nanos) -> Vec<(Box<Called>, Known)> {
        let mut ready = Vec::new();
        while let Some((opened, tid, key)) = self.undecided.front().copied()
            && opened <= time
        {
            self.undecided.pop_front();
            if let Some(call) = self.calls.get_mut(&key) {
                call.announced = Some(self.threads.announced(tid, opened, key.connection));
                call.shared = self.threads.is_shared(tid, opened, key.connection);
                ready.extend(self.known(key));
            }
        }
        self.threads.forget_before(self.undecided.front().map_or(time, |(opened, ..)| time.min(*opened)));
        ready
    }

    /// What has waited too long.
    pub(super) fn alone(&mut self, time: Nanos) -> Alone {
        let before = time.saturating_sub(GRACE);
        let mut alone = Alone::default();
        while let Some((closed, key)) = self.answered.front().copied()
            && closed < before
        {
            self.answered.pop_front();
            if let Some(answered) = self.requests.get_mut(&key).and_then(|request| request.answered.take()) {
                self.requests.remove(&key);
                self.numbering.given_up(key);
                alone.requests.push(*answered);
            }
        }
        while let Some((closed, key)) = self.over.front().copied()
            && closed < before
        {
            self.over.pop_front();
            alone.calls.extend(self.give_up(key));
        }
        while self.puzzling.front().is_some_and(|(told, _)| *told < before || self.puzzling.len() > MOST_PUZZLING) {
            if let Some((told, ended)) = self.puzzling.pop_front() {
                let connected = self.numbering.knows_port(ended.remote_port);
                self.unseen += u64::from(!connected);
                alone.unseen.push((told, ended, connected));
            }
        }
        while let Some((_, connection)) = self.closed.pop_front_if(|(closed, _)| *closed < before) {
            self.sessions.remove(&connection);
            self.threads.forget_connection(connection);
        }
        alone.exceptions = self.exceptions.overdue(before);
        self.forget_ports();
        self.numbering.forget_closed(before);
        self.tree.forget_before(time);
        alone
    }

    /// Bytes of a connection were lost: requests on it may be counted wrongly.
    pub(super) fn doubt(&mut self, connection: u64) {
        self.numbering.doubt(connection);
    }

    /// A connection is closed.
    pub(super) fn closed(&mut self, connection: u64, time: Nanos) {
        self.numbering.closed(connection, time);
        self.closed.push_back((time, connection));
    }

    /// Takes a call out when it is over and enough is known of it.
    fn known(&mut self, key: RequestKey) -> Option<(Box<Called>, Known)> {
        let call = self.calls.get(&key)?;
        let over = call.over.as_ref()?;
        let known = match (call.span, &over.exchange.payload) {
            (Some(span), _) => Known::Span(self.spans.remove(&span)?),
            (None, _) if call.doubted => Known::Internal,
            // It may be told of later.
            (None, _) if self.detail.connections => return None,
            (None, Payload::Http(_)) => Known::Nothing,
            // Its driver may tell of it.
            (None, Payload::Command(_)) => return None,
            // The run time tells of the statement itself.
            (None, Payload::Sql(_)) if self.detail.statements => Known::Internal,
            (None, Payload::Sql(sql)) => match (call.announced?, self.sessions.get(&key.connection)) {
                // A transaction's end is no command of its own to the driver; it belongs to what was done in it.
                // What was sent together with its beginning had nothing done in it.
                (_, Some(last)) if !call.shared && sql.statement.as_deref().is_some_and(ends_transaction) => {
                    Known::Announced { call: *last, shared: false }
                }
                (Some(announced), _) => {
                    self.sessions.insert(key.connection, announced);
                    Known::Announced { call: announced, shared: call.shared }
                }
                (None, Some(_)) => Known::Internal,
                // Whether this driver announces its calls is not known yet.
                (None, None) => return None,
            },
        };
        Some((self.take(key)?, known))
    }

    fn give_up(&mut self, key: RequestKey) -> Option<(Box<Called>, Known)> {
        let call = self.calls.get(&key)?;
        let system = match call.over.as_ref().map(|over| &over.exchange.payload) {
            Some(Payload::Sql(sql)) => sql.system,
            Some(Payload::Command(command)) => command.system,
            _ => "",
        };
        let internal = call.doubted || self.sessions.contains_key(&key.connection) || self.told.contains(system);
        let known = if internal { Known::Internal } else { Known::Nothing };
        Some((self.take(key)?, known))
    }

    fn take(&mut self, key: RequestKey) -> Option<Box<Called>> {
        let Call { span, over, .. } = self.calls.remove(&key)?;
        if let Some(span) = span {
            self.carriers.remove(&span);
            self.spans.remove(&span);
        }
        over
    }
}

fn ends_transaction(statement: &str) -> bool {
    let word = statement.trim_start().split(|one: char| !one.is_ascii_alphabetic()).next().unwrap_or_default();
    ["COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"].iter().any(|end| word.eq_ignore_ascii_case(end))
}
