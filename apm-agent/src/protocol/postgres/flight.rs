//! What a session waits for: each message the server must answer, in order, and the exchanges under way.

use std::collections::VecDeque;

use crate::exchange::{Ending, Exchange, Nanos, Payload, Side, Signal, Sql, SqlError, SqlOperation, Stamp};
use crate::protocol::statement::Statement;

/// Most answers waited for; a session with more in flight is given up until it is idle.
const AWAITED: usize = 16_384;
/// Most bytes of statements in flight; a statement beyond is reported without its text.
const TEXT_BYTES: usize = 4 * 1024 * 1024;

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) serial: u64,
    pub(super) opened: Stamp,
    pub(super) request_end: Nanos,
    pub(super) operation: SqlOperation,
    pub(super) statement: Option<Statement>,
    pub(super) rows: Option<u64>,
    pub(super) tags: u32,
    pub(super) error: Option<SqlError>,
    /// The server takes COPY data.
    pub(super) takes_data: bool,
    /// The client has ended its COPY data.
    pub(super) data_ended: bool,
}

/// A message the server must answer.
#[derive(Debug)]
pub(super) enum Awaited {
    /// Start-up: authentication, then ReadyForQuery or an error.
    Connect(Box<Pending>),
    /// Simple query: up to ReadyForQuery.
    Query(Box<Pending>),
    /// Function call: up to ReadyForQuery.
    Function(Box<Pending>),
    /// ParseComplete, for a statement of this name.
    Parse(Box<[u8]>),
    /// BindComplete.
    Bind,
    /// Descriptions.
    Describe,
    /// Rows, then what ends them.
    Execute(Box<Pending>),
    /// CloseComplete.
    Close,
    /// ReadyForQuery.
    Sync,
    /// No answer of its own: a preparation, over when all before it is answered.
    Prepared(Box<Pending>),
}

impl Awaited {
    /// The exchange it belongs to.
    pub(super) fn pending(&mut self) -> Option<&mut Pending> {
        match self {
            Awaited::Connect(pending)
            | Awaited::Query(pending)
            | Awaited::Function(pending)
            | Awaited::Execute(pending)
            | Awaited::Prepared(pending) => Some(pending),
            _ => None,
        }
    }

    /// The exchange it belongs to, to look at.
    pub(super) fn exchange(&self) -> Option<&Pending> {
        match self {
            Awaited::Connect(pending)
            | Awaited::Query(pending)
            | Awaited::Function(pending)
            | Awaited::Execute(pending)
            | Awaited::Prepared(pending) => Some(pending),
            _ => None,
        }
    }

    pub(super) fn into_pending(self) -> Option<Box<Pending>> {
        match self {
            Awaited::Connect(pending)
            | Awaited::Query(pending)
            | Awaited::Function(pending)
            | Awaited::Execute(pending)
            | Awaited::Prepared(pending) => Some(pending),
            _ => None,
        }
    }

    /// Its answer ends with ReadyForQuery.
    pub(super) fn ends_ready(&self) -> bool {
        matches!(self, Awaited::Connect(_) | Awaited::Query(_) | Awaited::Function(_) | Awaited::Sync)
    }
}

/// Answers waited for, in order.
#[derive(Default)]
pub(super) struct Flight {
    queue: VecDeque<Awaited>,
    /// Questions whose answers cannot be told.
    pub(super) doubted: VecDeque<Pending>,
    text_bytes: usize,
    serial: u64,
    /// First byte of the answer that is coming in.
    pub(super) answering: Option<Nanos>,
    /// End of the last answered message.
    pub(super) answered: Stamp,
    user: Option<String>,
    database: Option<String>,
}

impl Flight {
    pub(super) fn set_session(&mut self, user: Option<String>, database: Option<String>) {
        self.user = user;
        self.database = database;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= AWAITED
    }

    pub(super) fn push(&mut self, awaited: Awaited) {
        self.queue.push_back(awaited);
    }

    pub(super) fn pop(&mut self) -> Option<Awaited> {
        self.queue.pop_front()
    }

