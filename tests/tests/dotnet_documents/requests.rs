//! Requests served: names, results, outcomes, the HTTP context, the service, and the trace they continue.

use anyhow::{Context as _, Result, anyhow, ensure};
use apm_tests::{
    documents::{field, text},
    dotnet::{Framework, Web, scene::Scene},
    http::{self, Connection},
    postgres::Postgres,
    turn::Turn,
};
use serde_json::{Value, json};

use super::{NEEDS, PARENT, TRACE, ask, errors_of, expect, on_each, start_on_each};

/// Path, status, and the transaction's name. Elastic's agent names minimal APIs by their path; we name the
/// parameters in it, so that one route has one name.
const ROUTES: &[(&str, u16, &str)] = &[
    ("/orders/42", 200, "GET Orders/Get {id}"),
    ("/orders/0", 404, "GET Orders/Get {id}"),
    ("/customers/list/43", 200, "GET Customers/List {id}"),
    ("/admin/users/get/44", 200, "GET Admin/Users/Get {id}"),
    ("/items/42", 200, "GET /items/{id}"),
    ("/items/0", 404, "GET /items/{id}"),
    ("/leaf/7/8", 200, "GET /leaf/{id}/{n}"),
    ("/hello", 200, "GET /hello"),
    ("/slow?ms=20", 200, "GET /slow"),
    ("/chunked", 200, "GET /chunked"),
    ("/error", 500, "GET /error"),
    ("/nowhere", 404, "GET unknown route"),
    ("/items/word", 404, "GET unknown route"),
];

#[test]
fn names_results_and_outcomes() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let scene = Scene::listening(start_on_each(|web| web.database(&database))?, &[])?;
    for program in scene.programs() {
        ask(program, &ROUTES.iter().map(|(path, status, _)| (*path, *status)).collect::<Vec<_>>())?;
    }
    on_each(scene, |_, documents| {
        for (path, status, name) in ROUTES {
            let document = documents.request(path.split('?').next().unwrap_or_default())?;
            let result = format!("HTTP {}xx", status / 100);
            expect(
                document,
                &json!({"transaction.name": name, "transaction.type": "request", "parent.id": null,
                "transaction.result": result, "http.response.status_code": status, "transaction.sampled": true,
                "event.outcome": if *status < 500 { "success" } else { "failure" }}),
            )?;
        }
        let slow = field(documents.request("/slow")?, "event.duration").and_then(Value::as_f64).unwrap_or_default();
        ensure!((20e6..5e9).contains(&slow), "{slow} ns");
        Ok(())
    })
}

#[test]
fn http_context_and_service() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let scene = Scene::listening(start_on_each(|web| web.database(&database))?, &[])?;
    for program in scene.programs() {
        let address = format!("127.0.0.1:{}", program.port());
        let created = http::post(&address, "/orders", "application/json", br#"{"item": 45}"#)?;
        ensure!(created.status == 201, "{created:?}");
        let headers = ["User-Agent: test/1", "Cookie: session=secret", "Authorization: Bearer secret", "X-Own: mine"];
        Connection::open(program.port())?.get("/hello?a=b&c=d", &headers)?;
    }
    let ports: Vec<u16> = scene.programs().iter().map(|program| program.port()).collect();
    on_each(scene, |framework, documents| {
        let hello = documents.request("/hello")?;
        let position = Framework::ALL.iter().position(|other| *other == framework).context("one of them")?;
        let port = ports.get(position).context("one port each")?;
        expect(
            hello,
            &json!({
                "http.version": "1.1", "http.request.method": "GET", "http.response.status_code": 200,
                "url.full": format!("http://127.0.0.1:{port}/hello?a=b&c=d"), "url.path": "/hello",
                "url.query": "a=b&c=d",
                "url.scheme": "http", "url.domain": "127.0.0.1", "url.port": port, "client.ip": "127.0.0.1",
                "user_agent.original": "test/1", "http.request.headers.X-Own": ["mine"],
                "http.request.headers.Authorization": ["[REDACTED]"], "http.response.headers.Server": ["Kestrel"],
                "http.response.headers.Content-Type": ["text/plain; charset=utf-8"], "http.request.body": null,
            }),
        )?;
        ensure!(!hello.to_string().contains("secret"), "{hello}");
        let created = documents.request("/orders")?;
        expect(
            created,
            &json!({
                "transaction.name": "POST Orders/Create", "http.request.method": "POST",
                "http.response.status_code": 201,
                "http.request.body.original": "[REDACTED]", "http.request.headers.Content-Type": ["application/json"],
                "transaction.span_count": {"started": 1, "dropped": 0},
            }),
        )?;
        let (runtime, version) = match framework {
            Framework::Net8 => (".NET 8", "8.0."),
            Framework::Net10 => (".NET 10", "10.0."),
        };
        for document in [hello, created] {
            expect(
                document,
                &json!({"service.name": "Web", "service.version": "1.0.0", "agent.name": "dotnet",
                "service.language.name": "C#", "service.runtime.name": runtime,
                "service.framework.name": "ASP.NET Core"}),
            )?;
            for name in ["service.runtime.version", "service.framework.version"] {
                ensure!(text(document, name).starts_with(version), "{name}: {document}");
            }
        }
        ensure!(errors_of(documents, "/hello")?.is_empty() && documents.errors().next().is_none());
        Ok(())
    })
}

