//! The console: each transaction as a small tree, when it is complete.
//!
//! Spans and errors come before their transaction; they wait for it, up to a bound. What comes after it, or waited in
//! vain, is printed as `late`. The text is written by a thread of its own, so that a terminal that stands still does
//! not hold up the pipeline; what it cannot take in time is dropped and counted.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, IsTerminal},
    sync::Arc,
};

use super::{Output, OutputError};
use crate::{
    build::{Document, EpochMicros, ErrorEvent, Span, Transaction},
    config::Color,
    correlate::{SpanId, TraceId},
    metadata::ServiceInstance,
};

mod style;
mod tree;
mod writer;

use style::Style;
use tree::Tree;
use writer::Writer;

/// Most spans and errors that wait for their transactions.
const MAX_WAITING: usize = 10_000;

/// Most transactions remembered so that what comes after them can say how late it is.
const MAX_PRINTED: usize = 1024;

type Id = (TraceId, SpanId);

/// What a transaction's tree holds beside itself.
#[derive(Clone, Debug, Default)]
struct Branches {
    spans: Vec<Span>,
    errors: Vec<ErrorEvent>,
}

/// Prints trees.
pub struct ConsoleOutput {
    tree: Tree,
    writer: Writer,
    /// Reads the terminal's width again at every tick.
    follows_width: bool,
    waiting: HashMap<Id, (Arc<ServiceInstance>, Branches)>,
    /// Keys of `waiting`, the oldest first; may hold keys that are gone.
    order: VecDeque<Id>,
    waiting_items: usize,
    printed: VecDeque<(Id, EpochMicros)>,
}

impl ConsoleOutput {
    /// Prints to standard output, coloured if that is asked for or it is a terminal.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn stdout(color: Color) -> Result<Self, OutputError> {
        let terminal = io::stdout().is_terminal();
        let colored = match color {
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
            Color::Always => true,
            Color::Never => false,
        };
        let tree = Tree { style: Style { colored }, width: width() };
        Ok(Self::new(tree, Writer::new(io::stdout())?, terminal))
    }

    fn new(tree: Tree, writer: Writer, follows_width: bool) -> Self {
        Self {
            tree,
            writer,
            follows_width,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            waiting_items: 0,
            printed: VecDeque::new(),
        }
    }

    fn print_transaction(&mut self, instance: &ServiceInstance, transaction: &Transaction) {
        let id = (transaction.place.trace, transaction.place.id);
        let branches = self.take(id).map(|(_, branches)| branches).unwrap_or_default();
        self.writer.write(self.tree.transaction(instance, transaction, branches));
        if self.printed.len() >= MAX_PRINTED {
            self.printed.pop_front();
        }
        self.printed.push_back((id, transaction.start));
    }

    fn take(&mut self, id: Id) -> Option<(Arc<ServiceInstance>, Branches)> {
        let (instance, branches) = self.waiting.remove(&id)?;
        self.waiting_items -= branches.spans.len() + branches.errors.len();
        Some((instance, branches))
    }

    /// Keeps a branch for its transaction, or prints it now when that has gone.
    fn keep(&mut self, instance: &Arc<ServiceInstance>, id: Id, add: impl FnOnce(&mut Branches)) {
        if let Some(&(_, start)) = self.printed.iter().rev().find(|(printed, _)| *printed == id) {
            let mut branches = Branches::default();
            add(&mut branches);
            self.writer.write(self.tree.late(instance, Some(start), branches));
            return;
        }
        let entry = self.waiting.entry(id).or_insert_with(|| {
            self.order.push_back(id);
            (Arc::clone(instance), Branches::default())
        });
        add(&mut entry.1);
        self.waiting_items += 1;
        while self.waiting_items > MAX_WAITING && self.give_up_oldest() {}
    }

    /// Prints what waits longest without its transaction. `false`: nothing waits.
    fn give_up_oldest(&mut self) -> bool {
        let Some(id) = self.order.pop_front() else { return false };
        if let Some((instance, branches)) = self.take(id) {
            self.writer.write(self.tree.late(&instance, None, branches));
        }
        true
    }
}

impl Output for ConsoleOutput {
    fn publish(&mut self, instance: &Arc<ServiceInstance>, document: &Document) {
        match document {
            Document::Transaction(transaction) => self.print_transaction(instance, transaction),
            Document::Span(span) => match span.transaction {
                Some(transaction) => {
                    let id = (span.place.trace, transaction);
                    self.keep(instance, id, |branches| branches.spans.push(span.clone()));
                }
                None => {
                    let branches = Branches { spans: vec![span.clone()], ..Branches::default() };
                    self.writer.write(self.tree.late(instance, None, branches));
                }
            },
            Document::Error(error) => match error.within.as_ref().map(|place| (place.trace, place.transaction)) {
                Some((trace, Some(transaction))) => {
                    self.keep(instance, (trace, transaction), |branches| branches.errors.push(error.clone()));
                }
                _ => self.writer.write(self.tree.lone_error(instance, error)),
            },
            // The tree shows what happened; what comes beside it would tear it apart.
            Document::Metrics(_) | Document::Log(_) => {}
        }
    }

    fn tick(&mut self) {
        if self.follows_width {
            self.tree.width = width();
        }
        // Keys of printed transactions pile up at the front only as long as an old one waits.
        while self.order.front().is_some_and(|id| !self.waiting.contains_key(id)) {
            self.order.pop_front();
        }
        if self.order.len() > 2 * MAX_WAITING {
            self.order.retain(|id| self.waiting.contains_key(id));
        }
    }

    fn finish(&mut self) {
        while self.give_up_oldest() {}
        self.writer.finish();
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("send.console.dropped", self.writer.dropped())]
    }
}

/// Columns of the terminal; a width for files where there is none.
fn width() -> usize {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col >= 40 => usize::from(size.ws_col),
        Ok(_) | Err(_) => 160,
    }
}

#[cfg(test)]
mod tests;
