//! Hostile bytes, vanishing connections and dying targets: the agent lives, stays small and goes on reporting.

use anyhow::{Result, ensure};
use apm_tests::{
    agent::Agent,
    http::{self, Connection},
    nginx::Nginx,
    postgres::{DEBIAN_FOLDER, Postgres},
    process,
    programs::{App, Program},
    turn::{Need, Turn},
    wait,
    watch::Watch,
};
use rustix::process::Signal;

/// What the agent may use whatever happens, bytes.
const MEMORY: u64 = 60 << 20;

#[test]
fn garbage_and_broken_headers() -> Result<()> {
    let Some(_turn) = Turn::take(&[App::C.needs(), &[Need::File(DEBIAN_FOLDER), Need::Program("nginx")]].concat())
    else {
        return Ok(());
    };
    let database = Postgres::start()?;
    let program = Program::start(App::C, &database)?;
    let nginx = Nginx::start()?;
    let mut watch = Watch::start(&["--pid", &program.pid().to_string(), "--pid", &nginx.pid().to_string()])?;
    for port in [program.port(), nginx.port()] {
        for bytes in hostile_requests() {
            let mut connection = Connection::open(port)?;
            // The server may hang up before it has read everything, which is its right.
            let _ = connection.send(&bytes);
        }
    }
    ensure!(http::get(program.port(), "/item/77")?.status == 200);
    ensure!(http::get(nginx.port(), "/after")?.status == 404);
    let memory = process::resident_bytes(watch.agent().pid())?;
    ensure!(memory <= MEMORY, "the agent uses {memory} bytes");
    let documents = watch.finish()?.documents;
    documents.request("/item/77")?;
    documents.request("/after")?;
    Ok(())
}

/// What no client should send.
fn hostile_requests() -> Vec<Vec<u8>> {
    let head = |text: &str| format!("GET / HTTP/1.1\r\nHost: localhost\r\n{text}\r\n\r\n").into_bytes();
    let mut all = vec![
        head(&format!("X-Large: {}", "a".repeat(100_000))),
        head(&"X-Many: 1\r\n".repeat(5000)),
        head("Content-Length: -1"),
        head("Content-Length: 99999999999999999999999"),
        head("Content-Length: 5\r\nContent-Length: 6"),
        head("Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n"),
        head("Transfer-Encoding: chunked\r\n\r\n-5\r\nhello"),
        b"GET / HTTP/1.1\r\nHost".to_vec(),
        b"GET \r\n\r\n".to_vec(),
        b"\r\n\r\n\r\n\r\n".to_vec(),
        b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(),
        b"\xff\xff\xff\xff\0\x03\0\0user\0".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "%00".repeat(10_000)).into_bytes(),
    ];
    // A fixed sequence, so that a failure can be repeated.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for length in [1, 7, 64, 1000, 70_000] {
        all.push(std::iter::repeat_with(|| next(&mut state)).take(length).collect());
    }
    all
}

/// Marsaglia's xorshift64.
fn next(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as u8
}

#[test]
fn ten_thousand_connections_opened_and_dropped() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx")]) else { return Ok(()) };
    let nginx = Nginx::start()?;
    let mut watch = Watch::process(nginx.pid())?;
    for number in 0..10_000 {
        let mut connection = Connection::open(nginx.port())?;
        if number % 3 == 0 {
            connection.send(b"GET /never-finished HTTP/1.1\r\n")?;
        }
    }
    ensure!(http::get(nginx.port(), "/after")?.status == 404);
    let memory = process::resident_bytes(watch.agent().pid())?;
    ensure!(memory <= MEMORY, "the agent uses {memory} bytes");
    let documents = watch.finish()?.documents;
    documents.request("/after")?;
    ensure!(documents.request("/never-finished").is_err(), "an unfinished request is none");
    Ok(())
}

#[test]
fn target_that_dies_in_mid_request() -> Result<()> {
    let Some(_turn) = Turn::take(App::PythonThreads.needs()) else { return Ok(()) };
    let database = Postgres::start()?;
    let mut dying = Program::start(App::PythonThreads, &database)?;
    let living = Program::start(App::PythonThreads, &database)?;
    let mut watch = Watch::start(&["--pid", &dying.pid().to_string(), "--pid", &living.pid().to_string()])?;
    ensure!(http::get(dying.port(), "/item/1")?.status == 200);
    let mut waiting = Connection::open(dying.port())?;
    waiting.send(b"GET /slow?ms=60000 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    // Its answer shows that the other thread had time to read.
    ensure!(http::get(dying.port(), "/item/2")?.status == 200);
    dying.child().signal(Signal::KILL)?;
    dying.child().wait_for_end(wait::PATIENCE)?;
    ensure!(waiting.is_closed()?);
    ensure!(http::get(living.port(), "/item/3")?.status == 200);
    ensure!(watch.agent().is_running(), "{}", watch.agent().output());
    let documents = watch.finish()?.documents;
    for path in ["/item/1", "/item/2", "/item/3"] {
        documents.request(path)?;
    }
    Ok(())
}

#[test]
fn file_descriptors_used_again_are_other_connections() -> Result<()> {
    let Some(_turn) = Turn::take(&[App::C.needs(), &[Need::File(DEBIAN_FOLDER)]].concat()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::C, &database)?;
    let watch = Watch::process(program.pid())?;
    for id in 1..=200 {
        // Each leaves half a request behind on the number the next connection gets.
        let mut connection = Connection::open(program.port())?;
        ensure!(connection.get(&format!("/item/{id}"), &[])?.status == 200);
        connection.send(b"GET /half HTTP/1.1\r\nX: ")?;
    }
    let documents = watch.finish()?.documents;
    (1..=200).try_for_each(|id| documents.request(&format!("/item/{id}")).map(|_| ()))?;
    ensure!(documents.requests().count() == 200, "{}", documents.summary());
    Ok(())
}

#[test]
fn agent_without_anything_to_see_is_small() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx")]) else { return Ok(()) };
    let nginx = Nginx::start()?;
    let agent = Agent::run(&["--pid".to_owned(), nginx.pid().to_string(), "--console".to_owned()])?;
    let memory = process::resident_bytes(agent.pid())?;
    ensure!(memory <= MEMORY, "the agent uses {memory} bytes");
    agent.stop()?;
    Ok(())
}