/// .NET 8 records every trace once somebody listens: it has no samplers for what is asked for from outside. So the
/// unsampled trace is looked at on .NET 10 alone.
#[test]
fn incoming_trace_is_continued() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let scene = Scene::listening(start_on_each(|web: Web| web.database(&database))?, &[])?;
    for program in scene.programs() {
        let mut connection = Connection::open(program.port())?;
        let sampled = format!("traceparent: 00-{TRACE}-{PARENT}-01");
        let echo = connection.get("/echo", &[&sampled, "tracestate: es=s:0.5,other=1"])?;
        ensure!(echo.text() == format!("00-{TRACE}-{PARENT}-01 es=s:0.5,other=1"), "{echo:?}");
        connection.get("/items/1", &[&sampled, "tracestate: es=s:0.5,other=1"])?;
        connection.get("/one/2", &[&format!("traceparent: 00-{TRACE}-{PARENT}-00")])?;
        connection.get("/error", &[&format!("traceparent: 00-{TRACE}-{PARENT}-00")])?;
        connection.get("/hello", &["traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01"])?;
    }
    on_each(scene, |framework, documents| {
        for path in ["/echo", "/items/1"] {
            // Its caller samples one of two.
            expect(
                documents.request(path)?,
                &json!({"trace.id": TRACE, "parent.id": PARENT,
                "transaction.representative_count": 2}),
            )?;
        }
        expect(super::only_span(documents, "/items/1")?, &json!({"trace.id": TRACE}))?;
        let own = documents.request("/hello")?;
        ensure!(text(own, "trace.id") != TRACE && text(own, "parent.id").is_empty(), "{own}");
        if framework == Framework::Net10 {
            for path in ["/one/2", "/error"] {
                ensure!(documents.request(path).is_err(), "{path} is reported");
            }
            let below = documents.spans().filter(|span| text(span, "trace.id") == TRACE).count();
            ensure!(below == 1 && documents.errors().next().is_none(), "{}", documents.summary());
        }
        Ok(())
    })
}

/// Clients at once, and requests of each, one right after the other: the next has been read when the run time tells of
/// the one before.
const CLIENTS: usize = 4;
const REQUESTS: usize = 60;

/// A program that gives its requests identifiers of its own, as those that hand on `X-Request-Id` do. What no longer
/// says which request is meant leads to no other one.
#[test]
fn identifiers_of_the_program_mislead_nobody() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let scene = Scene::listening(start_on_each(|web| web.database(&database).variable("IDENTIFIERS", "own"))?, &[])?;
    for program in scene.programs() {
        std::thread::scope(|scope| {
            let client = |first: usize| {
                let mut connection = Connection::open(program.port())?;
                for id in first..first + REQUESTS {
                    connection.get(&format!("/one/{id}"), &[])?;
                }
                anyhow::Ok(())
            };
            let clients: Vec<_> =
                (0..CLIENTS).map(|number| scope.spawn(move || client(1 + number * REQUESTS))).collect();
            clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
        })?;
    }
    on_each(scene, |_, documents| {
        let mut joined = 0;
        for request in documents.requests() {
            let Some(id) = text(request, "url.path").strip_prefix("/one/") else { continue };
            for span in documents.spans_of(request) {
                let statement = text(span, "span.db.statement");
                ensure!(statement.ends_with(&format!("WHERE id = {id}")), "{statement} in {request}");
                joined += 1;
            }
        }
        ensure!(joined > 0, "no request was told apart: {}", documents.summary());
        Ok(())
    })
}
