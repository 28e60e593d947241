//! Documents of two agents side by side, as fields.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use apm_tests::documents::{Documents, number, text};
use serde_json::Value;

/// Fields of a document, by their dotted paths.
type Fields = BTreeMap<String, String>;

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
pub struct Difference {
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
pub fn differences(ours: &Entries, elastic: &Entries) -> Vec<Difference> {
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

/// The documents of one process, in which its own ports go by their names.
pub fn entries(documents: &Documents, program: &str, ports: &[(&str, u16)]) -> Entries {
    let within = |document: &Value| {
        documents.transaction_of(document).map_or("no transaction", |transaction| text(transaction, "url.path"))
    };
    let kind = |span: &Value| format!("{}.{}", text(span, "span.type"), text(span, "span.subtype"));
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
        // Of a stack the innermost frame: further out are those of the agents themselves.
        Value::Array(items) if items.first().is_some_and(Value::is_object) => {
            items.iter().take(1).for_each(|value| flatten(path, value, fields));
        }
        _ => {
            fields.insert(path.to_owned(), value.to_string());
        }
    }
}
