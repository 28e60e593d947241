//! Decoded documents, as they would lie in Elasticsearch.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Documents in the order in which the decoder wrote them.
#[derive(Clone, Debug, Default)]
pub struct Documents(Vec<Value>);

impl Documents {
    /// Reads a file with one JSON document per line; no file means no documents.
    ///
    /// # Errors
    /// If a line is not JSON.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.is_empty());
        let parse = |line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"));
        Ok(Self(lines.map(parse).collect::<Result<_>>()?))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All but the first `count`.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Self {
        self.0.drain(..count.min(self.0.len()));
        self
    }

    /// Those of one process.
    #[must_use]
    pub fn of_process(&self, pid: u32) -> Self {
        self.0.iter().filter(|document| number(document, "process.pid") == Some(pid.into())).cloned().collect()
    }

    /// Requests the target answered.
    pub fn requests(&self) -> impl Iterator<Item = &Value> {
        self.transactions().filter(|document| text(document, "transaction.type") == "request")
    }

    /// All transactions, those that stand for a call without a parent among them.
    pub fn transactions(&self) -> impl Iterator<Item = &Value> {
        self.of_kind(Kind::Transaction)
    }

    /// Calls the target made.
    pub fn spans(&self) -> impl Iterator<Item = &Value> {
        self.of_kind(Kind::Span)
    }

    /// Errors.
    pub fn errors(&self) -> impl Iterator<Item = &Value> {
        self.of_kind(Kind::Error)
    }

    /// Sets of metrics.
    pub fn metrics(&self) -> impl Iterator<Item = &Value> {
        self.of_kind(Kind::Metrics)
    }

    /// Records of logs.
    pub fn logs(&self) -> impl Iterator<Item = &Value> {
        self.of_kind(Kind::Log)
    }

    /// The one request for this path.
    ///
    /// # Errors
    /// If there is none or more than one.
    pub fn request(&self, path: &str) -> Result<&Value> {
        let mut found = self.requests().filter(|document| text(document, "url.path") == path);
        let first = found.next().with_context(|| format!("no transaction for {path}, only: {}", self.summary()))?;
        anyhow::ensure!(found.next().is_none(), "more than one transaction for {path}: {}", self.summary());
        Ok(first)
    }

    /// The transaction a span or an error hangs on.
    pub fn transaction_of(&self, document: &Value) -> Option<&Value> {
        let id = text(document, "transaction.id");
        let trace = text(document, "trace.id");
        self.transactions().find(|other| text(other, "transaction.id") == id && text(other, "trace.id") == trace)
    }

    /// Spans that hang on a transaction.
    pub fn spans_of<'a>(&'a self, transaction: &'a Value) -> impl Iterator<Item = &'a Value> {
        let (id, trace) = (text(transaction, "transaction.id"), text(transaction, "trace.id"));
        self.spans().filter(move |span| text(span, "transaction.id") == id && text(span, "trace.id") == trace)
    }

    /// One line per document, for messages.
    pub fn summary(&self) -> String {
        let line = |document: &Value| {
            let kind = Kind::of(document);
            let name = [text(document, "transaction.name"), text(document, "span.name")].concat();
            format!("{kind:?} `{name}` {} {}", text(document, "url.path"), text(document, "event.outcome"))
        };
        self.0.iter().take(60).map(line).collect::<Vec<_>>().join("\n")
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |document| Kind::of(document) == kind)
    }
}

/// What a document is. The decoder does not say; in Elasticsearch the data stream and the fields that are there do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Transaction,
    Span,
    Error,
    Metrics,
    Log,
    Other,
}

impl Kind {
    fn of(document: &Value) -> Self {
        let has = |path: &str| field(document, path).is_some();
        // An error has its transaction's type too, and a transaction its own id as that of a span: order matters.
        if has("metricset.samples") || has("metricset.name") {
            Self::Metrics
        } else if has("error.id") {
            Self::Error
        } else if has("span.name") {
            Self::Span
        } else if has("transaction.type") {
            Self::Transaction
        } else if has("log.level") {
            Self::Log
        } else {
            Self::Other
        }
    }
}

/// Value at a dotted path, such as `http.response.status_code`.
pub fn field<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, name| value.get(name))
}

/// Text at a dotted path; empty when there is none.
pub fn text<'a>(document: &'a Value, path: &str) -> &'a str {
    field(document, path).and_then(Value::as_str).unwrap_or_default()
}

/// Number at a dotted path.
pub fn number(document: &Value, path: &str) -> Option<u64> {
    let value = field(document, path)?;
    value.as_u64().or_else(|| value.as_f64().map(|number| number as u64))
}

impl FromIterator<Value> for Documents {
    fn from_iter<I: IntoIterator<Item = Value>>(documents: I) -> Self {
        Self(documents.into_iter().collect())
    }
}

impl Extend<Value> for Documents {
    fn extend<I: IntoIterator<Item = Value>>(&mut self, documents: I) {
        self.0.extend(documents);
    }
}

impl IntoIterator for Documents {
    type Item = Value;
    type IntoIter = std::vec::IntoIter<Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
