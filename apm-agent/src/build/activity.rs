//! Spans a run time told of become transactions and spans, by the rules of Elastic's OpenTelemetry bridge: what has no
//! parent here is a transaction, the rest are spans; attributes decide the type and the service called. Conventions of
//! both ages are read (`http.url` and `url.full`, `db.statement` and `db.query.text`).
//!
//! Some sources of .NET, and all of Node.js, are instrumented by Elastic's agents themselves; spans of theirs become what
//! those send.

use std::borrow::Cow;

use super::{
    DbContext, Destination, EpochMicros, Otel, Outcome, Place, ServiceTarget, Span, Transaction,
    destination::{self, Called},
    naming,
    rules::Rules,
    sql,
    truncation::{LONG_FIELD, truncate},
    url,
};
use crate::{
    bridge::{SpanEnded, SpanKind, SpanStatus},
    correlate::SpanId,
};

mod attribute;
mod known;
mod node;
#[cfg(test)]
mod tests;

use attribute::Attributes;

/// Most attributes kept (OpenTelemetry's own limit).
const MAX_ATTRIBUTES: usize = 128;

/// Type of what no attribute says more of.
const UNKNOWN: &str = "unknown";

/// It begins here, or in another process: it is a transaction. Any other span is part of one.
pub fn is_transaction(ended: &SpanEnded) -> bool {
    ended.remote_parent || ended.context.parent.is_none()
}

/// The span says more of the call than the wire does, which sees HTTP.
pub fn is_more_than_http(ended: &SpanEnded) -> bool {
    node::is_more_than_http(ended)
}

/// The name that the run time's Elastic agent gives a call, where it is not the one that the wire's would have.
pub fn own_name(ended: &SpanEnded) -> Option<&str> {
    node::own_name(ended)
}

/// What the wire does not show of a statement on a connection older than the agent is as the run time says: the database,
/// its user, and the text of what was prepared before.
pub fn complete(span: &mut Span, ended: &SpanEnded) {
    let Some(db) = span.db.as_mut().filter(|db| db.kind == "sql") else { return };
    let attributes = Attributes(&ended.attributes);
    db.user = db.user.take().or_else(|| attributes.db_user().map(str::to_owned));
    if db.instance.is_none() {
        db.instance = attributes.db_instance(&span.subtype).map(str::to_owned);
        let called = Called::Database(db.instance.as_deref());
        span.destination.target = destination::service_target("db", &span.subtype, called);
    }
    if db.statement.is_none()
        && let Some(text) = attributes.statement()
    {
        db.statement = Some(truncate(text, LONG_FIELD).into_owned());
        span.name = Some(sql::signature(text)).filter(|name| !name.is_empty()).unwrap_or_else(|| name(ended));
    }
}

/// The span as a transaction. `sample_rate` is that of its trace.
pub fn transaction(ended: &SpanEnded, start: EpochMicros, sample_rate: Option<f64>, rules: &Rules) -> Transaction {
    let attributes = Attributes(&ended.attributes);
    let requested = || attributes.rpc_system().or(attributes.url()).or(attributes.scheme()).is_some();
    let kind = match ended.kind {
        SpanKind::Server if requested() => "request",
        SpanKind::Consumer if attributes.messaging_system().is_some() => "messaging",
        _ => UNKNOWN,
    };
    Transaction {
        place: place(ended, sample_rate),
        name: naming::group(name(ended), rules),
        kind,
        result: None,
        outcome: outcome(status(ended)),
        start,
        duration: ended.duration,
        spans_started: 0,
        spans_dropped: 0,
        dropped_spans: Vec::new(),
        links: Vec::new(),
        http: None,
        otel: (!node::is_known(ended)).then(|| otel(ended)),
    }
}

/// The span as a span of `transaction`; `None`: that never became known. `sample_rate` is that of its trace.
pub fn span(ended: &SpanEnded, start: EpochMicros, transaction: Option<SpanId>, sample_rate: Option<f64>) -> Span {
    let parts = known::describe(ended).or_else(|| node::describe(ended)).unwrap_or_else(|| bridged(ended));
    Span {
        place: place(ended, sample_rate),
        transaction,
        name: parts.name,
        kind: parts.kind,
        subtype: parts.subtype,
        action: parts.action,
        outcome: parts.outcome,
        start,
        duration: ended.duration,
        destination: parts.destination,
        composite: None,
        db: parts.db,
        http: parts.http,
        queue: parts.queue,
        otel: parts.otel,
    }
}

