//! Which call on the wire a span means that names our port of the connection it was made on.
//!
//! A library sends one call after the other on a connection and is answered in that order, so that spans of a connection
//! end in the order of its calls. A call is taken only if it began within its span, and if there are several, only if
//! their statements tell them apart. It may end later: a library tells of an error before the session is ready again.
//! That a statement was prepared for the call is part of it.
//!
//! A library that does not know our port (node-redis) names the server's at best: then all connections there count, or
//! all there are, and like calls on several of them are told apart by nothing.

use std::collections::VecDeque;

use super::{Bridged, Ports};
use crate::{
    bridge::SpanEnded,
    correlate::RequestKey,
    exchange::{Nanos, Payload, SqlOperation},
};

/// Our port of the connection.
const PORT: &str = "network.local.port";

/// The server's port.
const SERVER_PORT: &str = "server.port";

/// The database's product.
const SYSTEM: &str = "db.system.name";

/// The statement, as a library was given it; the command, of which nothing more is told.
const STATEMENT: &str = "db.query.text";
const OPERATION: &str = "db.operation.name";

/// Most calls of one port that wait for their spans.
const MOST: usize = 4096;

impl Bridged {
    /// A span may mean this call.
    pub(super) fn offer(&mut self, ports: Ports, key: RequestKey) {
        let calls = &self.calls;
        for (by, port) in [(&mut self.ports, ports.local), (&mut self.servers, ports.remote)] {
            let offered = by.entry(port).or_default();
            while offered.len() >= MOST || offered.front().is_some_and(|oldest| !calls.contains_key(oldest)) {
                offered.pop_front();
            }
            offered.push_back(key);
        }
    }

    /// The call that a span which ended at `time` is. Where it could be one of several, none of them is told of: the
    /// span tells.
    pub(super) fn claim(&mut self, ended: &SpanEnded, time: Nanos) -> Option<RequestKey> {
        let named = ended.attribute(PORT).is_some();
        let within = time.saturating_sub(ended.duration)..=time;
        let (mut fitting, mut run, mut prepared) = (Vec::new(), Vec::new(), Vec::new());
        for key in self.offered(ended)? {
            let Some(call) = self.calls.get(&key).filter(|call| call.span.is_none() && !call.doubted) else { continue };
            let (agrees, prepares) = (self.agrees(key, ended), self.prepares(key));
            // A statement is prepared before it is run, by some libraries before the span of that begins.
            if agrees == Some(true) && prepares && call.opened <= time {
                prepared.push(key);
            } else if within.contains(&call.opened) {
                fitting.push((key, agrees));
                run.extend((agrees == Some(true)).then_some(key));
            }
        }
        let one_connection = |key: &&RequestKey| run.iter().all(|other| other.connection == key.connection);
        let key = match (run.first().or(prepared.last()).filter(one_connection), fitting.as_slice()) {
            (Some(key), _) => *key,
            (None, [(only, None)]) if named => *only,
            _ => {
                let unsure = if named { fitting.into_iter().map(|(key, _)| key).collect() } else { run };
                self.doubt_calls(&unsure);
                return None;
            }
        };
        self.doubt_calls(&prepared);
        let call = self.calls.get_mut(&key)?;
        (call.span, call.doubted) = (Some(ended.context.span), false);
        self.carriers.insert(ended.context.span, key);
        Some(key)
    }

    /// Calls on the connections that a span may mean, of each the oldest first.
    fn offered(&self, ended: &SpanEnded) -> Option<Vec<RequestKey>> {
        let offered: Vec<&VecDeque<RequestKey>> = match (ended.attribute(PORT), ended.attribute(SERVER_PORT)) {
            (Some(port), _) => self.ports.get(&port.parse().ok()?).into_iter().collect(),
            (None, _) if ended.attribute(OPERATION).is_none() => return None,
            (None, Some(port)) => self.servers.get(&port.parse().ok()?).into_iter().collect(),
            (None, None) => self.servers.values().collect(),
        };
        Some(offered.into_iter().flatten().copied().collect())
    }

