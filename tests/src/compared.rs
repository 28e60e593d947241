//! Documents of two agents side by side, as fields: what differs is meant, with its reason, or a failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, thread,
};

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;

use crate::{
    decoder::Decoder,
    documents::{Documents, field, number, text},
    wait,
};

/// Fields of a document, by their dotted paths.
pub type Fields = BTreeMap<String, String>;

/// Documents of one process, by what they are.
pub type Entries = BTreeMap<String, Fields>;

/// Fields whose values two runs never share: that they are there is compared. Numbers and times of the run, and what
/// follows from them.
const OF_THE_RUN: [&str; 17] = [
    "@timestamp",
    "client.port",
    "error.grouping_key",
    "error.id",
    "event.duration",
    "http.request.headers.Elastic-Apm-Traceparent",
    "http.request.headers.Traceparent",
    "http.response.headers.Date",
    "parent.id",
    "process.parent.pid",
    "process.pid",
    "source.port",
    "span.id",
    "timestamp.us",
    "trace.id",
    "transaction.duration.us",
    "transaction.id",
];

/// A field in which two documents differ; `None`: it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Difference {
    /// The document.
    pub document: String,
    /// The field's path; empty when the whole document is missing.
    pub field: String,
    /// What our agent says.
    pub ours: Option<String>,
    /// What Elastic's says.
    pub elastic: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
        let (ours, elastic) = (shown(&self.ours), shown(&self.elastic));
        write!(formatter, "{} | {} | ours {ours} | Elastic's {elastic}", self.document, self.field)
    }
}

/// In what the documents of two runs of one program differ.
fn differences(ours: &Entries, elastic: &Entries) -> Vec<Difference> {
    let documents: BTreeSet<&String> = ours.keys().chain(elastic.keys()).collect();
    let of = |document: &String| {
        let (our, their) = (ours.get(document), elastic.get(document));
        let (Some(our), Some(their)) = (our, their) else {
            let name = |fields: Option<&Fields>| fields.map(|_| "a document".to_owned());
            let (ours, elastic) = (name(our), name(their));
            return vec![Difference { document: document.clone(), field: String::new(), ours, elastic }];
        };
        let fields: BTreeSet<&String> = our.keys().chain(their.keys()).collect();
        let pair = |field: &String| Difference {
            document: document.clone(),
            field: field.clone(),
            ours: our.get(field).cloned(),
            elastic: their.get(field).cloned(),
        };
        fields.into_iter().map(pair).filter(|pair| pair.ours != pair.elastic).collect()
    };
    documents.into_iter().flat_map(of).collect()
}

/// Type and subtype of a span: what its documents may be told apart by.
pub fn kind(span: &Value) -> String {
    format!("{}.{}", text(span, "span.type"), text(span, "span.subtype"))
}

/// The documents of one process, in which its own ports go by their names; spans are told apart by what `kind` says.
pub fn entries(
    documents: &Documents,
    program: &str,
    ports: &[(&str, u16)],
    kind: impl Fn(&Value) -> String,
) -> Entries {
    let within = |document: &Value| {
        documents.transaction_of(document).map_or("no transaction", |transaction| text(transaction, "url.path"))
    };
    let transactions =
        documents.transactions().map(|found| (format!("transaction {}", text(found, "url.path")), found));
    let spans = documents.spans().map(|span| (format!("span {} of {}", kind(span), within(span)), span));
    let errors = documents.errors().map(|error| (format!("error of {}", within(error)), error));
    let mut all: Vec<(String, &Value)> = transactions.chain(spans).chain(errors).collect();
    all.sort_by_key(|(_, document)| (number(document, "timestamp.us"), text(document, "span.name").to_owned()));
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut numbered = |what: String| {
        let count = seen.entry(what.clone()).or_default();
        *count += 1;
        format!("{program}: {what} #{count}")
    };
    all.into_iter().map(|(what, document)| (numbered(what), fields(document, ports))).collect()
}

/// The names of all metrics, as fields.
pub fn metrics(documents: &Documents) -> Fields {
    samples(documents).map(|name| (name.to_owned(), "there".to_owned())).collect()
}

/// How often a metric was told.
pub fn looks(documents: &Documents, metric: &str) -> usize {
    samples(documents).filter(|name| *name == metric).count()
}

fn samples(documents: &Documents) -> impl Iterator<Item = &str> {
    let samples = documents.metrics().filter_map(|set| field(set, "metricset.samples")?.as_array()).flatten();
    samples.map(|sample| text(sample, "name"))
}

