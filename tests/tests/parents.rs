//! A call made on the thread that handles a request is that request's span.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use apm_tests::{
    documents::{number, text},
    http,
    links::Links,
    nginx::Nginx,
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::{App, Program},
    turn::{Need, Turn},
    watch::{Seen, Watch},
};

/// Clients that ask at the same time, and requests of each.
const CLIENTS: u32 = 8;
const EACH: u32 = 25;

#[test]
fn python_threads() -> Result<()> {
    linked(App::PythonThreads)
}

#[test]
fn gunicorn() -> Result<()> {
    linked(App::Gunicorn)
}

#[test]
fn c_threads_with_shared_connections() -> Result<()> {
    linked(App::C)
}

fn linked(app: App) -> Result<()> {
    let Some(seen) = concurrent_items(app)? else { return Ok(()) };
    let links = Links::of(&seen.documents);
    let expected = (CLIENTS * EACH) as usize;
    ensure!(links == Links { right: expected, wrong: 0, unlinked: 0 }, "{links:?} of {expected}");
    Ok(())
}

/// ASP.NET Core changes threads as it likes: without a bridge into it a link can be missing, but never wrong.
#[test]
fn dotnet_is_never_wrong() -> Result<()> {
    let Some(seen) = concurrent_items(App::Dotnet)? else { return Ok(()) };
    let links = Links::of(&seen.documents);
    ensure!(links.wrong == 0, "{links:?}");
    ensure!(links.right + links.unlinked == (CLIENTS * EACH) as usize, "{links:?}");
    Ok(())
}

fn concurrent_items(app: App) -> Result<Option<Seen>> {
    let Some(_turn) = Turn::take(&[app.needs(), &[Need::File(DEBIAN_FOLDER)]].concat()) else { return Ok(None) };
    let database = Postgres::start()?;
    let program = Program::start(app, &database)?;
    let watch = Watch::process(program.pid())?;
    let port = program.port();
    let client = |number: u32| -> Result<()> {
        for id in number * EACH + 1..=(number + 1) * EACH {
            ensure!(http::get(port, &format!("/item/{id}"))?.status == 200);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })?;
    Ok(Some(watch.finish()?))
}

#[test]
fn two_queries_and_a_failed_one() -> Result<()> {
    let Some(_turn) = Turn::take(App::PythonThreads.needs()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::PythonThreads, &database)?;
    let watch = Watch::process(program.pid())?;
    ensure!(http::get(program.port(), "/two/33")?.status == 200);
    ensure!(http::get(program.port(), "/error")?.status == 500);
    let documents = watch.finish()?.documents;
    let two = documents.request("/two/33")?;
    let statements: Vec<&str> = documents.spans_of(two).map(|span| text(span, "span.db.statement")).collect();
    let wanted =
        ["SELECT count(*) FROM items WHERE id <= 33", "UPDATE items SET name = name WHERE id = 33 RETURNING name"];
    ensure!(wanted.iter().all(|wanted| statements.contains(wanted)), "{statements:?}");
    for span in documents.spans_of(two) {
        ensure!(text(span, "parent.id") == text(two, "transaction.id"), "{span}");
        let (outer, inner) = (number(two, "timestamp.us"), number(span, "timestamp.us"));
        ensure!(inner >= outer, "a span starts before its transaction: {outer:?} {inner:?}");
    }
    let failed = documents.request("/error")?;
    let outcomes: Vec<&str> = documents
        .spans_of(failed)
        .filter(|span| text(span, "span.db.statement").contains("missing_table"))
        .map(|span| text(span, "event.outcome"))
        .collect();
    ensure!(outcomes == ["failure"], "{outcomes:?}");
    Ok(())
}

#[test]
fn outgoing_http_call_hangs_on_its_request() -> Result<()> {
    let needs = [App::PythonThreads.needs(), &[Need::Program("nginx")]].concat();
    let Some(_turn) = Turn::take(&needs) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::PythonThreads, &database)?;
    let upstream = Nginx::start()?;
    let watch = Watch::process(program.pid())?;
    let url = format!("http://127.0.0.1:{}/missing", upstream.port());
    ensure!(http::get(program.port(), &format!("/call?url={url}"))?.status == 404);
    let documents = watch.finish()?.documents;
    let request = documents.request("/call")?;
    let call = documents.spans_of(request).next().ok_or_else(|| anyhow!("no span: {}", documents.summary()))?;
    ensure!(text(call, "span.type") == "external" && text(call, "span.subtype") == "http", "{call}");
    ensure!(text(call, "url.original") == url && number(call, "http.response.status_code") == Some(404), "{call}");
    ensure!(text(call, "event.outcome") == "failure", "a client's 404 is a failure: {call}");
    ensure!(
        text(call, "span.name") == format!("GET 127.0.0.1:{}", upstream.port())
            || text(call, "span.name") == "GET 127.0.0.1",
        "{call}"
    );
    Ok(())
}

/// The wire alone shows a call of Go and Node; where it belongs only the run time knows. It is reported all the same.
#[test]
fn outgoing_http_call_of_go_and_node_is_reported() -> Result<()> {
    for app in [App::Go, App::Node] {
        let needs = [app.needs(), &[Need::Program("nginx"), Need::File(DEBIAN_FOLDER)]].concat();
        let Some(_turn) = Turn::take(&needs) else { continue };
        let database = Postgres::start()?;
        let program = Program::start(app, &database)?;
        let upstream = Nginx::start()?;
        let watch = Watch::process(program.pid())?;
        let url = format!("http://127.0.0.1:{}/", upstream.port());
        ensure!(http::get(program.port(), &format!("/call?url={url}"))?.status == 200);
        let documents = watch.finish()?.documents;
        documents.request("/call")?;
        let calls = documents.spans().filter(|span| text(span, "url.original") == url).count();
        ensure!(calls == 1, "{app:?}: {calls} spans: {}", documents.summary());
    }
    Ok(())
}
