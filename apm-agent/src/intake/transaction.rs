//! `transaction`

use std::borrow::Cow;

use serde::Serialize;

use super::{
    Detail,
    field::{OtelFields, Text, milliseconds, outcome, rate},
    keyword,
    request::{self, Context},
};
use crate::{
    build::{DroppedSpans, Transaction, destination::resource, truncation::truncate},
    correlate::{SpanId, TraceId},
};

/// Limit of the target's parts in `dropped_spans_stats`.
const DROPPED_TARGET: usize = 512;

#[derive(Serialize)]
pub(super) struct TransactionFields<'a> {
    id: Text<SpanId>,
    trace_id: Text<TraceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<Text<SpanId>>,
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Cow<'a, str>>,
    outcome: &'static str,
    timestamp: u64,
    duration: f64,
    sampled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<f64>,
    span_count: SpanCount,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped_spans_stats: Vec<Dropped<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    otel: Option<OtelFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
}

#[derive(Serialize)]
struct SpanCount {
    started: u32,
    dropped: u32,
}

#[derive(Serialize)]
struct Link {
    trace_id: Text<TraceId>,
    span_id: Text<SpanId>,
}

#[derive(Serialize)]
struct Dropped<'a> {
    destination_service_resource: String,
    service_target_type: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_target_name: Option<Cow<'a, str>>,
    outcome: &'static str,
    duration: DroppedDuration,
}

/// Nested objects: dotted keys would be ignored in silence.
#[derive(Serialize)]
struct DroppedDuration {
    count: u64,
    sum: Sum,
}

#[derive(Serialize)]
struct Sum {
    us: u64,
}

pub(super) fn fields(transaction: &Transaction, detail: Detail) -> TransactionFields<'_> {
    let place = &transaction.place;
    let dropped: &[DroppedSpans] = if detail.is_short() { &[] } else { &transaction.dropped_spans };
    let link = |&(trace, span): &(TraceId, SpanId)| Link { trace_id: Text(trace), span_id: Text(span) };
    TransactionFields {
        id: Text(place.id),
        trace_id: Text(place.trace),
        parent_id: place.parent.map(Text),
        name: keyword(&transaction.name),
        kind: transaction.kind,
        result: transaction.result.as_deref().map(keyword),
        outcome: outcome(transaction.outcome),
        timestamp: transaction.start,
        duration: milliseconds(transaction.duration),
        sampled: true,
        sample_rate: rate(place.sample_rate),
        span_count: SpanCount { started: transaction.spans_started, dropped: transaction.spans_dropped },
        dropped_spans_stats: dropped.iter().map(dropped_fields).collect(),
        links: transaction.links.iter().map(link).collect(),
        otel: transaction.otel.as_ref().map(|otel| OtelFields::new(otel, detail)),
        context: transaction.http.as_ref().map(|http| request::context(http, detail)),
    }
}

fn dropped_fields(dropped: &DroppedSpans) -> Dropped<'_> {
    Dropped {
        destination_service_resource: keyword(&resource(dropped.kind, &dropped.target)).into_owned(),
        service_target_type: truncate(&dropped.target.kind, DROPPED_TARGET),
        service_target_name: dropped.target.name.as_deref().map(|name| truncate(name, DROPPED_TARGET)),
        outcome: outcome(dropped.outcome),
        duration: DroppedDuration { count: dropped.count.max(1), sum: Sum { us: dropped.sum_us } },
    }
}