    /// These are told of by spans, or are part of what is.
    fn doubt_calls(&mut self, keys: &[RequestKey]) {
        for key in keys {
            if let Some(call) = self.calls.get_mut(key) {
                call.doubted = true;
            }
        }
    }

    /// Forgets ports whose calls are all told of.
    pub(super) fn forget_ports(&mut self) {
        let calls = &self.calls;
        for by in [&mut self.ports, &mut self.servers] {
            by.retain(|_, offered| {
                while offered.front().is_some_and(|oldest| !calls.contains_key(oldest)) {
                    offered.pop_front();
                }
                !offered.is_empty()
            });
        }
    }

    /// The call prepares a statement and does not run it.
    fn prepares(&self, key: RequestKey) -> bool {
        let payload = self.calls.get(&key).and_then(|call| call.over.as_ref()).map(|over| &over.exchange.payload);
        matches!(payload, Some(Payload::Sql(sql)) if sql.operation == SqlOperation::Prepare)
    }

    /// The call's statement is that of the span; `None`: it is not known, or not yet.
    fn agrees(&self, key: RequestKey, ended: &SpanEnded) -> Option<bool> {
        let (seen, wanted) = match &self.calls.get(&key)?.over.as_ref()?.exchange.payload {
            Payload::Sql(sql) => (sql.statement.as_deref()?.trim(), ended.attribute(STATEMENT)?.trim()),
            Payload::Command(command) => {
                let same = ended.attribute(SYSTEM)? == command.system;
                return Some(same && ended.attribute(OPERATION)?.eq_ignore_ascii_case(&command.name));
            }
            Payload::Http(_) => return None,
        };
        // Either may have been cut.
        let shorter = seen.len().min(wanted.len());
        let cut = shorter > 0 && seen.as_bytes().get(..shorter) == wanted.as_bytes().get(..shorter);
        Some(seen == wanted || cut && shorter >= 1000)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        bridge::{Context, Detail, SpanKind, SpanStatus},
        build::{destination::Addresses, sample, span},
        correlate::{
            SpanId, TraceId,
            bridged::{Called, Known, Told},
        },
        exchange::{Command, Ending, Http, Sql},
    };

    const OURS: u16 = 50_000;
    const SERVER: u16 = 6379;

    fn bridged() -> Bridged {
        let mut bridged = Bridged::new(Arc::default());
        bridged.detail = Detail { requests: true, statements: true, connections: true };
        bridged
    }

    fn key(serial: u64) -> RequestKey {
        RequestKey { connection: 9, serial }
    }

    fn open(bridged: &mut Bridged, serial: u64, time: Nanos) {
        bridged.call_opened(key(serial), Ports { local: OURS, remote: SERVER }, 1, time);
    }

    fn close(bridged: &mut Bridged, serial: u64, time: Nanos, statement: &str) -> Option<Known> {
        over(bridged, serial, time, sample::sql(statement))
    }

    fn over(bridged: &mut Bridged, serial: u64, time: Nanos, sql: Sql) -> Option<Known> {
        let mut exchange = sample::exchange(Ending::Unfinished, Payload::Http(Http::default()));
        let parts = span::from_sql(&exchange, &sql, &Addresses::default());
        exchange.payload = Payload::Sql(sql);
        exchange.closed.time = time;
        let called = Called { exchange: Box::new(exchange), parts, carried: None };
        bridged.call_done(key(serial), Box::new(called)).map(|(_, known)| known)
    }

    fn ended(span: u64, duration: Nanos, statement: Option<&str>) -> Box<SpanEnded> {
        let port = Some((PORT.to_owned(), OURS.to_string()));
        let statement = statement.map(|text| (STATEMENT.to_owned(), text.to_owned()));
        Box::new(SpanEnded {
            source: "pg".into(),
            name: String::new(),
            context: Context { trace: TraceId(1), span: SpanId(span), parent: Some(SpanId(1)), sampled: true },
            remote_parent: false,
            duration,
            kind: SpanKind::Client,
            status: SpanStatus::Ok,
            attributes: port.into_iter().chain(statement).collect(),
        })
    }

