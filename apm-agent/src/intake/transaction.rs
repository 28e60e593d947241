//! `transaction`

use std::borrow::Cow;

use serde::Serialize;

use super::{
    Detail,
    field::{OtelFields, Text, milliseconds, outcome, rate},
    headers::Headers,
    keyword,
};
use crate::{
    build::{
        DroppedSpans, HttpContext, Transaction, Url, destination::resource, sanitize::REDACTED, truncation::truncate,
    },
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

#[derive(Serialize)]
struct Context<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response<'a>>,
}

#[derive(Serialize)]
struct Request<'a> {
    method: Cow<'a, str>,
    url: UrlFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    http_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<Socket<'a>>,
}

#[derive(Serialize)]
struct Socket<'a> {
    remote_address: &'a str,
}

#[derive(Serialize)]
struct UrlFields<'a> {
    raw: Cow<'a, str>,
    full: Cow<'a, str>,
    protocol: Cow<'a, str>,
    hostname: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    pathname: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers<'a>>,
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
        context: transaction.http.as_ref().map(|http| context(http, detail)),
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

fn context(http: &HttpContext, detail: Detail) -> Context<'_> {
    let headers = |list| Some(list).filter(|_| detail.has_headers()).and_then(Headers::new);
    let request = Request {
        method: keyword(&http.method),
        url: url(&http.url),
        headers: headers(http.headers.as_slice()),
        http_version: &http.version,
        body: http.body_redacted.then_some(REDACTED),
        socket: http.remote_address.as_deref().map(|remote_address| Socket { remote_address }),
    };
    let response = Response { status_code: http.status, headers: headers(http.response_headers.as_slice()) };
    Context {
        // A request whose head was lost has no method, and the server takes none without.
        request: (!http.method.is_empty()).then_some(request),
        response: (response.status_code.is_some() || response.headers.is_some()).then_some(response),
    }
}

fn url(url: &Url) -> UrlFields<'_> {
    UrlFields {
        raw: keyword(&url.raw),
        full: keyword(&url.full),
        protocol: keyword(&url.protocol),
        hostname: keyword(&url.hostname),
        port: url.port,
        pathname: keyword(&url.pathname),
        search: url.search.as_deref().map(keyword),
    }
}
