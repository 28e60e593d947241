//! Spans that wait for the transaction they belong to.
//!
//! A run time tells of a span when it ends, children before parents. A span is kept below the outermost ancestor known
//! so far; when that one turns out to be a transaction, all below it go with it.

use std::collections::HashMap;

use crate::{
    build::{ErrorEvent, Span},
    correlate::SpanId,
    exchange::Nanos,
};

/// Most spans that wait, for one process.
pub(super) const MOST_HELD: usize = 65_536;

/// How long ended spans and transactions are remembered for children that come late.
const REMEMBERED: Nanos = 60_000_000_000;

/// Deepest nesting that is followed.
const DEEPEST: usize = 256;

/// A span that waits.
#[derive(Debug)]
pub struct Held {
    /// The span; its transaction is not known yet.
    pub span: Span,
    /// It carried a trace context to another service.
    pub propagated: bool,
    /// The error it ended with.
    pub error: Option<ErrorEvent>,
}

/// A transaction that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its id.
    pub id: SpanId,
    /// It is reported, and so are its children.
    pub reported: bool,
}

/// What became of a span.
#[derive(Debug)]
pub enum Put {
    /// It waits.
    Kept,
    /// Its transaction ended before: it goes out by itself.
    Late(Box<Held>, Root),
    /// Too many wait already.
    Full(Box<Held>),
}

/// Spans of one process, by the ancestor they wait for.
#[derive(Debug, Default)]
pub struct Tree {
    waiting: HashMap<SpanId, Vec<Held>>,
    above: HashMap<SpanId, (SpanId, Nanos)>,
    ended: HashMap<SpanId, (Root, Nanos)>,
    held: usize,
}

impl Tree {
    /// A span with a parent.
    pub fn put(&mut self, parent: SpanId, held: Held) -> Put {
        let ancestor = self.outermost(parent);
        if let Some((root, _)) = self.ended.get(&ancestor) {
            return Put::Late(Box::new(held), *root);
        }
        if self.held >= MOST_HELD {
            return Put::Full(Box::new(held));
        }
        self.held += 1;
        self.waiting.entry(ancestor).or_default().push(held);
        Put::Kept
    }

    /// A span that is no transaction ended: what waits for it waits for its parent now. Gives back what need not wait.
    pub fn below(&mut self, span: SpanId, parent: SpanId, time: Nanos) -> Vec<(Held, Root)> {
        self.above.insert(span, (parent, time));
        let Some(children) = self.waiting.remove(&span) else {
            return Vec::new();
        };
        let ancestor = self.outermost(parent);
        if let Some((root, _)) = self.ended.get(&ancestor) {
            self.held -= children.len();
            return children.into_iter().map(|held| (held, *root)).collect();
        }
        self.waiting.entry(ancestor).or_default().extend(children);
        Vec::new()
    }

    /// Everything below a transaction, in the order in which it came.
    pub fn take(&mut self, root: SpanId) -> Vec<Held> {
        let children = self.waiting.remove(&root).unwrap_or_default();
        self.held -= children.len();
        children
    }

    /// A transaction ended: what comes later below it need not wait.
    pub fn close(&mut self, root: Root, time: Nanos) {
        self.ended.insert(root.id, (root, time));
    }

    /// Everything that waits: nobody will say more.
    pub fn drain(&mut self) -> Vec<Held> {
        self.held = 0;
        let mut all: Vec<Held> = std::mem::take(&mut self.waiting).into_values().flatten().collect();
        all.sort_by_key(|held| (held.span.start, held.span.place.id.0));
        all
    }

    /// Spans that wait.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Forgets what ended long before `time`.
    pub fn forget_before(&mut self, time: Nanos) {
        let before = time.saturating_sub(REMEMBERED);
        self.above.retain(|_, (_, ended)| *ended >= before);
        self.ended.retain(|_, (_, ended)| *ended >= before);
    }

    /// The transaction a span is in, if it has ended.
    pub fn root_of(&self, span: SpanId) -> Option<Root> {
        self.ended.get(&self.outermost(span)).map(|(root, _)| *root)
    }

    /// The outermost ancestor of a span that is known.
    pub fn outermost(&self, span: SpanId) -> SpanId {
        let mut current = span;
        for _ in 0..DEEPEST {
            match self.above.get(&current) {
                Some((parent, _)) => current = *parent,
                None => break,
            }
        }
        current
    }
}