    fn joined(told: Told) -> Option<(Nanos, u64)> {
        match told {
            Told::Call(called, span) => Some((called.exchange.closed.time, span.context.span.0)),
            _ => None,
        }
    }

    #[test]
    fn a_span_is_the_call_on_its_connection() {
        let mut bridged = bridged();
        open(&mut bridged, 0, 10);
        assert!(close(&mut bridged, 0, 20, "SELECT 1").is_none(), "it waits");
        assert_eq!(joined(bridged.span_ended(ended(7, 15, Some("SELECT 1")), 22)), Some((20, 7)));
        // Another call of the same connection, and a span that began after it.
        open(&mut bridged, 1, 30);
        close(&mut bridged, 1, 40, "SELECT 1");
        assert!(matches!(bridged.span_ended(ended(8, 5, Some("SELECT 1")), 45), Told::NoCall(_)));
        assert_eq!(joined(bridged.span_ended(ended(9, 20, None), 46)), Some((40, 9)));
    }

    #[test]
    fn calls_that_queue_are_told_apart_by_order_and_statement() {
        let mut bridged = bridged();
        for (serial, statement) in [(0, "SELECT 1"), (1, "SELECT 2"), (2, "SELECT 1")] {
            open(&mut bridged, serial, 10 + serial);
            close(&mut bridged, serial, 20 + 10 * serial, statement);
        }
        // All three were asked for at once, and their spans end together.
        assert_eq!(joined(bridged.span_ended(ended(1, 50, Some("SELECT 1")), 55)), Some((20, 1)));
        assert_eq!(joined(bridged.span_ended(ended(2, 50, Some("SELECT 2")), 55)), Some((30, 2)));
        assert_eq!(joined(bridged.span_ended(ended(3, 50, Some("SELECT 1")), 55)), Some((40, 3)));
        assert!(bridged.ports.values().all(|offered| offered.iter().all(|key| !bridged.calls.contains_key(key))));
    }

    #[test]
    fn a_statement_prepared_for_a_call_is_part_of_it() {
        let mut bridged = bridged();
        for (serial, operation) in [(0, SqlOperation::Prepare), (1, SqlOperation::Query)] {
            open(&mut bridged, serial, 10 + 10 * serial);
            let sql = Sql { operation, ..sample::sql("SELECT ?") };
            over(&mut bridged, serial, 15 + 10 * serial, sql);
        }
        assert_eq!(joined(bridged.span_ended(ended(7, 50, Some("SELECT ?")), 50)), Some((25, 7)));
        // Some libraries tell of the run alone.
        for (serial, operation) in [(3, SqlOperation::Prepare), (4, SqlOperation::Query)] {
            open(&mut bridged, serial, 60 + 10 * serial);
            over(&mut bridged, serial, 65 + 10 * serial, Sql { operation, ..sample::sql("SELECT 4") });
        }
        assert_eq!(joined(bridged.span_ended(ended(9, 10, Some("SELECT 4")), 106)), Some((105, 9)));
        // It could not be prepared.
        open(&mut bridged, 2, 110);
        over(&mut bridged, 2, 120, Sql { operation: SqlOperation::Prepare, ..sample::sql("SELEKT") });
        assert_eq!(joined(bridged.span_ended(ended(8, 50, Some("SELEKT")), 130)), Some((120, 8)));
        let alone = bridged.alone(Nanos::MAX);
        let internal = alone.calls.iter().all(|(_, known)| matches!(known, Known::Internal));
        assert!(internal && alone.calls.len() == 2, "preparations are not told twice");
    }

