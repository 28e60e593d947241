//! Two Node.js services one behind the other, a hundred requests at a time, over pools, pipelines and TLS: every call is
//! below the request that made it, and every request below the call.
//!
//! `NODE_TRUTH_REQUESTS` says how many requests on each major; without it there are few, to keep the tests short.

use std::{
    collections::{HashMap, HashSet},
    io::Write as _,
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
    documents::{Documents, text},
    express,
    http::{self, Connection},
    mariadb::{self, MariaDb},
    node::{Libraries, Major},
    place,
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::Program,
    redis::{self, Redis},
    stats::Stats,
    tls::Certificate,
    turn::{self, Need, Turn},
    wait,
};
use serde_json::Value;
use tempfile::TempDir;

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
    fn open(major: Major) -> Result<Self> {
        let (postgres, maria, redis) = (Postgres::start()?, MariaDb::start()?, Redis::start()?);
        let certificate = Certificate::generate()?;
        let tls = http::free_port()?;
        let leaf = service(
            major,
            &[
                ("TLS_PORT", tls.to_string()),
                ("TLS_CERT", certificate.certificate().display().to_string()),
                ("TLS_KEY", certificate.key().display().to_string()),
            ],
        )?;
        wait::until("the service to listen on TLS", wait::PATIENCE, || http::is_open(tls).then_some(()))?;
        let front = service(
            major,
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

fn service(major: Major, variables: &[(&str, String)]) -> Result<Program> {
    let mut command = Command::new(major.program());
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
                let ids = (first..first + count).filter(move |id| id % CONNECTIONS == number);
                scope.spawn(move || converse(port, number, ids, &attached))
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

/// How documents hang together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Truth {
    /// Links that are right, by what is linked.
    right: HashMap<String, u32>,
    /// Spans below another request, and requests below another call.
    wrong: u32,
    /// Below nothing that was reported.
    unlinked: u32,
    /// Told a second time.
    twice: u32,
}

/// Place of a document.
type Key<'a> = (&'a str, &'a str);

impl Truth {
    /// Judges what is about counted ids.
    fn of(documents: &Documents) -> Self {
        let mut truth = Self::default();
        let served: HashMap<Key<'_>, &Value> = documents.requests().map(|found| (key(found), found)).collect();
        let made: HashMap<Key<'_>, &Value> =
            documents.spans().map(|span| ((text(span, "trace.id"), text(span, "span.id")), span)).collect();
        let mut seen = HashSet::new();
        for span in documents.spans() {
            let Some((what, id)) = subject(span).filter(|(_, id)| *id < UNCOUNTED) else { continue };
            truth.twice += u32::from(!seen.insert((what.clone(), id)));
            let request = served.get(&key(span)).map(|request| text(request, "url.path"));
            let below = text(span, "parent.id") == text(span, "transaction.id");
            truth.judge(what, request.map(|path| below && path == format!("/fan/{id}")));
        }
        for request in documents.requests() {
            let path = text(request, "url.path");
            let Some(("leaf", id)) = split(path).filter(|(_, id)| *id < UNCOUNTED) else { continue };
            let way = path.split('/').nth(2).unwrap_or_default();
            truth.twice += u32::from(!seen.insert((format!("request by {way}"), id)));
            let parent = made.get(&(text(request, "trace.id"), text(request, "parent.id")));
            truth.judge(format!("request by {way}"), parent.map(|call| text(call, "url.original").ends_with(path)));
        }
        truth
    }

    fn judge(&mut self, what: String, link: Option<bool>) {
        match link {
            Some(true) => *self.right.entry(what).or_default() += 1,
            Some(false) => self.wrong += 1,
            None => self.unlinked += 1,
        }
    }

    fn add(&mut self, other: Self) {
        for (what, count) in other.right {
            *self.right.entry(what).or_default() += count;
        }
        self.wrong += other.wrong;
        self.unlinked += other.unlinked;
        self.twice += other.twice;
    }

    fn found(&self) -> u32 {
        self.right.values().sum()
    }
}

fn key(document: &Value) -> Key<'_> {
    (text(document, "trace.id"), text(document, "transaction.id"))
}

/// `/fan/7` and `/leaf/http/7`
fn split(path: &str) -> Option<(&str, u32)> {
    let (rest, id) = path.rsplit_once('/')?;
    Some((rest.trim_start_matches('/').split('/').next()?, id.parse().ok()?))
}

/// What a span is and whose: the id stands in its statement, its URL, or the name of a Redis command.
fn subject(span: &Value) -> Option<(String, u32)> {
    let statement = text(span, "span.db.statement");
    let subtype = text(span, "span.subtype");
    if let Some((_, rest)) = statement.split_once("'id=") {
        let (id, column) = rest.split_once(".' AS ")?;
        return Some((format!("{subtype} {column}"), id.parse().ok()?));
    }
    if let Some((_, rest)) = text(span, "span.name").split_once("ID=") {
        return Some((subtype.to_owned(), rest.split('.').next()?.parse().ok()?));
    }
    let (_, path) = text(span, "url.original").split_once("/leaf/")?;
    let (way, id) = path.split_once('/')?;
    Some((format!("call by {way}"), id.parse().ok()?))
}

#[test]
fn links_of_concurrent_requests_are_right() -> Result<()> {
    let wanted = std::env::var("NODE_TRUTH_REQUESTS").ok().map(|text| text.parse()).transpose()?;
    let requests: u32 = wanted.unwrap_or(REQUESTS);
    for major in MAJORS {
        if !turn::can_run(NEEDS) {
            return Ok(());
        }
        truth(major, requests).with_context(|| format!("on Node.js {}", major.0))?;
    }
    Ok(())
}

fn truth(major: Major, requests: u32) -> Result<()> {
    let shop = Shop::open(major)?;
    let mut truth = Truth::default();
    let mut first = 0;
    while first < requests {
        // Others have their turn between two visits.
        let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
        let count = MOST_AT_ONCE.min(requests - first);
        let (documents, stats) = visit(&shop, first, count)?;
        let visit = Truth::of(&documents);
        ensure!(visit.wrong == 0, "{visit:?}, {:?}", stats.non_zero());
        truth.add(visit);
        first += count;
    }
    let recall = f64::from(truth.found()) / f64::from(requests * LINKS);
    // Past libtest's capture: these are figures to be read, not only limits.
    let figures = format!("Node.js {}, {requests} requests: recall {recall:.5}, {truth:?}", major.0);
    writeln!(std::io::stderr(), "node_truth: {figures}")?;
    ensure!(recall >= RECALL, "{figures}");
    ensure!(f64::from(truth.twice) <= f64::from(requests * LINKS) * (1.0 - RECALL), "{figures}");
    Ok(())
}
