//! Requests to real servers become transactions with the right method, URL, status, result and outcome.

use anyhow::{Result, ensure};
use apm_tests::{
    documents::{Documents, number, text},
    http::Connection,
    nginx::Nginx,
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::{App, Program},
    turn::{Need, Turn},
    watch::Watch,
};

#[test]
fn python_threads() -> Result<()> {
    serves(App::PythonThreads)
}

#[test]
fn gunicorn() -> Result<()> {
    serves(App::Gunicorn)
}

#[test]
fn c_threads() -> Result<()> {
    serves(App::C)
}

#[test]
fn go() -> Result<()> {
    serves(App::Go)
}

#[test]
fn node() -> Result<()> {
    serves(App::Node)
}

#[test]
fn dotnet() -> Result<()> {
    serves(App::Dotnet)
}

/// What a request is and what must be said of it.
struct Expected {
    method: &'static str,
    path: &'static str,
    status: u16,
}

const COMMON: [Expected; 4] = [
    Expected { method: "GET", path: "/item/102", status: 200 },
    Expected { method: "HEAD", path: "/item/103", status: 200 },
    Expected { method: "GET", path: "/nowhere", status: 404 },
    Expected { method: "GET", path: "/error", status: 500 },
];

fn serves(app: App) -> Result<()> {
    let Some(_turn) = Turn::take(&[app.needs(), &[Need::File(DEBIAN_FOLDER)]].concat()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(app, &database)?;
    let mut early = Connection::open(program.port())?;
    if app.keeps_alive() {
        early.get("/item/100", &[])?;
    }
    let watch = Watch::process(program.pid())?;
    // Connected before the agent came; what it said then is not known, what it says now is.
    ensure!(early.get("/item/101", &[])?.status == 200);
    let mut connection = Connection::open(program.port())?;
    for expected in &COMMON {
        if !app.keeps_alive() {
            connection = Connection::open(program.port())?;
        }
        let answer = connection.request(expected.method, expected.path, &[])?;
        ensure!(answer.status == expected.status, "{} answers {answer:?}", expected.path);
    }
    if app != App::C {
        ensure!(Connection::open(program.port())?.get("/chunked?a=b", &["User-Agent: tests"])?.status == 200);
    }
    let documents = watch.finish()?.documents;
    ensure!(documents.requests().all(|found| text(found, "url.path") != "/item/100"), "seen before it was watched");
    check(&documents, &Expected { method: "GET", path: "/item/101", status: 200 })?;
    COMMON.iter().try_for_each(|expected| check(&documents, expected))?;
    if app != App::C {
        check(&documents, &Expected { method: "GET", path: "/chunked", status: 200 })?;
        let chunked = documents.request("/chunked")?;
        ensure!(text(chunked, "url.query") == "a=b" && text(chunked, "user_agent.original") == "tests", "{chunked}");
    }
    Ok(())
}

fn check(documents: &Documents, expected: &Expected) -> Result<()> {
    let found = documents.request(expected.path)?;
    let class = expected.status / 100;
    ensure!(text(found, "http.request.method") == expected.method, "{found}");
    ensure!(number(found, "http.response.status_code") == Some(expected.status.into()), "{found}");
    ensure!(text(found, "transaction.result") == format!("HTTP {class}xx"), "{found}");
    ensure!(text(found, "event.outcome") == if class == 5 { "failure" } else { "success" }, "{found}");
    ensure!(text(found, "http.version") == "1.1" && text(found, "url.scheme") == "http", "{found}");
    ensure!(!text(found, "service.name").is_empty() && !text(found, "transaction.name").is_empty(), "{found}");
    ensure!(number(found, "event.duration").is_some_and(|nanos| nanos < 30_000_000_000), "{found}");
    Ok(())
}

#[test]
fn pipelined_requests_are_all_seen() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx")]) else { return Ok(()) };
    let nginx = Nginx::start()?;
    let watch = Watch::process(nginx.pid())?;
    let mut connection = Connection::open(nginx.port())?;
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.send([one("/"), one("/missing"), one("/status")].concat().as_bytes())?;
    let statuses = [connection.read_answer(false)?.status, connection.read_answer(false)?.status];
    ensure!(statuses == [200, 404] && connection.read_answer(false)?.status == 200);
    let documents = watch.finish()?.documents;
    for (path, status) in [("/", 200), ("/missing", 404), ("/status", 200)] {
        check(&documents, &Expected { method: "GET", path, status })?;
    }
    Ok(())
}

#[test]
fn request_split_over_many_packets_is_one() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx")]) else { return Ok(()) };
    let nginx = Nginx::start()?;
    let watch = Watch::process(nginx.pid())?;
    let mut connection = Connection::open(nginx.port())?;
    let filler = "x".repeat(6000);
    let request = format!("GET /?split HTTP/1.1\r\nHost: localhost\r\nX-Filler: {filler}\r\n\r\n");
    for part in request.as_bytes().chunks(997) {
        connection.send(part)?;
    }
    ensure!(connection.read_answer(false)?.status == 200);
    let documents = watch.finish()?.documents;
    check(&documents, &Expected { method: "GET", path: "/", status: 200 })
}

#[test]
fn request_the_client_gives_up_is_reported_once() -> Result<()> {
    let Some(_turn) = Turn::take(App::PythonThreads.needs()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::PythonThreads, &database)?;
    let watch = Watch::process(program.pid())?;
    let mut impatient = Connection::open(program.port())?;
    impatient.send(b"GET /slow?ms=300 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    drop(impatient);
    let mut unfinished = Connection::open(program.port())?;
    unfinished.send(b"GET /half-a-request HTTP/1.1\r\nHost:")?;
    drop(unfinished);
    // Longer than the other, so that its answer was tried before we look.
    ensure!(Connection::open(program.port())?.get("/slow/after?ms=600", &[])?.status == 200);
    let documents = watch.finish()?.documents;
    documents.request("/slow")?;
    documents.request("/slow/after")?;
    ensure!(documents.request("/half-a-request").is_err(), "half a request is none");
    Ok(())
}
