//! Statements of databases that live in the process: by the word of the probes around the driver's calls. Each is a call on
//! a connection of its own making.

use std::sync::Arc;

use super::{Party, RequestKey, Tracer, hidden::connection};
use crate::{
    bridge::Thrown,
    build::destination::Addresses,
    correlate::{Mark, named::Name},
    event::Statement,
    exchange::{Ending, Exchange, Nanos, Payload, Sql, SqlError, Stamp},
    metadata::ServiceInstance,
};

/// Most of them under way at once; more are not reported, and counted.
const MOST: usize = 16_384;

/// Errors that are none of the database's: `context.Canceled`, `driver.ErrBadConn`. Elastic's agent reports neither.
const NO_ERRORS: [&str; 2] = ["context canceled", "driver: bad connection"];

/// A statement that a driver executes.
pub(super) struct Asking {
    instance: Arc<ServiceInstance>,
    opened: Stamp,
    sql: Sql,
}

impl Tracer {
    /// A goroutine of `pid` has a driver execute a statement.
    pub fn statement_began(
        &mut self,
        pid: u32,
        instance: &Arc<ServiceInstance>,
        statement: &Statement<'_>,
        time: Nanos,
    ) {
        let name = (pid, statement.goroutine);
        self.drop_statement(name);
        if self.statements.len() >= MOST {
            self.counters.calls_lost += 1;
            return;
        }
        // No thread is evidence of anything in Go.
        let mark = Mark { polled: true, owner: statement.request, ..Mark::default() };
        let opened = Stamp { time, mark: mark.pack() };
        self.call_opened(&party(name, instance, &Addresses::default()), 0, opened);
        let sql = Sql {
            system: statement.system,
            operation: statement.operation,
            statement: Some(String::from_utf8_lossy(statement.text).into_owned()),
            statement_cut: statement.is_cut,
            database: None,
            user: None,
            rows_affected: None,
            error: None,
        };
        self.statements.insert(name, Asking { instance: Arc::clone(instance), opened, sql });
    }

    /// The driver is back. `thrown`: the error it gave.
    pub fn statement_done(&mut self, name: Name, thrown: Option<&Thrown>, time: Nanos) {
        let Some(Asking { instance, opened, mut sql }) = self.statements.remove(&name) else { return };
        sql.error = thrown.filter(|thrown| !NO_ERRORS.contains(&thrown.message.as_str())).map(error);
        let exchange = Exchange {
            serial: 0,
            opened,
            request_end: None,
            response_start: None,
            closed: Stamp { time, ..opened },
            ending: if thrown.is_some() { Ending::Aborted { by: None } } else { Ending::Complete },
            payload: Payload::Sql(sql),
        };
        self.call_done(&party(name, &instance, &Addresses::default()), Box::new(exchange));
    }

    /// A process has ended, or nobody watches any more. `None`: all of them.
    pub(super) fn forget_statements(&mut self, pid: Option<u32>) {
        let gone = self.statements.keys().filter(|(other, _)| pid.is_none_or(|pid| pid == *other));
        for name in gone.copied().collect::<Vec<Name>>() {
            self.drop_statement(name);
        }
    }

    fn drop_statement(&mut self, name: Name) {
        if self.statements.remove(&name).is_some() {
            self.calls.remove(&RequestKey { connection: connection(name), serial: 0 });
            self.counters.unfinished += 1;
        }
    }
}

fn party<'a>(name: Name, instance: &'a Arc<ServiceInstance>, addresses: &'a Addresses) -> Party<'a> {
    Party::unseen(connection(name), name.0, instance, addresses)
}

/// What is not known of an error is said by its type.
fn error(thrown: &Thrown) -> SqlError {
    let message = if thrown.message.is_empty() { &thrown.kind } else { &thrown.message };
    SqlError { code: thrown.code.clone().unwrap_or_default(), message: message.clone(), severity: String::new() }
}