    /// A command of a library that does not know our port.
    fn commanded(span: u64, name: &str) -> Box<SpanEnded> {
        let attributes = [(SYSTEM, "redis".into()), (SERVER_PORT, SERVER.to_string()), (OPERATION, name.to_owned())];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Box::new(SpanEnded { attributes, ..*ended(span, 100, None) })
    }

    fn command_over(bridged: &mut Bridged, key: RequestKey, time: Nanos, name: &str) {
        bridged.call_opened(key, Ports { local: OURS, remote: SERVER }, 1, time - 5);
        let command = Command { system: "redis", name: name.into(), ..Command::default() };
        let mut exchange = sample::exchange(Ending::Unfinished, Payload::Http(Http::default()));
        let parts = span::from_command(&exchange, &command, &Addresses::default());
        exchange.payload = Payload::Command(command);
        exchange.closed.time = time;
        let called = Called { exchange: Box::new(exchange), parts, carried: None };
        assert!(bridged.call_done(key, Box::new(called)).is_none(), "it waits");
    }

    #[test]
    fn commands_are_joined_by_the_server_where_it_has_one_connection() {
        let mut bridged = bridged();
        for (serial, name) in [(0, "GET"), (1, "SET"), (2, "GET")] {
            command_over(&mut bridged, key(serial), 20 + serial, name);
        }
        assert_eq!(joined(bridged.span_ended(commanded(1, "GET"), 50)), Some((20, 1)));
        assert_eq!(joined(bridged.span_ended(commanded(2, "get"), 50)), Some((22, 2)));
        let mut nowhere = commanded(3, "SET");
        nowhere.attributes.retain(|(name, _)| name != SERVER_PORT);
        let mut memcached = nowhere.clone();
        memcached.attributes.retain(|(name, _)| name != SYSTEM);
        assert!(matches!(bridged.span_ended(memcached, 50), Told::NoCall(_)));
        assert_eq!(joined(bridged.span_ended(nowhere, 50)), Some((21, 3)));
        // Two connections: which is meant nobody knows, and the spans tell.
        for connection in [1, 2] {
            command_over(&mut bridged, RequestKey { connection, serial: 0 }, 120, "GET");
        }
        assert!(matches!(bridged.span_ended(commanded(4, "GET"), 150), Told::NoCall(_)));
        assert!(matches!(bridged.span_ended(commanded(5, "GET"), 150), Told::NoCall(_)));
        let alone = bridged.alone(Nanos::MAX);
        assert!(alone.calls.iter().all(|(_, known)| matches!(known, Known::Internal)) && alone.calls.len() == 2);
    }

    #[test]
    fn what_is_not_certain_is_told_once_and_by_the_span() {
        let mut bridged = bridged();
        for serial in 0..2 {
            open(&mut bridged, serial, 10);
            close(&mut bridged, serial, 20 + serial, "SELECT 1");
        }
        assert!(matches!(bridged.span_ended(ended(1, 50, None), 55), Told::NoCall(_)));
        let alone = bridged.alone(Nanos::MAX);
        assert!(alone.calls.iter().all(|(_, known)| matches!(known, Known::Internal)) && alone.calls.len() == 2);
    }

    #[test]
    fn what_no_span_means_comes_from_the_wire() {
        let mut bridged = bridged();
        open(&mut bridged, 0, 10);
        close(&mut bridged, 0, 20, "SELECT 1");
        let alone = bridged.alone(Nanos::MAX);
        assert!(matches!(alone.calls.as_slice(), [(_, Known::Nothing)]));
        assert!(bridged.ports.is_empty());
    }

    #[test]
    fn a_call_under_way_waits_for_its_end() {
        let mut bridged = bridged();
        open(&mut bridged, 0, 10);
        assert!(matches!(bridged.span_ended(ended(7, 50, Some("SELECT 1")), 55), Told::Waits));
        assert!(matches!(close(&mut bridged, 0, 56, "SELECT 1"), Some(Known::Span(_))));
    }
}
