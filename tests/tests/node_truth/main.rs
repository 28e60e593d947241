//! Two Node.js services one behind the other, a hundred requests at a time, over pools, pipelines and TLS: every call is
//! below the request that made it, and every request below the call.
//!
//! `NODE_TRUTH_REQUESTS` says how many requests on each major; without it there are few, to keep the tests short. The
//! ignored test (`-- --include-ignored`) has the same done with Elastic's agent in the services.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use apm_tests::{
    agent::Agent,
    decoder::Decoder,
    documents::Documents,
    express,
    http::{self, Connection},
    mariadb::{self, MariaDb},
    node::{self, Libraries, Major},
    place,
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::Program,
    redis::{self, Redis},
    stats::Stats,
    tls::Certificate,
    turn::{self, Need, Turn},
    wait,
};
use tempfile::TempDir;

use self::judge::Truth;

mod elastic;
mod judge;

const NEEDS: &[Need] = &[
    Need::NodeMajors,
    Need::File(DEBIAN_FOLDER),
    Need::File(mariadb::PROGRAM),
    Need::Program(redis::PROGRAM),
    Need::Program("openssl"),
];

/// Majors before and since context costs nothing: two ways to carry it.
const MAJORS: [Major; 2] = [Major(20), Major(24)];

/// Connections at once. Half of them are older than the agent.
const CONNECTIONS: u32 = 100;

/// Requests on each major when nobody says how many; and most while one agent is there, for all its documents are kept.
const REQUESTS: u32 = 1000;
const MOST_AT_ONCE: u32 = 5000;

/// Ids from here on are of requests that do not count: they are under way while the agent comes.
const UNCOUNTED: u32 = 1_000_000;

/// Links of one `/fan`: four queries of PostgreSQL and three of MariaDB, a command, three calls, and three requests below
/// these.
const LINKS: u32 = 14;

/// Part of the links that must be there. On a quiet machine all are.
const RECALL: f64 = 0.98;

/// The services and what they ask.
struct Shop {
    front: Program,
    leaf: Program,
    _servers: (Postgres, MariaDb, Redis, Certificate),
}

impl Shop {
    /// With Elastic's agent in both services, which sends to this decoder, if there is one.
    fn open(major: Major, elastic: Option<&Decoder>) -> Result<Self> {
        let (postgres, maria, redis) = (Postgres::start()?, MariaDb::start()?, Redis::start()?);
        let certificate = Certificate::generate()?;
        let tls = http::free_port()?;
        let leaf = service(
            major,
            elastic,
            &[
                ("TLS_PORT", tls.to_string()),
                ("TLS_CERT", certificate.certificate().display().to_string()),
                ("TLS_KEY", certificate.key().display().to_string()),
            ],
        )?;
        wait::until("the service to listen on TLS", wait::PATIENCE, || http::is_open(tls).then_some(()))?;
        let front = service(
            major,
            elastic,
            &[
                ("DOWN_PORT", leaf.port().to_string()),
                ("DOWN_TLS_PORT", tls.to_string()),
                ("DATABASE_URL", format!("postgres://postgres@127.0.0.1:{}/postgres", postgres.port())),
                ("MYSQLPORT", maria.port().to_string()),
                ("REDISPORT", redis.port().to_string()),
            ],
        )?;
        Ok(Self { front, leaf, _servers: (postgres, maria, redis, certificate) })
    }

    fn watch(&self, file: &str) -> Result<Agent> {
        let mut words: Vec<String> = Vec::new();
        for pid in [&self.leaf, &self.front].map(Program::pid) {
            words.extend(["--pid".to_owned(), pid.to_string()]);
        }
        words.extend(["--file".to_owned(), file.to_owned()]);
        words.extend(["--file-rotate-size=1gb", "--span-compression-enabled=false"].map(str::to_owned));
        let agent = Agent::run(&words)?;
        express::listens(&agent, 2)?;
        Ok(agent)
    }
}

