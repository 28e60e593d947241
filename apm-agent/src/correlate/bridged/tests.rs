//! Statements of a driver that announces its commands.

use std::sync::Arc;

use super::*;
use crate::{
    bridge::Context,
    build::{sample, span},
    correlate::TraceId,
    exchange::Ending,
};

const SESSION: u64 = 100;

/// A process with one session.
struct Process {
    bridged: Bridged,
    serial: u64,
    time: Nanos,
}

impl Process {
    fn new() -> Self {
        Self { bridged: Bridged::new(Arc::default()), serial: 0, time: 0 }
    }

    /// The program runs a command, below `parent`.
    fn announce(&mut self, tid: u32, parent: u64) {
        self.time += 1;
        let call = CallBegan {
            tid,
            within: Some(Context { trace: TraceId(1), span: SpanId(parent), parent: None, sampled: true }),
        };
        self.bridged.call_began(self.time, call);
    }

    /// A thread sends statements in one write. Gives back the parents of those that are known.
    fn send(&mut self, tid: u32, statements: &[&str]) -> Vec<Option<u64>> {
        self.time += 1;
        let first = self.serial;
        for serial in first..first + statements.len() as u64 {
            self.bridged.call_opened(
                RequestKey { connection: SESSION, serial },
                Ports { local: 0, remote: 0 },
                tid,
                self.time,
            );
        }
        self.serial += statements.len() as u64;
        let mut known = self.bridged.heard(self.time);
        for (serial, statement) in (first..).zip(statements) {
            let sql = sample::sql(statement);
            let exchange = sample::exchange(Ending::Complete, Payload::Sql(sample::sql(statement)));
            let parts = span::from_sql(&exchange, &sql, &Addresses::default());
            let called = Box::new(Called { exchange: Box::new(exchange), parts, carried: None });
            known.extend(self.bridged.call_done(RequestKey { connection: SESSION, serial }, called));
        }
        let parent = |known: &Known| match known {
            Known::Announced { call, .. } => call.within.map(|within| within.span.0),
            _ => None,
        };
        known.iter().map(|(_, known)| parent(known)).collect()
    }
}

#[test]
fn a_transaction_ends_where_its_commands_belong() {
    let mut process = Process::new();
    process.announce(7, 1);
    assert_eq!(process.send(7, &["BEGIN", "UPDATE items SET name = 'x'"]), [Some(1), Some(1)]);
    // Another request's thread: what was announced there is not this.
    process.announce(8, 2);
    assert_eq!(process.send(8, &["COMMIT"]), [Some(1)]);
}

#[test]
fn an_empty_transaction_belongs_to_nobody() {
    let mut process = Process::new();
    process.announce(7, 1);
    assert_eq!(process.send(7, &["SELECT 1"]), [Some(1)]);
    assert_eq!(process.send(8, &["BEGIN", "COMMIT"]), [None, None]);
}

#[test]
fn what_is_not_announced_is_the_driver_s() {
    let mut process = Process::new();
    assert_eq!(process.send(7, &["SELECT typname FROM pg_type"]), [], "not known yet");
    process.announce(7, 1);
    assert_eq!(process.send(7, &["SELECT 1"]), [Some(1)]);
    assert_eq!(process.send(7, &["SELECT 2"]), [None]);
}
