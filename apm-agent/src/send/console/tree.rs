//! The text of a transaction with its spans and errors.

use std::iter;

use super::{
    Branches,
    style::{Style, harmless},
};
use crate::{
    bridge::{self, Thrown},
    build::{EpochMicros, ErrorEvent, Outcome, Span, Transaction, destination::resource, truncation::truncate},
    correlate::SpanId,
    metadata::ServiceInstance,
};

/// Cells of the bar that shows when a span ran.
const BAR: u64 = 20;

/// Columns before a statement.
const STATEMENT_INDENT: usize = 24;

/// Deepest nesting shown.
const MAX_DEPTH: usize = 8;

/// Most causes of an error shown.
const MAX_CAUSES: usize = 3;

/// Writes trees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    pub style: Style,
    /// Columns of the terminal.
    pub width: usize,
}

/// The time spans are shown against: start in µs, duration in ns.
#[derive(Clone, Copy)]
struct Frame {
    start: EpochMicros,
    duration: u64,
}

impl Tree {
    /// A transaction and what happened in it, spans in the order of their start.
    pub fn transaction(&self, instance: &ServiceInstance, transaction: &Transaction, branches: Branches) -> String {
        let mut text = self.head(instance, transaction);
        text.push('\n');
        let frame = Frame { start: transaction.start, duration: transaction.duration };
        self.branches(&mut text, branches, Some(frame), "");
        if transaction.spans_dropped > 0 {
            let dropped = format!("  and {} spans dropped by limits", transaction.spans_dropped);
            text.push_str(&self.style.dim(&dropped));
            text.push('\n');
        }
        text
    }

    /// Spans and errors without a tree to hang on. `start`: that of their transaction, when it is known.
    pub fn late(&self, instance: &ServiceInstance, start: Option<EpochMicros>, branches: Branches) -> String {
        let mut text = String::new();
        let label = format!("late {} ", harmless(&instance.name));
        self.branches(&mut text, branches, start.map(|start| Frame { start, duration: 0 }), &label);
        text
    }

    /// An error outside any transaction.
    pub fn lone_error(&self, instance: &ServiceInstance, error: &ErrorEvent) -> String {
        let service = self.style.bold(&harmless(&instance.name));
        format!("{}  {service}\n{}\n", self.style.dim(&clock(error.time)), self.error(error, ""))
    }

    fn head(&self, instance: &ServiceInstance, transaction: &Transaction) -> String {
        let style = self.style;
        let name = harmless(&transaction.name);
        let mut parts = vec![style.dim(&clock(transaction.start)), style.bold(&harmless(&instance.name))];
        match transaction.kind {
            "exit" => parts.push(style.cyan(&format!("↗ {name} (no certain parent)"))),
            _ => parts.push(style.bold(&name)),
        }
        let http = transaction.http.as_ref();
        let status = http.and_then(|http| http.status).map(|status| status.to_string());
        parts.extend(status.map(|status| style.outcome(transaction.outcome, &status)));
        parts.push(duration(transaction.duration));
        parts.push(style.outcome(transaction.outcome, word(transaction.outcome)));
        parts.extend(http.map(|http| style.dim(&harmless(&http.url.full))));
        parts.push(style.dim(&format!("trace {:.8}", transaction.place.trace.to_string())));
        parts.join("  ")
    }

    fn branches(&self, text: &mut String, mut branches: Branches, frame: Option<Frame>, label: &str) {
        branches.spans.sort_by_key(|span| (span.start, span.place.id.0));
        let parents: Vec<(SpanId, Option<SpanId>)> =
            branches.spans.iter().map(|span| (span.place.id, span.place.parent)).collect();
        for span in &branches.spans {
            let depth = depth(&parents, span.place.parent);
            text.push_str(&self.span(span, frame, depth, label));
            let of_span =
                |error: &&ErrorEvent| error.within.as_ref().is_some_and(|place| place.parent == span.place.id);
            for error in branches.errors.iter().filter(of_span) {
                text.push_str(&format!("{}\n", self.error(error, label)));
            }
        }
        let elsewhere = |error: &&ErrorEvent| {
            !error.within.as_ref().is_some_and(|place| parents.iter().any(|(id, _)| *id == place.parent))
        };
        for error in branches.errors.iter().filter(elsewhere) {
            text.push_str(&format!("{}\n", self.error(error, label)));
        }
    }

    fn span(&self, span: &Span, frame: Option<Frame>, depth: usize, label: &str) -> String {
        let style = self.style;
        let offset = match frame {
            Some(frame) => offset(span.start, frame.start),
            None => clock(span.start),
        };
        let bar = match frame.filter(|frame| frame.duration > 0) {
            Some(frame) => format!("{}  ", style.outcome(span.outcome, &bar(span, frame))),
            None => String::new(),
        };
        let times = span.composite.map_or_else(String::new, |composite| format!(" ×{}", composite.count));
        let name = format!("{}{}{times}", "  ".repeat(depth), harmless(&span.name));
        let outcome = match span.outcome {
            Outcome::Success => String::new(),
            other => format!("  {}", style.outcome(other, word(other))),
        };
        let length = duration(span.duration);
        let place = place(span).map_or_else(String::new, |place| format!("  {}", style.dim(&place)));
        let line = format!("  {label}{offset:>9}  {length:>8}  {bar}{name}{outcome}{place}\n");
        let statement = span.db.as_ref().and_then(|db| db.statement.as_deref()).and_then(first_line);
        line + &statement.map_or_else(String::new, |statement| self.statement(&statement))
    }

