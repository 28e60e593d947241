//! Elastic's decoder as the tests use it: what is valid is decoded, what is not is a failure.

use anyhow::{Result, ensure};
use apm_tests::{
    decoder::Decoder,
    documents::{field, number, text},
    turn::{self, Need},
};

const METADATA: &str = r#"{"metadata":{"service":{"name":"shop","agent":{"name":"tests","version":"1.0.0"}}}}"#;
const TRANSACTION: &str = r#"{"transaction":{"id":"b7ad6b7169203331","trace_id":"0af7651916cd43dd8448eb211c80319c","parent_id":"1111111111111111","name":"GET /item/7","type":"request","result":"HTTP 2xx","outcome":"success","sampled":true,"sample_rate":0.5,"timestamp":1700000000000000,"duration":1.5,"span_count":{"started":2},"context":{"request":{"method":"GET","http_version":"1.1","url":{"full":"http://localhost/item/7?a=b","protocol":"http","hostname":"localhost","pathname":"/item/7","search":"a=b"},"headers":{"User-Agent":"tests"}},"response":{"status_code":200}}}}"#;
const QUERY: &str = r#"{"span":{"id":"00f067aa0ba902b7","trace_id":"0af7651916cd43dd8448eb211c80319c","transaction_id":"b7ad6b7169203331","parent_id":"b7ad6b7169203331","name":"SELECT FROM items","type":"db","subtype":"postgresql","action":"query","outcome":"success","timestamp":1700000000000100,"duration":0.5,"context":{"destination":{"address":"127.0.0.1","port":5432,"service":{"resource":"postgresql/shop"}},"service":{"target":{"type":"postgresql","name":"shop"}},"db":{"type":"sql","statement":"SELECT name FROM items WHERE id = 7","instance":"shop","user":"postgres","rows_affected":1}}}}"#;
const CALL: &str = r#"{"span":{"id":"00f067aa0ba902b8","trace_id":"0af7651916cd43dd8448eb211c80319c","transaction_id":"b7ad6b7169203331","parent_id":"b7ad6b7169203331","name":"GET localhost","type":"external","subtype":"http","outcome":"failure","timestamp":1700000000000100,"duration":0.5,"context":{"http":{"url":"http://127.0.0.1:1/x","method":"GET","status_code":404}}}}"#;
const ERROR: &str = r#"{"error":{"id":"0af7651916cd43dd8448eb211c80319d","trace_id":"0af7651916cd43dd8448eb211c80319c","transaction_id":"b7ad6b7169203331","parent_id":"b7ad6b7169203331","timestamp":1700000000000100,"exception":{"type":"ConnectionRefused","message":"connection refused","code":"ECONNREFUSED"}}}"#;

/// Every path that a test asks for is where the decoder puts it.
#[test]
fn documents_are_where_the_tests_look() -> Result<()> {
    if !turn::can_run(&[Need::Program("go")]) {
        return Ok(());
    }
    let decoder = Decoder::start()?;
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("events.ndjson");
    let lines = [METADATA, TRANSACTION, QUERY, METADATA, CALL, ERROR];
    std::fs::write(&file, lines.map(|line| format!("{line}\n")).concat())?;
    let documents = decoder.decode(&file)?;
    let request = documents.request("/item/7")?;
    let of_request = [
        ("service.name", "shop"),
        ("http.request.method", "GET"),
        ("http.version", "1.1"),
        ("url.scheme", "http"),
        ("url.query", "a=b"),
        ("user_agent.original", "tests"),
        ("transaction.result", "HTTP 2xx"),
        ("event.outcome", "success"),
        ("trace.id", "0af7651916cd43dd8448eb211c80319c"),
        ("parent.id", "1111111111111111"),
    ];
    for (path, value) in of_request {
        ensure!(text(request, path) == value, "{path} in {request}");
    }
    ensure!(number(request, "http.response.status_code") == Some(200), "{request}");
    ensure!(number(request, "event.duration") == Some(1_500_000), "{request}");
    let count = field(request, "transaction.representative_count").and_then(serde_json::Value::as_f64);
    ensure!(count == Some(2.0), "{request}");
    let spans: Vec<_> = documents.spans_of(request).collect();
    let [query, call] = spans[..] else { anyhow::bail!("two spans hang on it: {}", documents.summary()) };
    let of_query = [
        ("span.db.statement", "SELECT name FROM items WHERE id = 7"),
        ("span.db.instance", "shop"),
        ("span.db.user.name", "postgres"),
        ("span.subtype", "postgresql"),
        ("destination.address", "127.0.0.1"),
        ("parent.id", "b7ad6b7169203331"),
    ];
    for (path, value) in of_query {
        ensure!(text(query, path) == value, "{path} in {query}");
    }
    ensure!(number(query, "span.db.rows_affected") == Some(1), "{query}");
    ensure!(number(query, "destination.port") == Some(5432), "{query}");
    ensure!(number(query, "timestamp.us") > number(request, "timestamp.us"), "{query}");
    ensure!(text(call, "url.original") == "http://127.0.0.1:1/x", "{call}");
    ensure!(number(call, "http.response.status_code") == Some(404), "{call}");
    let errors: Vec<_> = documents.errors().filter(|error| error.to_string().contains("ECONNREFUSED")).collect();
    ensure!(errors.len() == 1 && text(errors[0], "transaction.id") == text(request, "transaction.id"), "{errors:?}");
    Ok(())
}

#[test]
fn invalid_event_is_a_failure() -> Result<()> {
    if !turn::can_run(&[Need::Program("go")]) {
        return Ok(());
    }
    let decoder = Decoder::start()?;
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, format!("{METADATA}\n{{\"transaction\":{{\"id\":\"short of everything\"}}}}\n"))?;
    ensure!(decoder.decode(&file).is_err() && decoder.documents().is_err(), "it passed for valid");
    Ok(())
}
