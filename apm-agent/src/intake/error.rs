//! `error`

use std::borrow::Cow;

use serde::Serialize;

use super::{Detail, field::Text, keyword};
use crate::{
    build::{ErrorEvent, ErrorPlace},
    correlate::{SpanId, TraceId},
};

/// Inside a trace all of `trace_id`, `transaction_id` and `parent_id` are there, outside none: the server refuses
/// anything between.
#[derive(Serialize)]
pub(super) struct ErrorFields<'a> {
    id: Text<TraceId>,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Text<TraceId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<Text<SpanId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<Text<SpanId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<TransactionCopy<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    culprit: Option<Cow<'a, str>>,
    exception: Exception<'a>,
}

#[derive(Serialize)]
struct TransactionCopy<'a> {
    sampled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

#[derive(Serialize)]
struct Exception<'a> {
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    kind: Cow<'a, str>,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'a, str>>,
    handled: bool,
}

pub(super) fn fields(error: &ErrorEvent, detail: Detail) -> ErrorFields<'_> {
    let within = error.within.as_ref();
    ErrorFields {
        id: Text(error.id),
        timestamp: error.time,
        trace_id: within.map(|place| Text(place.trace)),
        transaction_id: within.map(|place| Text(place.transaction)),
        parent_id: within.map(|place| Text(place.parent)),
        transaction: within.map(transaction),
        culprit: error.culprit.as_deref().map(keyword),
        exception: Exception {
            kind: keyword(&error.kind),
            message: message(error, detail),
            code: error.code.as_deref().map(keyword),
            handled: error.handled,
        },
    }
}

/// Without a type the server wants a message.
fn message(error: &ErrorEvent, detail: Detail) -> Cow<'_, str> {
    match error.message.is_empty() {
        true => Cow::Borrowed("[EMPTY]"),
        false => detail.long(&error.message),
    }
}

fn transaction(place: &ErrorPlace) -> TransactionCopy<'_> {
    TransactionCopy {
        sampled: place.sampled,
        name: place.transaction_name.as_deref().map(keyword),
        kind: place.transaction_type,
    }
}
