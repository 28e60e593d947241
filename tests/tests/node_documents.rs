//! What is sent of an Express service with a PostgreSQL pool that knows nothing of the agent, on every major of Node.js:
//! decoded by Elastic's own decoder.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, field, number, text},
    express, http,
    node::Major,
    place,
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::Program,
    turn::{Need, Turn},
    wait,
    watch::Watch,
};
use serde_json::Value;

const NEEDS: &[Need] = &[Need::NodeMajors, Need::File(DEBIAN_FOLDER)];

fn ask(program: &Program, path: &str, status: u16) -> Result<()> {
    let answer = http::get(program.port(), path)?;
    ensure!(answer.status == status, "{path}: {answer:?}\n{}", program.output());
    Ok(())
}

/// Everything below the request for `path`, in the order of time.
fn spans_of<'a>(documents: &'a Documents, path: &str) -> Result<Vec<&'a Value>> {
    let request = documents.request(path)?;
    let mut spans: Vec<&Value> = documents.spans_of(request).collect();
    spans.sort_by_key(|span| number(span, "timestamp.us"));
    ensure!(spans.iter().all(|span| text(span, "parent.id") == text(request, "transaction.id")), "{spans:?}");
    Ok(spans)
}

#[test]
fn requests_queries_and_calls() -> Result<()> {
    for major in Major::ALL {
        let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
        requests_queries_and_calls_of(major).with_context(|| format!("on Node.js {}", major.0))?;
    }
    Ok(())
}

fn requests_queries_and_calls_of(major: Major) -> Result<()> {
    let database = Postgres::start()?;
    let program = express::start(major, &database)?;
    let mut watch = Watch::process(program.pid())?;
    express::listens(watch.agent(), 1)?;
    let url = format!("http://127.0.0.1:{}/item/9", program.port());
    for (path, status) in [("/item/1", 200), ("/two/2", 200), ("/at-once/3", 200), ("/throw", 500), ("/bad", 500)] {
        ask(&program, path, status)?;
    }
    ask(&program, &format!("/call?url={url}"), 200)?;
    ask(&program, "/nowhere", 404)?;
    let seen = watch.finish()?;
    let documents = &seen.documents;
    for (path, name) in [
        ("/item/1", "GET /item/:id"),
        ("/two/2", "GET /two/:id"),
        ("/at-once/3", "GET /at-once/:id"),
        ("/throw", "GET /throw"),
        ("/call", "GET /call"),
        ("/nowhere", "GET unknown route"),
    ] {
        ensure!(text(documents.request(path)?, "transaction.name") == name, "{}", documents.request(path)?);
    }
    let query = spans_of(documents, "/item/1")?;
    let [query] = query.as_slice() else { anyhow::bail!("one span, not {query:?}") };
    ensure!(text(query, "span.db.statement") == "SELECT 1 AS id", "{query}");
    ensure!(number(query, "span.db.rows_affected") == Some(1), "counted on the wire: {query}");
    ensure!(text(query, "span.subtype") == "postgresql" && text(query, "event.outcome") == "success", "{query}");
    // Calls of one name are compressed (elastic-spec, 8.8): one span each, none twice.
    for (path, count) in [("/two/2", 2), ("/at-once/3", 3)] {
        let spans = spans_of(documents, path)?;
        let calls: u64 = spans.iter().map(|span| number(span, "span.composite.count").unwrap_or(1)).sum();
        ensure!(calls == count, "{path}: {spans:?}");
    }
    let call = spans_of(documents, "/call")?;
    let [call] = call.as_slice() else { anyhow::bail!("one span, not {call:?}") };
    ensure!(text(call, "url.original") == url && text(call, "span.type") == "external", "{call}");
    let called = documents.request("/item/9")?;
    ensure!(text(called, "parent.id") == text(call, "span.id"), "{called}");
    ensure!(text(called, "trace.id") == text(call, "trace.id"), "{called}");
    errors(documents)?;
    let unsure = documents.transactions().find(|transaction| text(transaction, "transaction.type") == "exit");
    ensure!(unsure.is_none(), "no call is without its request: {unsure:?}");
    ensure!(seen.agent.stats.get("trace.requests.joined") == 8, "{:?}", seen.agent.stats);
    ensure!(!documents.summary().contains("json/list"), "the inspector's own connections are nobody's business");
    Ok(())
}

fn errors(documents: &Documents) -> Result<()> {
    for (path, message) in [("/throw", "thrown on purpose"), ("/bad", "column \"no_such_column\" does not exist")] {
        let request = documents.request(path)?;
        let id = text(request, "transaction.id");
        let found: Vec<&Value> = documents.errors().filter(|error| text(error, "transaction.id") == id).collect();
        let [error] = found.as_slice() else { anyhow::bail!("{path}: one error, not {found:?}") };
        let exception = field(error, "error.exception.0").or_else(|| field(error, "error.exception"));
        let exception = exception.context("an exception")?.to_string();
        // Five lines around each frame whose file is there; the driver's error has frames of the driver only, which was
        // written in TypeScript and says so in source maps.
        let lines = match path {
            "/throw" => ["throw new TypeError('thrown on purpose')", "web.js"],
            _ => ["new DatabaseError(", "pg-protocol/src/parser.ts"],
        };
        ensure!(lines.iter().all(|line| exception.contains(line)), "{error}");
        ensure!(exception.contains(&message.replace('"', "\\\"")), "{error}");
    }
    ensure!(documents.errors().count() == 2, "{:?}", documents.errors().collect::<Vec<_>>());
    Ok(())
}

