//! Turns an exchange into a transaction or a span: name, type, statement, destination, outcome.
//!
//! These are the values the rest of the pipeline hands on; `correlate` gives them their place in a trace and
//! `intake` writes them down in Elastic's words.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use std::borrow::Cow;

use crate::{
    bridge::{Frame, SpanKind, Thrown},
    correlate::{SpanId, TraceId},
    metric::Metricset,
};

pub mod activity;
pub mod compression;
pub mod destination;
pub mod failure;
pub mod grpc;
pub mod naming;
pub mod outcome;
pub mod route;
pub mod rules;
#[cfg(test)]
pub(crate) mod sample;
pub mod sanitize;
pub mod span;
pub mod sql;
pub mod transaction;
pub mod truncation;
pub mod url;
pub mod wildcard;

/// What leaves the pipeline, for one service instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A request the service answered, or a call with no certain parent.
    Transaction(Transaction),
    /// A call the service made.
    Span(Span),
    /// Something that went wrong.
    Error(ErrorEvent),
    /// What was measured of it.
    Metrics(Metricset),
    /// What it logged.
    Log(LogEvent),
}

/// Microseconds since 1970-01-01T00:00:00Z.
pub type EpochMicros = u64;

/// Success or failure, as Elastic counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It worked.
    Success,
    /// It did not.
    Failure,
    /// Nobody can tell.
    #[default]
    Unknown,
}

/// Place of an event in a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The trace.
    pub trace: TraceId,
    /// The event's own id.
    pub id: SpanId,
    /// The parent event, if there is one.
    pub parent: Option<SpanId>,
    /// Rate the trace was sampled with; `None`: started elsewhere and not known.
    pub sample_rate: Option<f64>,
}

/// A request handled by the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// Place in the trace.
    pub place: Place,
    /// For example `GET unknown route`.
    pub name: String,
    /// `request`, `graphql`, or `exit` for a call with no certain parent; `messaging` or `unknown` for others a run time
    /// told of.
    pub kind: &'static str,
    /// For example `HTTP 2xx`.
    pub result: Option<String>,
    /// Outcome.
    pub outcome: Outcome,
    /// Start.
    pub start: EpochMicros,
    /// Duration in nanoseconds.
    pub duration: u64,
    /// Spans sent for it.
    pub spans_started: u32,
    /// Spans dropped by limits.
    pub spans_dropped: u32,
    /// Statistics of dropped spans.
    pub dropped_spans: Vec<DroppedSpans>,
    /// Spans elsewhere it belongs with (the caller's, when the trace was restarted).
    pub links: Vec<(TraceId, SpanId)>,
    /// HTTP request and response.
    pub http: Option<HttpContext>,
    /// What OpenTelemetry says of it.
    pub otel: Option<Otel>,
}

/// What OpenTelemetry says of a span beside what Elastic has fields for (Elastic's OpenTelemetry bridge).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Otel {
    /// Span kind.
    pub kind: SpanKind,
    /// Attributes, each name once; at most 128.
    pub attributes: Vec<(String, String)>,
}

/// Statistics of spans that were dropped, by target and outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct DroppedSpans {
    /// Type of the spans (`db`, `external`): with the target it gives the resource.
    pub kind: &'static str,
    /// Target of the calls.
    pub target: ServiceTarget,
    /// Their outcome.
    pub outcome: Outcome,
    /// How many.
    pub count: u64,
    /// Sum of their durations, µs.
    pub sum_us: u64,
}

/// An HTTP request as the server saw it, already sanitised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpContext {
    /// Method.
    pub method: String,
    /// "1.0" or "1.1".
    pub version: String,
    /// URL parts.
    pub url: Url,
    /// Request headers; several of one name are kept in order.
    pub headers: Vec<(String, String)>,
    /// The request has a body that was not captured.
    pub body_redacted: bool,
    /// Peer address without port.
    pub remote_address: Option<String>,
    /// Status; `None`: none was sent or it is unknown.
    pub status: Option<u16>,
    /// Response headers.
    pub response_headers: Vec<(String, String)>,
}

/// URL of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    /// Whole URL.
    pub full: String,
    /// Request target as sent.
    pub raw: String,
    /// `http` or `https`.
    pub protocol: String,
    /// Host without port and brackets.
    pub hostname: String,
    /// Port, when it is known.
    pub port: Option<u16>,
    /// Path.
    pub pathname: String,
    /// Query without `?`.
    pub search: Option<String>,
}

