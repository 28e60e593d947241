//! The meaning of messages: which answer belongs to which request.

use super::flight::{Awaited, Flight};
use super::framing::Message;
use super::message::{read_statement, read_text};
use super::names::Names;
use crate::exchange::{Ending, Nanos, Side, Signal, SqlError, SqlOperation, Stamp};
use crate::protocol::statement::Statement;

/// Silence of both sides after which nothing can be in flight unseen, also for a client that pipelines (short of a
/// statement that runs that long).
const QUIET_NANOS: Nanos = 100_000_000;

/// Messages of the extended protocol that belong to the Execute still to come.
#[derive(Default)]
pub(super) struct Group {
    pub(super) opened: Stamp,
    pub(super) statement: Option<Statement>,
    pub(super) bound: bool,
}

/// State of a session after its start-up packet.
#[derive(Default)]
pub(super) struct Talk {
    pub(super) flight: Flight,
    pub(super) names: Names,
    pub(super) group: Option<Group>,
    /// The server reported an error and skips messages up to the next Sync.
    pub(super) skipping: bool,
    /// That error, until the exchange it belongs to is known.
    pub(super) failed: Option<SqlError>,
    /// The place in the client's stream is lost; it is found again when the session is idle.
    pub(super) client_lost: bool,
    /// The server's last message was ReadyForQuery.
    pub(super) ready: bool,
    /// The place was found by idleness alone (joined late, or after a loss): an answer could be one too early. What
    /// speaks against it is looked for, and the place given up at the first sign.
    pub(super) doubtful: bool,
    /// The client was seen to send requests before earlier ones were answered: idle moments prove nothing then. Several
    /// requests in one write are not such: Npgsql sends `DISCARD ALL` with the first statement of a pooled session.
    pub(super) pipelines: bool,
    /// When the client last sent a request.
    pub(super) asked: Nanos,
    /// When the server last spoke.
    pub(super) heard: Nanos,
    /// An answer came that nothing was known to have asked; its question may still come, and is to be passed over.
    pub(super) unasked: bool,
}

impl Talk {
    /// Nothing is under way, and the server waits for the client.
    pub(super) fn is_idle(&self) -> bool {
        self.ready && self.flight.is_empty()
    }

    /// It is no longer known which answer belongs to which request: wait for the session to be idle.
    pub(super) fn drift(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.flight.doubt_all(at, signals);
        self.names.forget_all();
        self.group = None;
        self.skipping = false;
        self.failed = None;
        self.client_lost = true;
        self.doubtful = true;
    }

    /// An answer that nothing asked for, in a doubtful place.
    pub(super) fn contradict(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.drift(at, signals);
        self.unasked = true;
    }

    /// Client bytes were lost at an unknown place. What was sent before is still answered in order.
    pub(super) fn lose_client(&mut self) {
        let copying = match self.flight.front_mut().and_then(Awaited::pending) {
            Some(pending) => pending.operation == SqlOperation::Copy,
            None => false,
        };
        if !copying {
            // A Parse, Close or DEALLOCATE may be among them.
            self.names.forget_all();
        }
        self.group = None;
        self.client_lost = true;
        self.doubtful = true;
        self.ready = false;
    }

    /// The client begins to speak: can its place be taken as known again?
    pub(super) fn may_resume(&self, at: Stamp) -> bool {
        self.is_idle() && (!self.pipelines || self.is_quiet(at))
    }

    fn is_quiet(&self, at: Stamp) -> bool {
        at.time.saturating_sub(self.heard) >= QUIET_NANOS
    }

    /// The client speaks at an idle point: its place is known again.
    pub(super) fn resume(&mut self, at: Stamp) {
        self.doubtful = !self.is_quiet(at);
        self.client_lost = false;
        self.flight.answering = None;
        self.skipping = false;
        self.failed = None;
        self.group = None;
    }

    /// A message of the client.
    pub(super) fn ask(&mut self, message: &Message<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        if self.flight.is_full() || self.is_doubtful_pipeline(message.kind, at.time) {
            self.drift(at, signals);
            self.ready = false;
            return self.doubt(at, signals, |reader, signals| reader.ask(message, at, signals));
        }
        self.ready = false;
        match message.kind {
            b'Q' => self.ask_query(message, at, signals),
            b'F' => self.ask_function(message, at, signals),
            b'P' => self.ask_parse(message),
            b'B' => self.ask_bind(message),
            b'D' => self.ask_describe(message),
            b'E' => self.ask_execute(message, at, signals),
            b'C' => self.ask_close(message),
            b'H' => self.end_group(false, at, signals),
            b'S' => self.ask_sync(at, signals),
            b'd' => self.flight.drop_syncs_before_copy_data(),
            b'c' | b'f' => {
                self.flight.drop_syncs_before_copy_data();
                self.flight.end_data();
            }
            // Terminate and passwords have no answer of their own.
            _ => {}
        }
    }

    /// A second request in flight makes the idle moment by which the place was found worthless.
    fn is_doubtful_pipeline(&mut self, kind: u8, time: Nanos) -> bool {
        if !matches!(kind, b'Q' | b'S' | b'F') {
            return false;
        }
        let later = std::mem::replace(&mut self.asked, time) != time;
        let second = self.doubtful && later && self.flight.readies() > 0;
        self.pipelines |= second;
        second
    }

