//! What the script's records mean.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::{
    record::{Batch, Facts, Failure, Record, Request, Span},
    stack,
};
use crate::{
    bridge::{RequestEnded, RequestFacts, Route, Said, SpanEnded, SpanKind, SpanStatus, Threw, Thrown},
    exchange::Nanos,
};

/// Most threads of JavaScript whose records are counted.
const MOST_THREADS: usize = 4096;

/// Half of all numbers: what is further ahead lies behind.
const HALF: u32 = 1 << 31;

/// Turns the records of one process into messages.
#[derive(Debug, Default)]
pub struct Telling {
    /// Number of the next record of each thread.
    next: HashMap<u32, u32>,
    folder: PathBuf,
    /// Records that were lost or could not be read, since this was last set to 0.
    pub lost: u64,
}

impl Telling {
    /// Of a process that works in `folder`, from which files of its stacks are named; empty: not known.
    pub fn of(folder: PathBuf) -> Self {
        Self { folder, ..Self::default() }
    }

    /// What a batch says. Bytes that are none count as lost.
    pub fn told(&mut self, batch: &[u8], say: &mut dyn FnMut(Nanos, Said)) {
        let Some(batch) = Batch::read(batch) else {
            self.lost += 1;
            return;
        };
        let mut number = batch.first;
        // A script begins with 0; what it told before we came was not for us.
        if let Some(next) = self.next.get(&batch.thread).filter(|_| number != 0) {
            let missing = number.wrapping_sub(*next);
            self.lost += u64::from(if missing < HALF { missing } else { 0 });
        }
        for record in batch.records() {
            number = number.wrapping_add(1);
            match record {
                Some(record) => tell(&record, batch.thread, &self.folder, say),
                None => self.lost += 1,
            }
        }
        if self.next.len() >= MOST_THREADS && !self.next.contains_key(&batch.thread) {
            self.next.clear();
        }
        self.next.insert(batch.thread, number);
    }
}

fn tell(record: &Record<'_>, thread: u32, folder: &Path, say: &mut dyn FnMut(Nanos, Said)) {
    match record {
        Record::Request(request) => say(request.ended, Said::RequestEnded(Box::new(request_ended(request, thread)))),
        Record::Span(span) => say(span.ended, Said::SpanEnded(Box::new(span_ended(span)))),
        Record::Error(failure) => say(failure.time, Said::Threw(Box::new(threw(failure, folder)))),
        Record::Metrics { time, samples } => {
            let samples = samples.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            say(*time, Said::Metrics(samples));
        }
    }
}

fn request_ended(request: &Request<'_>, thread: u32) -> RequestEnded {
    RequestEnded {
        context: Some(request.context),
        remote_port: if request.facts.as_ref().is_some_and(is_hidden) { 0 } else { request.port },
        // Each thread counts its own connections.
        ordinal: request.ordinal.map(|(connection, number)| (format!("{thread}/{connection}"), number.into())),
        began: Some(request.began),
        route: some(request.route).map(if request.is_operation { Route::Operation } else { Route::Named }),
        exception: None,
        facts: request.facts.as_ref().map(|facts| Box::new(request_facts(facts))),
    }
}

/// What the wire does not show is not looked for there: a peer may have two connections from one port, to a server's port
/// for TLS and to its other.
fn is_hidden(facts: &Facts<'_>) -> bool {
    facts.scheme == "https" || facts.protocol.starts_with("HTTP/2")
}

fn request_facts(facts: &Facts<'_>) -> RequestFacts {
    RequestFacts {
        method: facts.method.to_owned(),
        target: facts.target.to_owned(),
        scheme: facts.scheme.to_owned(),
        protocol: facts.protocol.to_owned(),
        headers: facts.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        status: Some(facts.status).filter(|status| *status != 0),
        peer: some(facts.peer),
    }
}

fn span_ended(span: &Span<'_>) -> SpanEnded {
    SpanEnded {
        source: span.library.to_owned(),
        name: span.name.to_owned(),
        context: span.context,
        remote_parent: span.received && span.context.parent.is_some(),
        duration: span.ended.saturating_sub(span.began),
        kind: if span.received { SpanKind::Consumer } else { SpanKind::Client },
        status: if span.failed { SpanStatus::Error } else { SpanStatus::Ok },
        attributes: span.attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn threw(failure: &Failure<'_>, folder: &Path) -> Threw {
    let mut thrown = Thrown {
        kind: failure.kind.to_owned(),
        message: failure.message.to_owned(),
        code: some(failure.code),
        frames: stack::frames(failure.stack, failure.message),
        ..Thrown::default()
    };
    stack::describe(&mut thrown, folder);
    Threw { context: failure.context, thrown, handled: failure.handled }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