    fn statement(&self, statement: &str) -> String {
        let room = self.width.saturating_sub(STATEMENT_INDENT).max(1);
        format!("{}{}\n", " ".repeat(STATEMENT_INDENT), self.style.dim(&truncate(statement, room)))
    }

    fn error(&self, error: &ErrorEvent, label: &str) -> String {
        let handled = if error.handled { "" } else { " (unhandled)" };
        let logged = || error.log.as_ref().and_then(|log| first_line(&log.message));
        let message = first_line(&error.message).or_else(logged);
        let what = [Some(format!("{}{handled}", harmless(&error.kind))), message];
        let line = format!("  {label}✗ {}", sentence(what));
        let mut text = self.style.red(&truncate(&line, self.width.max(1)));
        let own = error.frames.iter().find(|frame| !frame.library).or(error.frames.first());
        for detail in own.map(at).into_iter().chain(nearest(&error.causes)) {
            let line = format!("    {label}{detail}");
            text.push_str(&format!("\n{}", self.style.dim(&truncate(&line, self.width.max(1)))));
        }
        text
    }
}

fn depth(parents: &[(SpanId, Option<SpanId>)], parent: Option<SpanId>) -> usize {
    let mut depth = 0;
    let mut next = parent;
    while let Some((_, above)) = next.and_then(|id| parents.iter().find(|(span, _)| *span == id)) {
        depth += 1;
        if depth == MAX_DEPTH {
            break;
        }
        next = *above;
    }
    depth
}

/// `at Shop.Orders.Place (/src/Orders.cs:7)`
fn at(frame: &bridge::Frame) -> String {
    let class = frame.class.as_ref().map_or_else(String::new, |class| format!("{}.", harmless(class)));
    let line = frame.line.map_or_else(String::new, |line| format!(":{line}"));
    let file = frame.file.as_ref().map_or_else(String::new, |file| format!(" ({}{line})", harmless(file)));
    format!("at {class}{}{file}", harmless(&frame.function))
}

/// The first causes, each the cause of the one before.
fn nearest(causes: &[Thrown]) -> impl Iterator<Item = String> {
    iter::successors(causes.first(), |cause| cause.causes.first())
        .take(MAX_CAUSES)
        .map(|cause| format!("caused by {}", sentence([Some(harmless(&cause.kind)), first_line(&cause.message)])))
}

/// What there is of a class and a message, a colon between.
fn sentence(parts: [Option<String>; 2]) -> String {
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// First line that holds something; spaces at its ends are gone.
fn first_line(text: &str) -> Option<String> {
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(harmless)
}

/// Where a call went, or what else the span is; `None`: that is not known.
fn place(span: &Span) -> Option<String> {
    let destination = &span.destination;
    if destination.target.is_empty() {
        return match span.subtype.is_empty() {
            true => (span.kind != "unknown").then(|| span.kind.to_owned()),
            false => Some(format!("{}/{}", span.kind, harmless(&span.subtype))),
        };
    }
    let service = harmless(&resource(span.kind, &destination.target));
    let address = match (&destination.address, destination.port) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{}]:{port}", harmless(address)),
        (Some(address), Some(port)) => format!("{}:{port}", harmless(address)),
        (Some(address), None) => harmless(address),
        (None, _) => String::new(),
    };
    Some(match address.is_empty() || address == service {
        true => format!("→ {service}"),
        false => format!("→ {service} at {address}"),
    })
}

fn bar(span: &Span, frame: Frame) -> String {
    let into = u128::from(span.start.saturating_sub(frame.start)) * 1000;
    let cell =
        |at: u128| u64::try_from(at * u128::from(BAR) / u128::from(frame.duration.max(1))).unwrap_or(BAR).min(BAR);
    let from = cell(into).min(BAR - 1);
    let to = cell(into + u128::from(span.duration)).max(from + 1);
    (0..BAR).map(|at| if (from..to).contains(&at) { '█' } else { '·' }).collect()
}

fn offset(start: EpochMicros, origin: EpochMicros) -> String {
    match start.checked_sub(origin) {
        Some(after) => format!("+{}", duration(after.saturating_mul(1000))),
        None => format!("-{}", duration((origin - start).saturating_mul(1000))),
    }
}

/// A duration of nanoseconds for people.
fn duration(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    match nanoseconds {
        0..1_000_000 => format!("{:.0} µs", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", value / 1e6),
        _ => format!("{:.2} s", value / 1e9),
    }
}

/// Time of day, UTC.
fn clock(micros: EpochMicros) -> String {
    let milliseconds = micros / 1000 % 86_400_000;
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    format!("{:02}:{:02}:{:02}.{milliseconds:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Unknown => "unknown",
    }
}