/// A call to another service, or what the program itself calls a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Place in the trace.
    pub place: Place,
    /// The transaction it belongs to; `None`: it never became known.
    pub transaction: Option<SpanId>,
    /// For example `SELECT FROM products`.
    pub name: String,
    /// `db`, `external`, …
    pub kind: &'static str,
    /// `postgresql`, `http`, …; may be empty.
    pub subtype: Cow<'static, str>,
    /// `query`, `GET`, …; may be empty.
    pub action: String,
    /// Outcome.
    pub outcome: Outcome,
    /// Start.
    pub start: EpochMicros,
    /// Duration in nanoseconds.
    pub duration: u64,
    /// Where the call went.
    pub destination: Destination,
    /// Several like spans merged into this one.
    pub composite: Option<Composite>,
    /// Database call.
    pub db: Option<DbContext>,
    /// HTTP call.
    pub http: Option<HttpCall>,
    /// Message queue or topic.
    pub queue: Option<String>,
    /// What OpenTelemetry says of it.
    pub otel: Option<Otel>,
}

impl Span {
    /// A call that left the program, seen as such: something was called. What the OpenTelemetry bridge made is never one,
    /// as in Elastic's agents: it may have children, so it is neither merged nor dropped for being fast.
    pub fn is_exit(&self) -> bool {
        self.otel.is_none() && !self.destination.target.is_empty()
    }
}

/// Several spans reported as one (`exact_match` compression).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Composite {
    /// `exact_match` or `same_kind`.
    pub strategy: &'static str,
    /// Number of spans, at least 2.
    pub count: u32,
    /// Sum of durations, ns.
    pub sum: u64,
}

/// Where a call went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// Host name or address, without brackets.
    pub address: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Service called; empty for a span that calls none.
    pub target: ServiceTarget,
}

/// Type and name of the service called (`service.target`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceTarget {
    /// `postgresql`, `http`, …
    pub kind: String,
    /// Database, `host:port`, …
    pub name: Option<String>,
}

impl ServiceTarget {
    /// No service is called.
    pub fn is_empty(&self) -> bool {
        self.kind.is_empty() && self.name.is_none()
    }
}

/// A database call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DbContext {
    /// Database name.
    pub instance: Option<String>,
    /// Statement, at most 10,000 characters.
    pub statement: Option<String>,
    /// `sql`, or the product's name.
    pub kind: Cow<'static, str>,
    /// Session user.
    pub user: Option<String>,
    /// Rows, from the command tag.
    pub rows_affected: Option<u64>,
}

/// An outgoing HTTP call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpCall {
    /// Full URL without user info.
    pub url: String,
    /// Method.
    pub method: String,
    /// Status; `None`: none came or it is unknown.
    pub status: Option<u16>,
}

/// An error.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorEvent {
    /// 32 hexadecimal digits.
    pub id: TraceId,
    /// When.
    pub time: EpochMicros,
    /// Trace, transaction and parent, when it happened inside one.
    pub within: Option<ErrorPlace>,
    /// Where it happened, short.
    pub culprit: Option<String>,
    /// Class of the error. With no message too there is no exception, and [`ErrorEvent::log`] says all.
    pub kind: String,
    /// Message.
    pub message: String,
    /// Code (errno name, SQLSTATE).
    pub code: Option<String>,
    /// Package it comes from.
    pub module: Option<String>,
    /// The program dealt with it, as far as we know.
    pub handled: bool,
    /// Stack where it was raised, innermost frame first.
    pub frames: Vec<Frame>,
    /// The errors it came from.
    pub causes: Vec<Thrown>,
    /// The line of a log that told it.
    pub log: Option<ErrorLog>,
    /// The request it hit.
    pub http: Option<Box<HttpContext>>,
}

impl ErrorEvent {
    /// An error of which no more is known, for the rest to be filled in.
    pub fn new(id: TraceId, time: EpochMicros, within: Option<ErrorPlace>) -> Self {
        Self {
            id,
            time,
            within,
            culprit: None,
            kind: String::new(),
            message: String::new(),
            code: None,
            module: None,
            handled: true,
            frames: Vec::new(),
            causes: Vec::new(),
            log: None,
            http: None,
        }
    }
}

/// A line of a log that tells of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorLog {
    /// Text after formatting.
    pub message: String,
    /// Template before formatting: errors are grouped by it.
    pub param_message: Option<String>,
    /// Level in the log's own words.
    pub level: Option<String>,
    /// Logger, category.
    pub logger_name: Option<String>,
}

/// A record of the program's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// When.
    pub time: EpochMicros,
    /// Trace and span or transaction in which it was logged.
    pub within: Option<(TraceId, SpanId)>,
    /// Level in the log's own words.
    pub level: String,
    /// Logger, category.
    pub logger: String,
    /// Text after formatting.
    pub message: String,
    /// Exception logged with it.
    pub thrown: Option<Thrown>,
}

/// Where in a trace an error happened.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorPlace {
    /// Trace.
    pub trace: TraceId,
    /// Transaction; `None`: it is not known.
    pub transaction: Option<SpanId>,
    /// Span or transaction it happened in.
    pub parent: SpanId,
    /// Copied from the transaction.
    pub transaction_name: Option<String>,
    /// Copied from the transaction.
    pub transaction_type: Option<&'static str>,
    /// Copied from the transaction.
    pub sampled: bool,
}
