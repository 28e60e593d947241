//! Judges lines as APM Server would: by Elastic's JSON schemas, and by what its decoder is stricter in.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use super::MAX_EVENT_BYTES;

static SCHEMAS: LazyLock<Vec<(&str, Validator)>> = LazyLock::new(|| {
    [
        ("metadata", include_str!("../../tests/data/schema/metadata.json")),
        ("transaction", include_str!("../../tests/data/schema/transaction.json")),
        ("span", include_str!("../../tests/data/schema/span.json")),
        ("error", include_str!("../../tests/data/schema/error.json")),
        ("metricset", include_str!("../../tests/data/schema/metricset.json")),
    ]
    .map(|(name, text)| (name, jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap()))
    .into()
});

/// Integer fields: the decoder refuses a fraction, even `.0`.
const INTEGERS: &[&str] =
    &["timestamp", "status_code", "port", "started", "dropped", "count", "us", "pid", "rows_affected", "lineno"];

/// Root key and content of a valid line; panics with the reason for another.
pub(crate) fn check(line: &[u8]) -> (String, Value) {
    assert!(line.len() <= MAX_EVENT_BYTES, "{} bytes", line.len());
    let (last, body) = line.split_last().unwrap();
    assert!(*last == b'\n' && !body.contains(&b'\n'), "one line");
    let root: Value = serde_json::from_slice(body).unwrap();
    let root = root.as_object().unwrap();
    assert_eq!(root.len(), 1, "one root key");
    let (name, content) = root.iter().next().unwrap();
    let (_, schema) = SCHEMAS.iter().find(|(known, _)| known == name).unwrap();
    if let Err(error) = schema.validate(content) {
        panic!("{name}: {error} in {content}");
    }
    check_strictly(content);
    (name.clone(), content.clone())
}

/// No `null` anywhere (we never send any), integers where integers belong, header values text or lists of text.
fn check_strictly(value: &Value) {
    match value {
        Value::Null => panic!("null"),
        Value::Array(list) => list.iter().for_each(check_strictly),
        Value::Object(map) => {
            for (key, value) in map {
                if INTEGERS.contains(&key.as_str()) && !value.is_object() {
                    assert!(value.is_u64(), "{key}: {value}");
                }
                if key == "headers" {
                    let text = |value: &Value| {
                        value.is_string() || value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
                    };
                    assert!(value.as_object().unwrap().values().all(text), "{value}");
                }
                check_strictly(value);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
