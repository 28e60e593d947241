//! `span`

use std::borrow::Cow;

use serde::Serialize;

use super::{
    Detail,
    field::{OtelFields, Service, Target, Text, milliseconds, outcome, rate},
    keyword,
};
use crate::{
    build::{Composite, DbContext, Destination, HttpCall, Span, destination::resource},
    correlate::{SpanId, TraceId},
};

#[derive(Serialize)]
pub(super) struct SpanFields<'a> {
    id: Text<SpanId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<Text<SpanId>>,
    trace_id: Text<TraceId>,
    parent_id: Text<SpanId>,
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subtype: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    action: Cow<'a, str>,
    outcome: &'static str,
    timestamp: u64,
    duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    composite: Option<CompositeFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    otel: Option<OtelFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
}

#[derive(Serialize)]
struct CompositeFields {
    compression_strategy: &'static str,
    count: u32,
    sum: f64,
}

#[derive(Serialize)]
struct Context<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<DestinationFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Service<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    db: Option<Db<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    queue: Queue<'a>,
}

#[derive(Serialize)]
struct Queue<'a> {
    name: Cow<'a, str>,
}

#[derive(Serialize)]
struct DestinationFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<DestinationService>,
}

#[derive(Serialize)]
struct DestinationService {
    resource: String,
}

#[derive(Serialize)]
struct Db<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<Cow<'a, str>>,
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_affected: Option<u32>,
}

#[derive(Serialize)]
struct Http<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: Cow<'a, str>,
    /// Deprecated twin of `response.status_code`, which all of Elastic's agents still send.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response>,
}

#[derive(Serialize)]
struct Response {
    status_code: u16,
}

pub(super) fn fields(span: &Span, detail: Detail) -> SpanFields<'_> {
    let place = &span.place;
    SpanFields {
        id: Text(place.id),
        transaction_id: span.transaction.map(Text),
        trace_id: Text(place.trace),
        // The server takes no span without a parent; one with neither is never made.
        parent_id: Text(place.parent.or(span.transaction).unwrap_or(place.id)),
        name: keyword(&span.name),
        kind: span.kind,
        subtype: keyword(&span.subtype),
        action: keyword(&span.action),
        outcome: outcome(span.outcome),
        timestamp: span.start,
        duration: milliseconds(span.duration),
        sample_rate: rate(place.sample_rate),
        composite: span.composite.map(composite),
        otel: span.otel.as_ref().map(|otel| OtelFields::new(otel, detail)),
        context: context(span, detail),
    }
}

/// `None`: there is nothing in it, as in a span that calls no service.
fn context(span: &Span, detail: Detail) -> Option<Context<'_>> {
    let Destination { address, port, target } = &span.destination;
    let called = !target.is_empty();
    let service = called.then(|| DestinationService { resource: keyword(&resource(span.kind, target)).into_owned() });
    let destination = DestinationFields { address: address.as_deref().map(keyword), port: *port, service };
    let known = called || destination.address.is_some() || destination.port.is_some();
    let context = Context {
        destination: known.then_some(destination),
        service: called.then(|| Service { target: Target::new(target) }),
        db: span.db.as_ref().map(|db| database(db, detail)),
        http: span.http.as_ref().map(http),
        message: span.queue.as_deref().map(|name| Message { queue: Queue { name: keyword(name) } }),
    };
    (known || context.db.is_some() || context.http.is_some()).then_some(context)
}

fn composite(composite: Composite) -> CompositeFields {
    let Composite { strategy, count, sum } = composite;
    CompositeFields { compression_strategy: strategy, count, sum: milliseconds(sum) }
}

fn database(db: &DbContext, detail: Detail) -> Db<'_> {
    Db {
        instance: db.instance.as_deref().map(keyword),
        statement: db.statement.as_deref().map(|statement| detail.long(statement)),
        kind: keyword(&db.kind),
        user: db.user.as_deref().map(keyword),
        // The server keeps 32 bits.
        rows_affected: db.rows_affected.map(|rows| u32::try_from(rows).unwrap_or(u32::MAX)),
    }
}

fn http(call: &HttpCall) -> Http<'_> {
    Http {
        url: keyword(&call.url),
        method: keyword(&call.method),
        status_code: call.status,
        response: call.status.map(|status_code| Response { status_code }),
    }
}
