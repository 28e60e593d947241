//! Small values that several documents share.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};

use super::{Detail, keyword};
use crate::{
    bridge::SpanKind,
    build::{
        Otel, Outcome, ServiceTarget,
        truncation::{LONG_FIELD, truncate},
    },
};

/// A value written as its text (ids).
pub(super) struct Text<T>(pub T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `service`: the service called.
#[derive(Serialize)]
pub(super) struct Service<'a> {
    pub target: Target<'a>,
}

/// `service.target`
#[derive(Serialize)]
pub(super) struct Target<'a> {
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
}

impl<'a> Target<'a> {
    pub fn new(target: &'a ServiceTarget) -> Self {
        Self { kind: keyword(&target.kind), name: target.name.as_deref().map(keyword) }
    }
}

/// `otel`: what OpenTelemetry says of a span.
#[derive(Serialize)]
pub(super) struct OtelFields<'a> {
    span_kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Attributes<'a>>,
}

impl<'a> OtelFields<'a> {
    /// Attributes go the way of headers when a line gets too long.
    pub fn new(otel: &'a Otel, detail: Detail) -> Self {
        let written = detail.has_headers() && !otel.attributes.is_empty();
        Self { span_kind: span_kind(otel.kind), attributes: written.then_some(Attributes(&otel.attributes)) }
    }
}

/// Names keep their dots: the server reads them as OpenTelemetry's.
struct Attributes<'a>(&'a [(String, String)]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (keyword(name), truncate(value, LONG_FIELD))))
    }
}

fn span_kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Internal => "INTERNAL",
        SpanKind::Server => "SERVER",
        SpanKind::Client => "CLIENT",
        SpanKind::Producer => "PRODUCER",
        SpanKind::Consumer => "CONSUMER",
    }
}

pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Unknown => "unknown",
    }
}

/// Milliseconds of nanoseconds.
pub(super) fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// Rates are sent only when they are rates.
pub(super) fn rate(rate: Option<f64>) -> Option<f64> {
    rate.filter(|rate| (0.0..=1.0).contains(rate))
}