    fn ask_query(&mut self, message: &Message<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        let statement = read_statement(message.body, message.cut);
        let text = statement.text.clone();
        let pending = self.flight.open(operation_of(&text), Some(statement), message.began, at.time, signals);
        if self.skipping {
            return self.skip(Awaited::Query(pending), at, signals);
        }
        self.names.forget_unnamed();
        self.names.apply(&text);
        self.flight.push(Awaited::Query(pending));
    }

    fn ask_function(&mut self, message: &Message<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        let pending = self.flight.open(SqlOperation::Other, None, message.began, at.time, signals);
        match self.skipping {
            true => self.skip(Awaited::Function(pending), at, signals),
            false => self.flight.push(Awaited::Function(pending)),
        }
    }

    fn ask_parse(&mut self, message: &Message<'_>) {
        let mut body = message.body;
        let Some(name) = read_text(&mut body) else {
            // The name does not end in what was kept: any statement may have been replaced.
            self.names.forget_all();
            self.open_group(message.began).statement = None;
            return self.expect(Awaited::Parse(Box::default()));
        };
        let statement = read_statement(body, message.cut);
        self.open_group(message.began).statement = Some(statement.clone());
        if !self.skipping {
            self.names.define(name, statement);
        }
        self.expect(Awaited::Parse(name.into()));
    }

    fn ask_bind(&mut self, message: &Message<'_>) {
        let mut body = message.body;
        let names = read_text(&mut body).zip(read_text(&mut body));
        let statement = match names {
            Some((portal, name)) if !self.skipping => self.names.bind(portal, name),
            Some((_, name)) => self.names.statement(name),
            None => {
                self.names.forget_portals();
                None
            }
        };
        let group = self.open_group(message.began);
        group.statement = statement;
        group.bound = true;
        self.expect(Awaited::Bind);
    }

    fn ask_describe(&mut self, message: &Message<'_>) {
        let known = match message.body.split_first() {
            Some((b'S', mut name)) => read_text(&mut name).and_then(|name| self.names.statement(name)),
            Some((_, mut name)) => read_text(&mut name).and_then(|name| self.names.portal(name)),
            None => None,
        };
        let group = self.open_group(message.began);
        group.statement = known;
        self.expect(Awaited::Describe);
    }

    fn ask_execute(&mut self, message: &Message<'_>, at: Stamp, signals: &mut Vec<Signal>) {
        let mut body = message.body;
        let group = self.group.take();
        let statement = match read_text(&mut body) {
            Some(_) if self.skipping => group.as_ref().and_then(|group| group.statement.clone()),
            Some(portal) => self.names.portal(portal),
            None => None,
        };
        let opened = group.map_or(message.began, |group| group.opened);
        let text = statement.as_ref().map(|statement| statement.text.clone());
        let operation = text.as_deref().map_or(SqlOperation::Query, operation_of);
        let pending = self.flight.open(operation, statement, opened, at.time, signals);
        if self.skipping {
            return self.skip(Awaited::Execute(pending), at, signals);
        }
        if let Some(text) = text {
            self.names.apply(&text);
        }
        self.flight.push(Awaited::Execute(pending));
    }

    fn ask_close(&mut self, message: &Message<'_>) {
        if !self.skipping {
            let known = match message.body.split_first() {
                Some((&kind, mut name)) => read_text(&mut name).map(|name| (kind, name)),
                None => None,
            };
            match known {
                Some((b'S', name)) => self.names.forget_statement(name),
                Some((_, name)) => self.names.forget_portal(name),
                None => self.names.forget_all(),
            }
        }
        self.expect(Awaited::Close);
    }

    fn ask_sync(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.end_group(true, at, signals);
        self.skipping = false;
        self.failed = None;
        self.flight.push(Awaited::Sync);
    }

    /// Sync or Flush after messages without an Execute: they were a preparation. A bound portal may still be executed
    /// after a Flush.
    fn end_group(&mut self, sync: bool, at: Stamp, signals: &mut Vec<Signal>) {
        let Some(group) = self.group.take_if(|group| sync || !group.bound) else { return };
        let pending = self.flight.open(SqlOperation::Prepare, group.statement, group.opened, at.time, signals);
        if self.skipping {
            return self.skip(Awaited::Prepared(pending), at, signals);
        }
        self.flight.push(Awaited::Prepared(pending));
        self.flight.settle(signals);
    }

    fn open_group(&mut self, began: Stamp) -> &mut Group {
        self.group.get_or_insert_with(|| Group { opened: began, ..Group::default() })
    }

    fn expect(&mut self, awaited: Awaited) {
        if !self.skipping {
            self.flight.push(awaited);
        }
    }

    /// The server skips this message. If it is the one the error was about, it has its answer.
    fn skip(&mut self, awaited: Awaited, at: Stamp, signals: &mut Vec<Signal>) {
        let mut only = awaited;
        let Some(pending) = only.pending() else { return };
        let ending = match self.failed.take() {
            Some(error) => {
                pending.error = Some(error);
                Ending::Complete
            }
            None => Ending::Aborted { by: Some(Side::Server) },
        };
        self.flight.finish_single(only, ending, at, signals);
    }
}

/// COPY is known by its text; one in the midst of others by the server's answer.
fn operation_of(text: &str) -> SqlOperation {
    match text.trim_start().split_at_checked(5) {
        Some((word, _)) if word.trim_end().eq_ignore_ascii_case("COPY") => SqlOperation::Copy,
        _ => SqlOperation::Query,
    }
}
