//! A trace that comes in is continued.

use anyhow::{Result, ensure};
use apm_tests::{
    documents::{field, text},
    http::Connection,
    nginx::Nginx,
    postgres::Postgres,
    programs::{App, Program},
    turn::{Need, Turn},
    watch::Watch,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[test]
fn traceparent_is_continued() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx")]) else { return Ok(()) };
    let nginx = Nginx::start()?;
    let watch = Watch::process(nginx.pid())?;
    let mut connection = Connection::open(nginx.port())?;
    let value = format!("00-{TRACE}-{PARENT}-01");
    connection.get("/w3c", &[&format!("traceparent: {value}")])?;
    connection.get("/elastic", &[&format!("Elastic-Apm-Traceparent: {value}")])?;
    connection.get("/half", &[&format!("TraceParent: {value}"), "tracestate: other=1, es=s:0.5"])?;
    connection.get("/own", &[])?;
    connection.get("/zero", &["traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01"])?;
    connection.get("/short", &["traceparent: 00-0af7651916cd43dd-b7ad6b7169203331-01"])?;
    let documents = watch.finish()?.documents;
    for path in ["/w3c", "/elastic", "/half"] {
        let found = documents.request(path)?;
        ensure!(text(found, "trace.id") == TRACE && text(found, "parent.id") == PARENT, "{path}: {found}");
    }
    // The rate the trace was sampled with: this transaction stands for two.
    let half = documents.request("/half")?;
    let count = field(half, "transaction.representative_count").and_then(serde_json::Value::as_f64);
    ensure!(count == Some(2.0), "{half}");
    for path in ["/own", "/zero", "/short"] {
        let found = documents.request(path)?;
        ensure!(text(found, "trace.id") != TRACE && text(found, "parent.id").is_empty(), "{path}: {found}");
        ensure!(text(found, "trace.id").len() == 32, "{path}: {found}");
    }
    Ok(())
}

#[test]
fn spans_are_in_the_trace_that_came_in() -> Result<()> {
    let Some(_turn) = Turn::take(App::PythonThreads.needs()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::PythonThreads, &database)?;
    let watch = Watch::process(program.pid())?;
    let mut connection = Connection::open(program.port())?;
    connection.get("/item/5", &[&format!("traceparent: 00-{TRACE}-{PARENT}-01")])?;
    let documents = watch.finish()?.documents;
    let request = documents.request("/item/5")?;
    ensure!(text(request, "trace.id") == TRACE && text(request, "parent.id") == PARENT, "{request}");
    let span = documents.spans_of(request).find(|span| text(span, "span.db.statement").contains("WHERE id = 5"));
    ensure!(span.is_some_and(|span| text(span, "trace.id") == TRACE), "{}", documents.summary());
    Ok(())
}
