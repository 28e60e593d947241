//! A Go program asked by many at once, with an id in each URL and in each statement: no link is wrong, and none is
//! missing where a context is passed. And the program notices nothing of probes that come and go.
//!
//! `GO_TRUTH_REQUESTS` and `GO_TRUTH_CONNECTIONS` say how many requests there are on how many connections, and
//! `GO_TRUTH_VISITS` how often probes come and go; without them it is less, to keep the tests short.

use std::{error::Error, io::Write as _, str::FromStr, thread, time::Duration};

use anyhow::{Result, anyhow, ensure};
use apm_tests::{
    go::{self, Build, Load},
    go_web::{self, Driver},
    http::Connection,
    links::Links,
    postgres::{DEBIAN_FOLDER, Postgres},
    turn::{Need, Turn},
};

const NEEDS: &[Need] = &[Need::Program("go"), Need::File(DEBIAN_FOLDER)];

/// Connections at once, and requests on all of them.
const CONNECTIONS: u32 = 96;
const REQUESTS: u32 = 5760;

/// Routes, each with the number of its statements that can be linked.
const ROUTES: [(&str, usize); 10] = [
    ("/item/", 1),
    ("/spawn/", 1),
    ("/pool/", 1),
    ("/group/", 3),
    // The driver prepares it first.
    ("/arguments/", 2),
    ("/direct/", 1),
    ("/transaction/", 2),
    ("/background/", 1),
    ("/lost/", 0),
    ("/late/", 0),
];

#[test]
fn links_of_concurrent_requests_are_right() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = go_web::start(Build::Fixed, Driver::Pq, &database)?;
    let watch = go::watch(&program, &["--max-queue-size", "200000"])?;
    let connections = wanted("GO_TRUTH_CONNECTIONS", CONNECTIONS)?;
    let each = wanted("GO_TRUTH_REQUESTS", REQUESTS)?.div_ceil(connections);
    let expected = ask(program.port(), connections, each)?;
    let seen = watch.finish()?;
    let links = Links::of(&seen.documents);
    let recall = links.recall(expected);
    // Past libtest's capture: recall is a figure to be read, not only a limit.
    writeln!(std::io::stderr(), "truth of Go: {links:?}, precision and recall of {expected}: {recall:.4}")?;
    ensure!(links.wrong == 0, "{} spans hang on the wrong transaction", links.wrong);
    ensure!(recall >= 0.999, "recall {recall:.4}: {:?}", seen.agent.stats.non_zero());
    Ok(())
}

/// The number in an environment variable.
fn wanted<T: FromStr<Err: Error + Send + Sync + 'static>>(variable: &str, usual: T) -> Result<T> {
    Ok(std::env::var(variable).ok().map(|text| text.parse()).transpose()?.unwrap_or(usual))
}

/// Each connection asks each route in turn, with ids of its own. Gives back how many statements can be linked.
fn ask(port: u16, connections: u32, each: u32) -> Result<usize> {
    let connections: Vec<Connection> = (0..connections).map(|_| Connection::open(port)).collect::<Result<_>>()?;
    thread::scope(|scope| {
        let mut clients = Vec::new();
        for (number, mut connection) in (0..).zip(connections) {
            clients.push(scope.spawn(move || -> Result<usize> {
                let mut linked = 0;
                for turn in 0..each {
                    let (route, statements) = ROUTES[((number + turn) as usize) % ROUTES.len()];
                    let answer = connection.get(&format!("{route}{}", number * each + turn + 1), &[])?;
                    ensure!(answer.status == 200, "{route}: {answer:?}");
                    linked += statements;
                }
                Ok(linked)
            }));
        }
        clients.into_iter().map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?).sum()
    })
}

/// Connections of the load while agents come and go, and the pause of each between two requests.
const CLIENTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn probes_come_and_go_under_load() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = go_web::start(Build::Fixed, Driver::Pq, &database)?;
    let visits = wanted("GO_TRUTH_VISITS", 10)?;
    go::come_and_go(&program, visits, Load { clients: CLIENTS, paths: &["/group/9"], pause: PAUSE, least: 101 })
}
