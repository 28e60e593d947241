//! Which call on the wire a span means that names our port of the connection it was made on.
//!
//! A library sends one call after the other on a connection and is answered in that order, so that spans of a connection
//! end in the order of its calls. A call is taken only if it began within its span, and if there are several, only if
//! their statements tell them apart. It may end later: a library tells of an error before the session is ready again.
//! That a statement was prepared for the call is part of it.

use super::Bridged;
use crate::{
    bridge::SpanEnded,
    correlate::RequestKey,
    exchange::{Nanos, Payload, SqlOperation},
};

/// Our port of the connection.
const PORT: &str = "network.local.port";

/// The statement, as a library was given it.
const STATEMENT: &str = "db.query.text";

/// Most calls of one port that wait for their spans.
const MOST: usize = 4096;

impl Bridged {
    /// A span may mean this call.
    pub(super) fn offer(&mut self, port: u16, key: RequestKey) {
        let (calls, offered) = (&self.calls, self.ports.entry(port).or_default());
        while offered.len() >= MOST || offered.front().is_some_and(|oldest| !calls.contains_key(oldest)) {
            offered.pop_front();
        }
        offered.push_back(key);
    }

    /// The call that a span which ended at `time` is. Where it could be one of several, none of them is told of: the
    /// span tells.
    pub(super) fn claim(&mut self, ended: &SpanEnded, time: Nanos) -> Option<RequestKey> {
        let port: u16 = ended.attribute(PORT)?.parse().ok()?;
        let within = time.saturating_sub(ended.duration)..=time;
        let fitting: Vec<RequestKey> = self
            .ports
            .get(&port)?
            .iter()
            .filter(|key| {
                let call = self.calls.get(key).filter(|call| call.span.is_none() && !call.doubted);
                call.is_some_and(|call| within.contains(&call.opened))
            })
            .copied()
            .collect();
        let wanted = ended.attribute(STATEMENT);
        let agreeing = |key: &&RequestKey| wanted.is_some_and(|wanted| self.agrees(**key, wanted) == Some(true));
        let (prepared, run): (Vec<_>, Vec<_>) =
            fitting.iter().filter(agreeing).copied().partition(|key| self.prepares(*key));
        let key = match (run.first().or(prepared.first()), fitting.as_slice()) {
            (Some(key), _) => *key,
            (None, [only]) if wanted.is_none_or(|wanted| self.agrees(*only, wanted).is_none()) => *only,
            _ => {
                for key in fitting {
                    if let Some(call) = self.calls.get_mut(&key) {
                        call.doubted = true;
                    }
                }
                return None;
            }
        };
        for key in prepared {
            if let Some(call) = self.calls.get_mut(&key) {
                call.doubted = true;
            }
        }
        let call = self.calls.get_mut(&key)?;
        (call.span, call.doubted) = (Some(ended.context.span), false);
        self.carriers.insert(ended.context.span, key);
        Some(key)
    }

    /// Forgets ports whose calls are all told of.
    pub(super) fn forget_ports(&mut self) {
        let calls = &self.calls;
        self.ports.retain(|_, offered| {
            while offered.front().is_some_and(|oldest| !calls.contains_key(oldest)) {
                offered.pop_front();
            }
            !offered.is_empty()
        });
    }

    /// The call prepares a statement and does not run it.
    fn prepares(&self, key: RequestKey) -> bool {
        let payload = self.calls.get(&key).and_then(|call| call.over.as_ref()).map(|over| &over.exchange.payload);
        matches!(payload, Some(Payload::Sql(sql)) if sql.operation == SqlOperation::Prepare)
    }

    /// The call's statement is `wanted`; `None`: it is not known, or not yet.
    fn agrees(&self, key: RequestKey, wanted: &str) -> Option<bool> {
        let Payload::Sql(sql) = &self.calls.get(&key)?.over.as_ref()?.exchange.payload else { return None };
        let (seen, wanted) = (sql.statement.as_deref()?.trim(), wanted.trim());
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
        exchange::{Ending, Http, Sql},
    };

    const OURS: u16 = 50_000;

    fn bridged() -> Bridged {
        let mut bridged = Bridged::new(Arc::default());
        bridged.detail = Detail { requests: true, statements: true, connections: true };
        bridged
    }

    fn key(serial: u64) -> RequestKey {
        RequestKey { connection: 9, serial }
    }

    fn open(bridged: &mut Bridged, serial: u64, time: Nanos) {
        bridged.call_opened(key(serial), OURS, 1, time);
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
        let alone = bridged.alone(Nanos::MAX);
        assert!(matches!(alone.calls.as_slice(), [(_, Known::Internal)]), "the preparation is not told twice");
        // It could not be prepared.
        open(&mut bridged, 2, 110);
        over(&mut bridged, 2, 120, Sql { operation: SqlOperation::Prepare, ..sample::sql("SELEKT") });
        assert_eq!(joined(bridged.span_ended(ended(8, 50, Some("SELEKT")), 130)), Some((120, 8)));
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
