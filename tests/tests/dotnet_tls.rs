//! What the wire cannot show of .NET comes from the run time: requests, calls and statements in TLS, HTTP/2.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use apm_tests::{
    documents::{field, number, text},
    dotnet::{Framework, Web},
    http,
    postgres::{DEBIAN_FOLDER, Postgres, complete},
    tls::Certificate,
    turn::{Need, Turn},
    wait,
    watch::Watch,
};
use serde_json::Value;

/// Requests before the agent has noticed that the wire hides something.
const HIDDEN: usize = 20;

const NEEDS: &[Need] = &[Need::Root, Need::Dotnet, Need::Program("openssl"), Need::File(DEBIAN_FOLDER)];

const NEEDS_CURL: &[Need] =
    &[Need::Root, Need::Dotnet, Need::Program("openssl"), Need::Program("curl"), Need::File(DEBIAN_FOLDER)];

#[test]
fn encrypted_requests_and_calls_are_told() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let certificate = Certificate::generate()?;
    let tls_port = http::free_port()?;
    let server = Web::on(Framework::Net10).tls(&certificate, tls_port).start()?;
    let client = Web::on(Framework::Net10).start()?;
    let mut watch = Watch::start(&["--pid", &server.pid().to_string(), "--pid", &client.pid().to_string()])?;
    for _ in 0..2 {
        watch.agent().wait_for_line("listening to .NET")?;
    }
    let call = |path: &str| -> Result<()> {
        let answer = http::get(client.port(), &format!("/call?url=https://127.0.0.1:{tls_port}{path}"))?;
        ensure!(answer.status < 500, "{path}: {answer:?}");
        Ok(())
    };
    for number in 0..HIDDEN {
        call(&format!("/hello?{number}"))?;
    }
    watch.agent().wait_for_line("asked for more")?;
    // The first one after the change compiles what tells of it, which takes its time.
    call("/leaf/1/1")?;
    call("/hello?after")?;
    call("/nowhere")?;
    let seen = watch.finish()?;
    let documents = &seen.documents;

    let hello = documents.requests().find(|found| text(found, "url.query") == "after");
    let hello = hello.with_context(|| documents.summary())?;
    ensure!(
        text(hello, "transaction.name") == "GET /hello" && text(hello, "transaction.result") == "HTTP 2xx",
        "{hello}"
    );
    ensure!(text(hello, "url.full") == format!("https://127.0.0.1:{tls_port}/hello?after"), "{hello}");
    ensure!(number(hello, "http.response.status_code") == Some(200), "{hello}");
    let nowhere = documents.request("/nowhere")?;
    ensure!(text(nowhere, "transaction.name") == "GET unknown route", "{nowhere}");

    // The call is a span of the client's request, and the parent of the server's.
    let call = documents.spans().find(|span| text(span, "span.id") == text(hello, "parent.id"));
    let call = call.with_context(|| format!("no span is the parent of {hello}\n{}", documents.summary()))?;
    let request = documents.transaction_of(call).context("the call has no transaction")?;
    ensure!(text(request, "url.path") == "/call" && text(request, "trace.id") == text(hello, "trace.id"), "{request}");
    ensure!(text(call, "span.name") == "GET 127.0.0.1" && text(call, "span.subtype") == "http", "{call}");
    ensure!(text(call, "span.destination.service.resource") == format!("127.0.0.1:{tls_port}"), "{call}");
    ensure!(lasts(hello)? <= lasts(call)? && lasts(call)? <= lasts(request)?, "{hello}\n{call}\n{request}");
    Ok(())
}

#[test]
fn encrypted_statements_are_told_once() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let certificate = Certificate::generate()?;
    let database = Postgres::encrypted(&certificate)?;
    let string = database.npgsql_string().replace("SSL Mode=Disable", "SSL Mode=Require");
    let program = Web::on(Framework::Net10).database(&database).variable("DATABASE_URL", string).start()?;
    let mut watch = Watch::process(program.pid())?;
    watch.agent().wait_for_line("listening to .NET")?;
    for id in 0..HIDDEN {
        http::get(program.port(), &format!("/one/{}", id + 1))?;
    }
    watch.agent().wait_for_line("asked for more")?;
    let answer = http::get(program.port(), "/one/4711")?;
    ensure!(answer.status == 200, "{answer:?}");
    let seen = watch.finish()?;
    let request = seen.documents.request("/one/4711")?;
    let spans: Vec<&Value> = seen.documents.spans_of(request).collect();
    ensure!(spans.len() == 1, "{}", seen.documents.summary());
    let span = spans[0];
    ensure!(text(span, "span.type") == "db" && text(span, "span.subtype") == "postgresql", "{span}");
    ensure!(text(span, "span.db.statement").contains("4711"), "{span}");
    Ok(())
}

/// Requests that share one HTTP/2 connection at the same time, each with a query of its own.
const MULTIPLEXED: usize = 40;

#[test]
fn requests_that_share_an_http2_connection_keep_their_own_statements() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS_CURL) else { return Ok(()) };
    let certificate = Certificate::generate()?;
    let tls_port = http::free_port()?;
    let database = Postgres::start()?;
    let program = Web::on(Framework::Net10).database(&database).tls(&certificate, tls_port).start()?;
    let mut watch = Watch::process(program.pid())?;
    watch.agent().wait_for_line("listening to .NET")?;
    let ask = |from: usize, count: usize| {
        let urls = format!("https://127.0.0.1:{tls_port}/one/[{from}-{}]", from + count - 1);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", "--http2", "--parallel", "--parallel-max", "64"]);
        complete(
            "curl",
            curl.args(["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}\n"]).arg(urls),
        )
    };
    ask(1, HIDDEN)?;
    watch.agent().wait_for_line("asked for more")?;
    // The run time says that it listens some hundred milliseconds before it does.
    wait::until("a request to be told", wait::PATIENCE, || {
        ask(100, 1).ok()?;
        watch.documents().ok()?.requests().any(|found| text(found, "url.path") == "/one/100").then_some(())
    })?;
    let answers = ask(1001, MULTIPLEXED)?;
    ensure!(answers.lines().filter(|line| *line == "2 200").count() == MULTIPLEXED, "{answers}");
    let seen = watch.finish()?;
    for id in 1001..1001 + MULTIPLEXED {
        let request = seen.documents.request(&format!("/one/{id}"))?;
        ensure!(text(request, "http.version") == "2.0", "{request}");
        // Connections that the pool opens meanwhile are spans too.
        let queries = seen.documents.spans_of(request).filter(|span| text(span, "span.action") == "query");
        let statements: Vec<&str> = queries.map(|span| text(span, "span.db.statement")).collect();
        ensure!(statements.len() == 1 && statements[0].contains(&id.to_string()), "{id}: {statements:?}");
    }
    Ok(())
}

/// Duration in microseconds.
fn lasts(document: &Value) -> Result<u64> {
    let duration = field(document, "event.duration").and_then(Value::as_u64);
    duration
        .or_else(|| number(document, "transaction.duration.us"))
        .or_else(|| number(document, "span.duration.us"))
        .context("no duration")
}