fn service(major: Major, elastic: Option<&Decoder>, variables: &[(&str, String)]) -> Result<Program> {
    let mut command = Command::new(major.program());
    if let Some(decoder) = elastic {
        node::with_elastic(&mut command, decoder);
        command.env("ELASTIC_APM_API_REQUEST_TIME", "1s").env("ELASTIC_APM_SPAN_COMPRESSION_ENABLED", "false");
    }
    command.arg(place::app("node/fan.js")).env("NODE_PATH", Libraries::Older.modules());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    Program::listening(&format!("Node.js {}", major.0), command)
}

/// Asks for these ids, all connections together, while an agent comes and is there. What it sent, and what it counted.
fn visit(shop: &Shop, first: u32, count: u32) -> Result<(Documents, Stats)> {
    let (folder, attached) = (TempDir::new()?, Arc::new(AtomicBool::new(false)));
    let file = folder.path().join("truth.ndjson");
    let port = shop.front.port();
    let stats = thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let attached = Arc::clone(&attached);
                scope.spawn(move || converse(port, number, ids(first, count, number), &attached))
            })
            .collect();
        let agent = shop.watch(&file.display().to_string());
        attached.store(true, Ordering::Relaxed);
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)?;
        anyhow::Ok(agent?.stop()?.stats)
    })?;
    // Decoded afterwards: the decoder would take the processors from what is watched.
    Ok((Decoder::start()?.decode(&file)?, stats))
}

/// Those of `count` ids from `first` on that one connection asks for.
fn ids(first: u32, count: u32, connection: u32) -> impl Iterator<Item = u32> {
    (first..first + count).filter(move |id| id % CONNECTIONS == connection)
}

fn converse(port: u16, number: u32, ids: impl Iterator<Item = u32>, attached: &AtomicBool) -> Result<()> {
    let mut connection = Connection::open(port)?;
    while !attached.load(Ordering::Relaxed) {
        ask(&mut connection, UNCOUNTED + number)?;
    }
    if number % 2 == 1 {
        connection = Connection::open(port)?;
    }
    ids.into_iter().try_for_each(|id| ask(&mut connection, id))
}

fn ask(connection: &mut Connection, id: u32) -> Result<()> {
    let answer = connection.get(&format!("/fan/{id}"), &[])?;
    ensure!(answer.status == 200 && answer.text() == format!("fan {id}"), "{answer:?}");
    Ok(())
}

#[test]
fn links_of_concurrent_requests_are_right() -> Result<()> {
    on_each_major(truth)
}

/// Does `check` with so many requests on each major, if the tests can run.
fn on_each_major(check: impl Fn(Major, u32) -> Result<()>) -> Result<()> {
    let wanted = std::env::var("NODE_TRUTH_REQUESTS").ok().map(|text| text.parse()).transpose()?;
    for major in MAJORS {
        if !turn::can_run(NEEDS) {
            return Ok(());
        }
        check(major, wanted.unwrap_or(REQUESTS)).with_context(|| format!("on Node.js {}", major.0))?;
    }
    Ok(())
}

fn truth(major: Major, requests: u32) -> Result<()> {
    let shop = Shop::open(major, None)?;
    let mut truth = Truth::default();
    for (first, count) in portions(requests) {
        // Others have their turn between two visits.
        let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
        let (documents, stats) = visit(&shop, first, count)?;
        let visit = Truth::of(&documents);
        ensure!(visit.wrong == 0, "{visit:?}, {:?}", stats.non_zero());
        truth.add(visit);
    }
    let recall = truth.recall(requests);
    let figures = truth.figures(&format!("Node.js {}", major.0), requests)?;
    ensure!(recall >= RECALL, "{figures}");
    ensure!(f64::from(truth.twice) <= f64::from(requests * LINKS) * (1.0 - RECALL), "{figures}");
    Ok(())
}

/// Ids in portions: the first of each, and how many.
fn portions(requests: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..requests).step_by(MOST_AT_ONCE as usize).map(move |first| (first, MOST_AT_ONCE.min(requests - first)))
}
