//! Fewer spans with the same meaning: like neighbours merged into one, fast ones and those over the limit dropped with
//! their statistics kept (Elastic's agent specification: span compression, dropping fast exit spans, span limit).
//!
//! One [`SpanBuffer`] per transaction; its memory is one waiting span per parent and at most 128 statistics.

use std::{collections::HashMap, time::Duration};

use super::{Composite, DroppedSpans, Outcome, ServiceTarget, Span};
use crate::{config::Capture, correlate::SpanId};

/// Most statistics of dropped spans of one transaction.
const MAX_STATISTICS: usize = 128;

/// The settings, as they were when the transaction began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    compression: bool,
    exact_match: u64,
    same_kind: u64,
    min_duration: u64,
    max_spans: u32,
}

impl Limits {
    /// Takes the settings; durations become nanoseconds.
    pub fn new(capture: &Capture) -> Self {
        Self {
            compression: capture.compression,
            exact_match: nanoseconds(capture.compression_exact_match),
            same_kind: nanoseconds(capture.compression_same_kind),
            min_duration: nanoseconds(capture.exit_span_min_duration),
            max_spans: capture.max_spans,
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What became of a transaction's spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanStatistics {
    /// Spans reported; a merged one counts once.
    pub started: u32,
    /// Spans dropped by the limit or because they were fast.
    pub dropped: u32,
    /// The dropped ones by target and outcome.
    pub dropped_spans: Vec<DroppedSpans>,
}

/// The spans of one transaction on their way out, in the order in which they ended.
#[derive(Debug)]
pub struct SpanBuffer {
    limits: Limits,
    waiting: HashMap<Option<SpanId>, Span>,
    statistics: SpanStatistics,
}

impl SpanBuffer {
    /// For a transaction that begins.
    pub fn new(limits: Limits) -> Self {
        Self { limits, waiting: HashMap::new(), statistics: SpanStatistics::default() }
    }

    /// A span ended. Gives back what can be reported now. `propagated`: the call carried a trace context.
    pub fn push(&mut self, span: Span, propagated: bool) -> Vec<Span> {
        let mut ready = Vec::new();
        let held = self.statistics.started as usize + self.waiting.len();
        if held >= self.limits.max_spans as usize {
            self.drop_span(&span);
            return ready;
        }
        let parent = span.place.parent;
        if !self.limits.compression || !span.is_exit() || propagated || span.outcome != Outcome::Success {
            self.flush(parent, &mut ready);
            self.report(span, propagated, &mut ready);
        } else if !self.merge(&span) {
            self.flush(parent, &mut ready);
            self.waiting.insert(parent, span);
        }
        ready
    }

    /// The transaction ended: the spans still waiting, and the numbers for it. Spans that end later are reported as
    /// they are and counted nowhere.
    pub fn end(mut self) -> (Vec<Span>, SpanStatistics) {
        let mut ready = Vec::new();
        let mut waiting: Vec<Span> = self.waiting.drain().map(|(_, span)| span).collect();
        waiting.sort_by_key(|span| (span.start, span.place.id.0));
        for span in waiting {
            self.report(span, false, &mut ready);
        }
        (ready, self.statistics)
    }

    fn flush(&mut self, parent: Option<SpanId>, ready: &mut Vec<Span>) {
        if let Some(span) = self.waiting.remove(&parent) {
            self.report(span, false, ready);
        }
    }

    fn report(&mut self, span: Span, propagated: bool, ready: &mut Vec<Span>) {
        let discardable = span.is_exit() && !propagated && span.outcome == Outcome::Success;
        if discardable && span.duration < self.limits.min_duration {
            self.drop_span(&span);
        } else {
            self.statistics.started += 1;
            ready.push(span);
        }
    }

    fn drop_span(&mut self, span: &Span) {
        self.statistics.dropped += 1;
        if span.destination.target.is_empty() {
            return;
        }
        let (count, nanoseconds) = match span.composite {
            Some(composite) => (u64::from(composite.count), composite.sum),
            None => (1, span.duration),
        };
        let list = &mut self.statistics.dropped_spans;
        let like = |entry: &&mut DroppedSpans| {
            entry.kind == span.kind && entry.target == span.destination.target && entry.outcome == span.outcome
        };
        if let Some(entry) = list.iter_mut().find(like) {
            entry.count += count;
            entry.sum_us += nanoseconds / 1000;
        } else if list.len() < MAX_STATISTICS {
            let (target, outcome) = (span.destination.target.clone(), span.outcome);
            list.push(DroppedSpans { kind: span.kind, target, outcome, count, sum_us: nanoseconds / 1000 });
        }
    }

    /// Merges `span` into the span that waits under the same parent, if the rules allow.
    fn merge(&mut self, span: &Span) -> bool {
        let limits = self.limits;
        let Some(waiting) = self.waiting.get_mut(&span.place.parent) else { return false };
        let Some(strategy) = strategy(waiting, span, limits) else { return false };
        let merged = waiting.composite.unwrap_or(Composite { strategy, count: 1, sum: waiting.duration });
        if waiting.composite.is_none() && strategy == SAME_KIND {
            waiting.name = calls_to(&waiting.destination.target);
        }
        waiting.composite = Some(Composite { count: merged.count + 1, sum: merged.sum + span.duration, ..merged });
        waiting.duration = end(waiting).max(end(span)).saturating_sub(waiting.start.saturating_mul(1000));
        true
    }
}

const EXACT_MATCH: &str = "exact_match";
const SAME_KIND: &str = "same_kind";

/// How `span` may be merged into `waiting`; `None`: not at all.
fn strategy(waiting: &Span, span: &Span, limits: Limits) -> Option<&'static str> {
    let same_kind = (waiting.kind, &waiting.subtype) == (span.kind, &span.subtype)
        && waiting.destination.target == span.destination.target;
    if !same_kind {
        return None;
    }
    let same_name = waiting.name == span.name;
    let (strategy, own_duration) = match waiting.composite {
        Some(composite) => (composite.strategy, 0),
        None if same_name => (EXACT_MATCH, waiting.duration),
        None => (SAME_KIND, waiting.duration),
    };
    let limit = if strategy == EXACT_MATCH { limits.exact_match } else { limits.same_kind };
    let fits = own_duration <= limit && span.duration <= limit && (same_name || strategy == SAME_KIND);
    fits.then_some(strategy)
}

fn calls_to(target: &ServiceTarget) -> String {
    match (target.kind.as_str(), target.name.as_deref()) {
        ("", None) => "Calls to unknown".to_owned(),
        ("", Some(name)) => format!("Calls to {name}"),
        (kind, None) => format!("Calls to {kind}"),
        (kind, Some(name)) => format!("Calls to {kind}/{name}"),
    }
}

/// End in nanoseconds since the epoch.
fn end(span: &Span) -> u64 {
    span.start.saturating_mul(1000).saturating_add(span.duration)
}

#[cfg(test)]
mod tests;
