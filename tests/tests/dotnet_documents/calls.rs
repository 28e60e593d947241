//! `HttpClient`'s calls: spans, and the trace that goes through several services.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use apm_tests::{
    documents::{Documents, field, text},
    dotnet::{Framework, Web, scene::Scene},
    http,
    postgres::Postgres,
    turn::Turn,
};
use serde_json::{Value, json};

use super::{NEEDS, PARENT, TRACE, ask, errors_of, expect, on_each, only_span, spans_of, start_on_each};

/// Answers `count` requests, each on a connection of its own, and gives back their traceparents.
fn answer(listener: TcpListener, count: usize) -> thread::JoinHandle<Result<Vec<String>>> {
    thread::spawn(move || {
        let mut heard = Vec::new();
        for stream in listener.incoming().take(count) {
            let mut stream = stream?;
            let lines: std::io::Result<Vec<String>> =
                BufReader::new(&stream).lines().take_while(|line| !line.as_ref().is_ok_and(String::is_empty)).collect();
            let of_header =
                |line: &String| Some(line.split_once(": ").filter(|(name, _)| *name == "traceparent")?.1.to_owned());
            heard.extend(lines?.iter().find_map(of_header));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")?;
        }
        Ok(heard)
    })
}

/// The downstream gets exactly the ids that are reported.
#[test]
fn call_carries_its_span() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let scene = Scene::listening(start_on_each(|web| web)?, &[])?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let (url, closed) = (format!("http://127.0.0.1:{port}/there?a=b"), http::free_port()?);
    let downstream = answer(listener, scene.programs().len());
    for program in scene.programs() {
        ask(program, &[(&format!("/call?url={}", url.replace('&', "%26")), 200)])?;
        let (own, nobody) = (program.port(), format!("/call?url=http://127.0.0.1:{closed}/nobody"));
        ask(program, &[(&format!("/call?url=http://127.0.0.1:{own}/error"), 500), (&nobody, 502)])?;
    }
    let heard = downstream.join().map_err(|_| anyhow!("the downstream panicked"))??;
    on_each(scene, |framework, documents| {
        let position = Framework::ALL.iter().position(|other| *other == framework).context("one of them")?;
        let span = documents.spans().find(|span| text(span, "url.original") == url).context("the call has a span")?;
        expect(
            span,
            &json!({"span.name": "GET 127.0.0.1", "span.type": "external", "span.subtype": "http",
            "span.action": "GET", "event.outcome": "success", "http.response.status_code": 200,
            "http.request.method": "GET", "destination.address": "127.0.0.1", "destination.port": port,
            "service.target.type": "http", "service.target.name": format!("127.0.0.1:{port}"),
            "span.destination.service.resource": format!("127.0.0.1:{port}")}),
        )?;
        let carried = format!("00-{}-{}-01", text(span, "trace.id"), text(span, "span.id"));
        ensure!(heard.get(position) == Some(&carried), "{carried} is not what came: {heard:?}");
        let request = documents.transaction_of(span).context("it belongs to its request")?;
        expect(request, &json!({"transaction.name": "GET /call", "url.path": "/call"}))?;
        ensure!(text(span, "parent.id") == text(request, "transaction.id"), "{span}");
        failed_calls(documents, closed)
    })
}

/// What a caller does not record is not recorded further on. .NET 8 has no samplers.
#[test]
fn unsampled_trace_goes_on_unsampled() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let scene = Scene::listening(vec![Web::on(Framework::Net10).start()?], &[])?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let path = format!("/call?url=http://{}/there", listener.local_addr()?);
    let downstream = answer(listener, 2);
    let program = scene.programs().first().context("the program")?;
    for flags in ["00", "01"] {
        let header = format!("traceparent: 00-{TRACE}-{PARENT}-{flags}");
        ensure!(http::Connection::open(program.port())?.get(&path, &[&header])?.status == 200);
    }
    let heard = downstream.join().map_err(|_| anyhow!("the downstream panicked"))??;
    let [unsampled, sampled] = heard.as_slice() else { anyhow::bail!("{heard:?}") };
    for (carried, flags) in [(unsampled, "-00"), (sampled, "-01")] {
        ensure!(carried.starts_with(&format!("00-{TRACE}-")) && carried.ends_with(flags), "{heard:?}");
        ensure!(!carried.contains(PARENT), "it names the caller's caller: {heard:?}");
    }
    let documents = scene.finish()?.seen.documents;
    let of_trace = |document: &&Value| text(document, "trace.id") == TRACE;
    let (requests, calls) = (documents.requests().filter(of_trace).count(), documents.spans().filter(of_trace).count());
    ensure!((requests, calls) == (1, 1), "{requests} requests and {calls} calls: {}", documents.summary());
    Ok(())
}