    pub(super) fn front(&self) -> Option<&Awaited> {
        self.queue.front()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Awaited> {
        self.queue.front_mut()
    }

    /// Takes all that is awaited.
    pub(super) fn take_queue(&mut self) -> VecDeque<Awaited> {
        std::mem::take(&mut self.queue)
    }

    /// Puts back what was taken.
    pub(super) fn put_queue(&mut self, queue: VecDeque<Awaited>) {
        self.queue = queue;
    }

    /// How many ReadyForQuery are still to come.
    pub(super) fn readies(&self) -> usize {
        self.queue.iter().filter(|awaited| awaited.ends_ready()).count()
    }

    /// The first exchange takes COPY data whose end the client has not sent.
    pub(super) fn awaits_data(&self) -> bool {
        self.front().and_then(Awaited::exchange).is_some_and(|pending| pending.takes_data && !pending.data_ended)
    }

    /// The client ends its COPY data.
    pub(super) fn end_data(&mut self) {
        if let Some(pending) = self.queue.iter_mut().rev().find_map(Awaited::pending) {
            pending.data_ended = true;
        }
    }

    /// A COPY takes its data in: the server ignores a Sync that was sent between the Execute and the data.
    pub(super) fn drop_syncs_before_copy_data(&mut self) {
        let before = self.queue.iter().rposition(|awaited| !matches!(awaited, Awaited::Sync));
        if let Some(position) = before
            && matches!(self.queue.get(position), Some(Awaited::Execute(_)))
        {
            self.queue.truncate(position + 1);
        }
    }

    /// Begins an exchange.
    pub(super) fn open(
        &mut self,
        operation: SqlOperation,
        statement: Option<Statement>,
        opened: Stamp,
        request_end: Nanos,
        signals: &mut Vec<Signal>,
    ) -> Box<Pending> {
        let serial = self.serial;
        self.serial += 1;
        let statement = statement.filter(|statement| self.text_bytes + statement.text.len() <= TEXT_BYTES);
        self.text_bytes += statement.as_ref().map_or(0, |statement| statement.text.len());
        signals.push(Signal::Opened { serial, at: opened });
        let (rows, tags, error) = (None, 0, None);
        let (takes_data, data_ended) = (false, false);
        Box::new(Pending {
            serial,
            opened,
            request_end,
            operation,
            statement,
            rows,
            tags,
            error,
            takes_data,
            data_ended,
        })
    }

    /// Ends an exchange.
    pub(super) fn finish(&mut self, pending: Pending, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
        let (statement, statement_cut) = match pending.statement {
            Some(statement) => {
                self.text_bytes = self.text_bytes.saturating_sub(statement.text.len());
                (Some(statement.text.as_ref().to_owned()), statement.cut)
            }
            None => (None, false),
        };
        let payload = Payload::Sql(Sql {
            system: "postgresql",
            operation: pending.operation,
            statement,
            statement_cut,
            database: self.database.clone(),
            user: self.user.clone(),
            rows_affected: pending.rows,
            error: pending.error,
        });
        signals.push(Signal::Done(Box::new(Exchange {
            serial: pending.serial,
            opened: pending.opened,
            request_end: Some(pending.request_end),
            response_start: self.answering.take(),
            closed,
            ending,
            payload,
        })));
    }

    /// Ends the exchange of a message that is not in the queue, if it has one.
    pub(super) fn finish_single(&mut self, awaited: Awaited, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
        if let Some(pending) = awaited.into_pending() {
            self.finish(*pending, ending, closed, signals);
        }
    }

    /// Takes the first awaited message off and ends its exchange, if it has one.
    pub(super) fn finish_front(&mut self, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
        if let Some(pending) = self.queue.pop_front().and_then(Awaited::into_pending) {
            self.finish(*pending, ending, closed, signals);
        }
    }

    /// Ends preparations that have all their answers.
    pub(super) fn settle(&mut self, signals: &mut Vec<Signal>) {
        while matches!(self.queue.front(), Some(Awaited::Prepared(_))) {
            self.finish_front(Ending::Complete, self.answered, signals);
        }
    }

    /// Ends every exchange whose answer was awaited.
    pub(super) fn finish_all(&mut self, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
        while !self.queue.is_empty() {
            self.finish_front(ending, closed, signals);
        }
        self.answering = None;
    }

    /// The server skips what the client sent after an error, up to the next Sync: the first exchange in there had the
    /// error, the others were never run. Returns the error if no exchange took it, and whether a Sync was reached.
    pub(super) fn fail_segment(
        &mut self,
        error: SqlError,
        closed: Stamp,
        signals: &mut Vec<Signal>,
        mut failed_parse: impl FnMut(&[u8]),
    ) -> (Option<SqlError>, bool) {
        let mut error = Some(error);
        while let Some(awaited) = self.queue.pop_front_if(|awaited| !matches!(awaited, Awaited::Sync)) {
            if let Awaited::Parse(name) = &awaited {
                failed_parse(name);
            }
            let Some(mut pending) = awaited.into_pending() else { continue };
            let ending = match error.take() {
                Some(error) => {
                    pending.error = Some(error);
                    Ending::Complete
                }
                None => Ending::Aborted { by: Some(Side::Server) },
            };
            self.finish(*pending, ending, closed, signals);
        }
        self.answering = None;
        (error, !self.queue.is_empty())
    }
}