fn fields(document: &Value, ports: &[(&str, u16)]) -> Fields {
    let mut fields = Fields::new();
    flatten("", document, &mut fields);
    for (path, value) in &mut fields {
        if OF_THE_RUN.contains(&path.as_str()) {
            *value = "of the run".to_owned();
        }
        for (name, port) in ports {
            *value = value.replace(&port.to_string(), name);
        }
    }
    fields
}

fn flatten(path: &str, value: &Value, fields: &mut Fields) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(&below(name), value, fields)),
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            // Of a stack the program's own frames: others are those of the agents themselves.
            let own: Vec<_> =
                items.iter().filter(|frame| frame.get("library_frame") != Some(&Value::Bool(true))).collect();
            if path.ends_with("stacktrace") {
                let functions: Vec<_> = own.iter().map(|frame| text(frame, "function")).collect();
                fields.insert(below("functions"), format!("{functions:?}"));
            }
            own.first().copied().or(items.first()).into_iter().for_each(|value| flatten(path, value, fields));
        }
        _ => {
            fields.insert(path.to_owned(), value.to_string());
        }
    }
}

/// Nothing stands there.
pub const NONE: &str = "-";
/// Something stands there.
pub const SOME: &str = "*";

/// A difference that is meant.
#[derive(Debug)]
pub struct Meant {
    /// What the document's name has in it.
    documents: &'static str,
    /// The field; with `*` at its end those that begin so.
    field: &'static str,
    ours: &'static str,
    elastic: &'static str,
    why: &'static str,
}

/// A difference that is meant: what the document's name has in it, the field (with `*` at its end those that begin so),
/// what ours has, what Elastic's has, and why.
pub const fn meant(
    documents: &'static str,
    field: &'static str,
    ours: &'static str,
    elastic: &'static str,
    why: &'static str,
) -> Meant {
    Meant { documents, field, ours, elastic, why }
}

/// Differences that are not meant, and meant ones that are none, a line each.
fn unexplained(meant: &[Meant], differences: &[Difference]) -> Vec<String> {
    let surprises = differences.iter().filter(|difference| !meant.iter().any(|meant| meant.explains(difference)));
    let idle = meant.iter().filter(|meant| !differences.iter().any(|difference| meant.explains(difference)));
    let idle = idle.map(|meant| format!("no longer different: {} | {} ({})", meant.documents, meant.field, meant.why));
    surprises.map(ToString::to_string).chain(idle).collect()
}

impl Meant {
    fn explains(&self, difference: &Difference) -> bool {
        let field = match self.field.strip_suffix('*') {
            Some(beginning) => difference.field.starts_with(beginning),
            None => difference.field == self.field,
        };
        let is = |wanted: &str, value: &Option<String>| match value.as_deref() {
            None => wanted == NONE,
            Some(value) => wanted == SOME || wanted == value,
        };
        field
            && difference.document.contains(self.documents)
            && is(self.ours, &difference.ours)
            && is(self.elastic, &difference.elastic)
    }
}

/// Runs the same services twice at once, watched by our agent and with Elastic's in them, and waits until their documents
/// differ as they are meant to: nothing says when Elastic's agent has sent all.
///
/// # Errors
/// If a side fails, or they never do.
pub fn side_by_side<S: Send>(
    meant: &[Meant],
    ours: impl FnOnce() -> Result<(Documents, Vec<S>)>,
    elastic: impl FnOnce() -> Result<(Decoder, Vec<S>)> + Send,
    entries: impl Fn(&S, &Documents) -> Entries,
) -> Result<()> {
    let (ours, elastic) = thread::scope(|scope| {
        let elastic = scope.spawn(elastic);
        (ours(), elastic.join())
    });
    let (ours, our_services) = ours?;
    let (decoder, their_services) = elastic.map_err(|_| anyhow!("a thread panicked"))??;
    let mut surprises = Vec::new();
    let as_meant = wait::until("documents as expected", wait::PATIENCE, || {
        let theirs = decoder.documents().ok()?;
        let pairs = our_services.iter().zip(&their_services);
        let found = pairs.flat_map(|(our, their)| differences(&entries(our, &ours), &entries(their, &theirs)));
        surprises = unexplained(meant, &found.collect::<Vec<_>>());
        surprises.is_empty().then_some(())
    });
    as_meant.with_context(|| surprises.join("\n"))
}
