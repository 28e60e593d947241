//! Elastic's documents: the only place that names Elastic's fields.
//!
//! One line of JSON per document, as `POST /intake/v2/events` of APM Server takes it. Strings are cut to the server's
//! limits, for it refuses a whole event over one long string; what is unknown is left out, never `null`. Ids are
//! hexadecimal, times are integers of µs since 1970, durations are numbers of ms.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    build::{Document, truncation::truncate},
    metadata::ServiceInstance,
};

mod error;
mod field;
mod headers;
mod log;
mod metadata;
mod metricset;
mod request;
#[cfg(test)]
pub(crate) mod schema;
mod span;
mod transaction;

pub use metadata::Gates;

/// Longest line APM Server takes (its `max_event_size`), with the end of line.
pub const MAX_EVENT_BYTES: usize = 307_200;

/// Limit of an ordinary string, code points.
const KEYWORD: usize = 1024;

/// Name of this agent in `User-Agent` and its version in the metadata.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// A document does not fit into [`MAX_EVENT_BYTES`], whatever is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document is larger than the {MAX_EVENT_BYTES} bytes APM Server takes")]
pub struct TooLarge;

/// How much of a document is written: everything first, and less when the line gets too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Detail {
    Full,
    /// Without headers and arguments.
    NoHeaders,
    /// Long fields cut like ordinary ones too, and no statistics.
    Short,
}

impl Detail {
    const ALL: [Detail; 3] = [Detail::Full, Detail::NoHeaders, Detail::Short];

    fn has_headers(self) -> bool {
        self == Detail::Full
    }

    fn is_short(self) -> bool {
        self == Detail::Short
    }

    /// Cuts a long field.
    fn long(self, text: &str) -> Cow<'_, str> {
        truncate(text, if self.is_short() { KEYWORD } else { crate::build::truncation::LONG_FIELD })
    }
}

/// A line: its root key says what it is.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Metadata(metadata::Metadata<'a>),
    Transaction(transaction::TransactionFields<'a>),
    Span(span::SpanFields<'a>),
    Error(error::ErrorFields<'a>),
    Metricset(metricset::MetricsetFields<'a>),
    Log(log::LogFields<'a>),
}

/// Appends a document's line. When it does not fit, even shortened, `out` stays as it was.
pub fn write_document(document: &Document, out: &mut Vec<u8>) -> Result<(), TooLarge> {
    write_shrinking(out, |detail| match document {
        Document::Transaction(transaction) => Line::Transaction(transaction::fields(transaction, detail)),
        Document::Span(span) => Line::Span(span::fields(span, detail)),
        Document::Error(error) => Line::Error(error::fields(error, detail)),
        Document::Metrics(metrics) => Line::Metricset(metricset::fields(metrics)),
        Document::Log(log) => Line::Log(log::fields(log, detail)),
    })
}

/// Appends the metadata line every stream begins with. `gates` says what the server understands.
pub fn write_metadata(instance: &ServiceInstance, gates: Gates, out: &mut Vec<u8>) -> Result<(), TooLarge> {
    write_shrinking(out, |detail| Line::Metadata(metadata::fields(instance, gates, detail)))
}

fn write_shrinking<'a>(out: &mut Vec<u8>, line: impl Fn(Detail) -> Line<'a>) -> Result<(), TooLarge> {
    let start = out.len();
    for detail in Detail::ALL {
        // Writing plain structs into memory cannot fail; were it to, the line would be no better than one too long.
        let written = serde_json::to_writer(&mut *out, &line(detail)).is_ok();
        out.push(b'\n');
        if written && out.len() - start <= MAX_EVENT_BYTES {
            return Ok(());
        }
        out.truncate(start);
    }
    Err(TooLarge)
}

/// Cuts an ordinary string.
fn keyword(text: &str) -> Cow<'_, str> {
    truncate(text, KEYWORD)
}

#[cfg(test)]
mod tests;