/// 4xx and 5xx are a client's failures; so is an answer that never came, which is an error besides.
fn failed_calls(documents: &Documents, closed: u16) -> Result<()> {
    let by_path = |path: &str| documents.spans().find(|span| text(span, "url.original").ends_with(path));
    let refused = by_path("/error").context("the call of /error")?;
    expect(refused, &json!({"event.outcome": "failure", "http.response.status_code": 500}))?;
    ensure!(text(documents.request("/error")?, "parent.id") == text(refused, "span.id"), "{refused}");
    let nobody = by_path("/nobody").context("the call that nobody answered")?;
    expect(
        nobody,
        &json!({"span.name": "GET 127.0.0.1", "span.type": "external", "span.subtype": "http",
        "event.outcome": "failure", "destination.port": closed, "http.response.status_code": null,
        "service.target.name": format!("127.0.0.1:{closed}")}),
    )?;
    let request = documents.transaction_of(nobody).context("it belongs to its request")?;
    let error = documents.errors().find(|error| text(error, "parent.id") == text(nobody, "span.id"));
    let error = error.with_context(|| format!("its error: {}", documents.summary()))?;
    expect(error, &json!({"transaction.id": text(request, "transaction.id"), "transaction.name": "GET /call"}))?;
    let first = field(error, "error.exception").and_then(|all| all.get(0)).context("an exception")?;
    expect(
        first,
        &json!({"type": "System.Net.Http.HttpRequestException",
        "message": format!("Connection refused (127.0.0.1:{closed})")}),
    )?;
    Ok(())
}

/// Ids begin above the numbers of the calls: a value that stands in a path twice has no certain place there, and then
/// the name is the path.
const FIRST: usize = 100;

/// Two calls side by side, each of which goes on to a third service, and a query between them; then the same from
/// .NET 8, all on one connection of its client.
#[test]
fn three_services_are_one_trace() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let leaf = Web::on(Framework::Net8).start()?;
    let middle = Web::on(Framework::Net10).downstream(&leaf).start()?;
    let mut programs = start_on_each(|web| web.database(&database).downstream(&middle))?;
    programs.extend([middle, leaf]);
    let scene = Scene::listening(programs, &[])?;
    for (number, program) in scene.programs().iter().take(2).enumerate() {
        let paths: Vec<String> = (1..=5).map(|id| format!("/fan/{}", FIRST + number * 10 + id)).collect();
        ask(program, &paths.iter().map(|path| (path.as_str(), 200)).collect::<Vec<_>>())?;
    }
    let played = scene.finish()?;
    let [old, new, middle, leaf] = played.of.as_slice() else { anyhow::bail!("four programs") };
    for (number, front) in [old, new].into_iter().enumerate() {
        for id in FIRST + number * 10 + 1..=FIRST + number * 10 + 5 {
            one_trace(front, middle, leaf, id).with_context(|| format!("/fan/{id}"))?;
        }
    }
    for name in ["trace.calls.without_parent", "trace.spans.without_transaction", "bridge.messages.lost"] {
        ensure!(played.seen.agent.stats.get(name) == 0, "{name}: {:?}", played.seen.agent.stats);
    }
    Ok(())
}

fn one_trace(front: &Documents, middle: &Documents, leaf: &Documents, id: usize) -> Result<()> {
    let request = front.request(&format!("/fan/{id}"))?;
    let trace = text(request, "trace.id");
    let spans = spans_of(front, &format!("/fan/{id}"))?;
    ensure!(spans.len() == 3, "{spans:?}");
    let queries: Vec<&Value> = spans.iter().copied().filter(|span| text(span, "span.type") == "db").collect();
    let [query] = queries.as_slice() else { anyhow::bail!("{queries:?}") };
    expect(query, &json!({"span.db.statement": format!("SELECT name FROM items WHERE id = {id}")}))?;
    for span in &spans {
        expect(span, &json!({"parent.id": text(request, "transaction.id"), "trace.id": trace}))?;
    }
    for n in [1, 2] {
        let call = |spans: &[&Value], path: &str| {
            spans.iter().copied().find(|span| text(span, "url.original").ends_with(path)).cloned()
        };
        let first = call(&spans, &format!("/down/{id}/{n}")).context("a call of the second service")?;
        let down = middle.request(&format!("/down/{id}/{n}"))?;
        expect(
            down,
            &json!({"transaction.name": "GET /down/{id}/{n}", "trace.id": trace,
            "parent.id": text(&first, "span.id")}),
        )?;
        let second = only_span(middle, &format!("/down/{id}/{n}"))?;
        ensure!(text(second, "url.original").ends_with(&format!("/leaf/{id}/{n}")), "{second}");
        expect(
            leaf.request(&format!("/leaf/{id}/{n}"))?,
            &json!({"transaction.name": "GET /leaf/{id}/{n}",
            "trace.id": trace, "parent.id": text(second, "span.id")}),
        )?;
    }
    ensure!(errors_of(front, &format!("/fan/{id}"))?.is_empty());
    Ok(())
}
