//! 500 connections at once, an id in each URL and each statement, a pool of 16 database connections shared by all
//! threads: every link must be right.

use std::{io::Write as _, thread};

use anyhow::{Result, anyhow, ensure};
use apm_tests::{
    agent::Agent,
    decoder::Decoder,
    http::Connection,
    links::Links,
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::{App, Program},
    turn::{Need, Turn},
};

const CONNECTIONS: u32 = 500;
const EACH: u32 = 20;

/// Stack of a client's thread, bytes.
const STACK: usize = 256 * 1024;

#[test]
fn links_of_500_concurrent_connections_are_right() -> Result<()> {
    let Some(_turn) = Turn::take(&[App::C.needs(), &[Need::File(DEBIAN_FOLDER)]].concat()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::C, &database)?;
    let decoder = Decoder::start()?;
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("truth.ndjson");
    let words = ["--pid", &program.pid().to_string(), "--file", &file.display().to_string()].map(str::to_owned);
    let agent = Agent::run(&words)?;
    ask(program.port())?;
    agent.stop()?;
    let links = Links::of(&decoder.decode(&file)?);
    let expected = (CONNECTIONS * EACH) as usize;
    let recall = links.recall(expected);
    // Past libtest's capture: recall is a figure to be read, not only a limit.
    writeln!(std::io::stderr(), "truth: {links:?} of {expected}, precision and recall: {recall:.4}")?;
    ensure!(links.wrong == 0, "{} spans hang on the wrong transaction", links.wrong);
    ensure!(recall >= 0.99, "recall {recall:.4}");
    Ok(())
}

/// All connections are opened first and stay open; then each asks for its own ids.
fn ask(port: u16) -> Result<()> {
    let connections: Vec<Connection> = (0..CONNECTIONS).map(|_| Connection::open(port)).collect::<Result<_>>()?;
    thread::scope(|scope| {
        let mut clients = Vec::new();
        for (number, mut connection) in (0..).zip(connections) {
            let client = move || -> Result<()> {
                for id in number * EACH + 1..=(number + 1) * EACH {
                    let answer = connection.get(&format!("/item/{id}"), &[])?;
                    ensure!(answer.text() == format!("item {id}"), "{answer:?}");
                }
                Ok(())
            };
            clients.push(thread::Builder::new().stack_size(STACK).spawn_scoped(scope, client)?);
        }
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}