#[test]
fn unsampled_traces_have_no_documents() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = express::start(Major(20), &database)?;
    let pid = program.pid().to_string();
    let mut watch = Watch::start(&["--pid", &pid, "--transaction-sample-rate", "0"])?;
    express::listens(watch.agent(), 1)?;
    let url = format!("http://127.0.0.1:{}/item/9", program.port());
    for path in ["/item/1", "/two/2", &format!("/call?url={url}")] {
        ask(&program, path, 200)?;
    }
    let seen = watch.finish()?;
    let count = seen.documents.transactions().count() + seen.documents.spans().count();
    ensure!(count == 0, "{}", seen.documents.summary());
    Ok(())
}

#[test]
fn a_process_that_is_refused_is_told_of_by_the_wire() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = express::start_with(Major(24), &database, &["--disable-sigusr1"], &[])?;
    let mut watch = Watch::process(program.pid())?;
    watch.agent().wait_for_line("`--disable-sigusr1`, which keeps its inspector shut")?;
    ask(&program, "/item/1", 200)?;
    let documents = watch.finish()?.documents;
    ensure!(text(documents.request("/item/1")?, "transaction.name") == "GET unknown route", "{}", documents.summary());
    let statements = documents.spans().filter(|span| text(span, "span.db.statement") == "SELECT 1 AS id").count();
    ensure!(statements == 1, "{}", documents.summary());
    ensure!(!program.output().contains("Debugger"), "{}", program.output());
    Ok(())
}

#[test]
fn switched_off_nothing_is_touched() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = express::start(Major(20), &database)?;
    let watch = Watch::start(&["--pid", &program.pid().to_string(), "--node-bridge=false"])?;
    ask(&program, "/item/1", 200)?;
    let documents = watch.finish()?.documents;
    documents.request("/item/1")?;
    ensure!(!program.output().contains("Debugger"), "{}", program.output());
    Ok(())
}

/// By name, or all of them by having no context: requests are named, and calls are what the wire shows.
#[test]
fn libraries_are_left_alone() -> Result<()> {
    for option in ["--disable-instrumentations=pg", "--node-context=false"] {
        let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
        let database = Postgres::start()?;
        let program = express::start(Major(22), &database)?;
        let mut watch = Watch::start(&["--pid", &program.pid().to_string(), option])?;
        express::listens(watch.agent(), 1)?;
        let log = watch.agent().output();
        ensure!(log.contains("express 4.") && (log.contains("pg 8.") == option.contains("context")), "{option}: {log}");
        ask(&program, "/item/1", 200)?;
        let documents = watch.finish()?.documents;
        let request = documents.request("/item/1")?;
        ensure!(text(request, "transaction.name") == "GET /item/:id", "{option}: {request}");
        ensure!(documents.spans_of(request).count() == 0, "{option}: {}", documents.summary());
        let statements = documents.spans().filter(|span| text(span, "span.db.statement") == "SELECT 1 AS id").count();
        ensure!(statements == 1, "{option}: {}", documents.summary());
    }
    Ok(())
}

#[test]
fn worker_threads_are_followed() -> Result<()> {
    for major in Major::ALL {
        let Some(_turn) = Turn::take(&[Need::NodeMajors]) else { return Ok(()) };
        worker_threads(major).with_context(|| format!("on Node.js {}", major.0))?;
    }
    Ok(())
}

fn worker_threads(major: Major) -> Result<()> {
    let ports = [("before", http::free_port()?), ("later", http::free_port()?)];
    let mut command = Command::new(major.program());
    command.arg(place::app("node/workers.js"));
    command.env("WORKER_PORT", ports[0].1.to_string()).env("LATER_PORT", ports[1].1.to_string());
    let program = Program::listening(&format!("Node.js {}", major.0), command)?;
    wait::until("the worker", wait::PATIENCE, || http::is_open(ports[0].1).then_some(()))?;
    let mut watch = Watch::process(program.pid())?;
    express::listens(watch.agent(), 1)?;
    ask(&program, "/begin", 200)?;
    for (name, port) in ports {
        let ready = || http::get(port, "/ready").is_ok_and(|answer| answer.text() == "true");
        wait::until("the script in the worker", wait::PATIENCE, || ready().then_some(()))?;
        let answer = http::get(port, &format!("/work/{name}"))?;
        ensure!(answer.text() == format!("/item/{name}"), "{answer:?}");
    }
    let documents = watch.finish()?.documents;
    for (name, _) in ports {
        let call = spans_of(&documents, &format!("/work/{name}"))?;
        let [call] = call.as_slice() else { anyhow::bail!("one span, not {call:?}") };
        let called = documents.request(&format!("/item/{name}"))?;
        ensure!(text(called, "parent.id") == text(call, "span.id"), "{called}");
        ensure!(text(called, "trace.id") == text(call, "trace.id"), "{called}");
    }
    Ok(())
}