/// All of a span that its attributes decide; as in [`Span`].
#[derive(Default)]
struct Parts {
    name: String,
    kind: &'static str,
    subtype: Cow<'static, str>,
    action: String,
    outcome: Outcome,
    destination: Destination,
    db: Option<DbContext>,
    http: Option<super::HttpCall>,
    queue: Option<String>,
    otel: Option<Otel>,
}

/// A span of which Elastic's agent knows no more than OpenTelemetry says.
fn bridged(ended: &SpanEnded) -> Parts {
    let attributes = Attributes(&ended.attributes);
    let parts = if let Some(system) = attributes.db_system() {
        database(attributes, system)
    } else if let Some(system) = attributes.messaging_system() {
        let queue = attributes.messaging_destination();
        called("messaging", system.to_owned(), destination::service_target("", system, Called::Queue(queue)))
    } else if let Some(system) = attributes.rpc_system() {
        let peer = attributes.peer();
        let name = peer.as_deref().or(attributes.rpc_service());
        called("external", system.to_owned(), ServiceTarget { kind: system.to_owned(), name: name.map(str::to_owned) })
    } else if attributes.url().is_some() || attributes.scheme().is_some() {
        called("external", "http", ServiceTarget { kind: "http".into(), name: http_peer(attributes) })
    } else if ended.kind == SpanKind::Internal {
        called("app", "internal", ServiceTarget::default())
    } else {
        called(UNKNOWN, "", ServiceTarget::default())
    };
    let Destination { address, port, .. } = attributes.destination();
    let destination = Destination { address, port, ..parts.destination };
    Parts { name: name(ended), outcome: outcome(status(ended)), destination, otel: Some(otel(ended)), ..parts }
}

fn called(kind: &'static str, subtype: impl Into<Cow<'static, str>>, target: ServiceTarget) -> Parts {
    let destination = Destination { target, ..Destination::default() };
    Parts { kind, subtype: subtype.into(), destination, ..Parts::default() }
}

fn database(attributes: Attributes<'_>, system: &str) -> Parts {
    let subtype = attribute::db_subtype(system);
    let instance = attributes.db_instance(&subtype).map(str::to_owned);
    let target = destination::service_target("db", &subtype, Called::Database(instance.as_deref()));
    let statement = attributes.statement().map(|text| truncate(text, LONG_FIELD).into_owned());
    let user = attributes.db_user().map(str::to_owned);
    let kind = Cow::Owned(subtype.clone());
    let db = DbContext { instance, statement, kind, user, rows_affected: None };
    Parts { action: "query".to_owned(), db: Some(db), ..called("db", subtype, target) }
}

/// `host:port`: by the host and scheme where both are told, then the URL, then the peer.
fn http_peer(attributes: Attributes<'_>) -> Option<String> {
    match (attributes.http_host(), attributes.scheme(), attributes.url()) {
        (Some(host), Some(scheme), _) => Some(url::host_and_port(&format!("{scheme}://{host}"))),
        (_, _, Some(full)) if full.contains("://") => Some(url::host_and_port(full)),
        _ => attributes.peer(),
    }
}

fn name(ended: &SpanEnded) -> String {
    match ended.name.is_empty() {
        true => "unnamed".to_owned(),
        false => ended.name.clone(),
    }
}

fn place(ended: &SpanEnded, sample_rate: Option<f64>) -> Place {
    let context = &ended.context;
    Place { trace: context.trace, id: context.span, parent: context.parent, sample_rate }
}

/// Libraries older than the status write it into an attribute.
fn status(ended: &SpanEnded) -> SpanStatus {
    match (ended.status, Attributes(&ended.attributes).get(&["otel.status_code"])) {
        (SpanStatus::Unset, Some("OK")) => SpanStatus::Ok,
        (SpanStatus::Unset, Some("ERROR")) => SpanStatus::Error,
        (status, _) => status,
    }
}

/// Errors told elsewhere change nothing.
fn outcome(status: SpanStatus) -> Outcome {
    match status {
        SpanStatus::Unset => Outcome::Unknown,
        SpanStatus::Ok => Outcome::Success,
        SpanStatus::Error => Outcome::Failure,
    }
}

/// The first [`MAX_ATTRIBUTES`]; of several with one name the last counts.
fn otel(ended: &SpanEnded) -> Otel {
    let mut attributes: Vec<(String, String)> = Vec::new();
    for (name, value) in ended.attributes.iter().take(MAX_ATTRIBUTES) {
        match attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => attributes.push((name.clone(), value.clone())),
        }
    }
    Otel { kind: ended.kind, attributes }
}
