//! Three .NET services behind each other, 200 requests at a time: everything hangs where it belongs, whatever overlaps.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use apm_tests::{
    agent::Agent,
    decoder::Decoder,
    dotnet::{Framework, Web},
    fan::{LINKS, Truth},
    http::Connection,
    postgres::{DEBIAN_FOLDER, Postgres},
    process,
    programs::Program,
    turn::{Need, Turn},
    wait,
    watch::Seen,
};
use tempfile::TempDir;

/// Connections at once.
const CONNECTIONS: u32 = 200;

/// Requests that are not counted, for their answers are not read or they begin before the agent listens, have ids from
/// here on. PostgreSQL has items up to 20,480.
const UNCOUNTED: u32 = 15_000;

/// Part of the links that must be there. On a quiet machine all are; what two busy processors delay for seconds is given
/// up, and that happens in bursts.
const RECALL: f64 = 0.99;

/// Most memory the agent may take, bytes: what waits for its other half when all is late. 56 to 71 MiB were seen.
const MOST_MEMORY: u64 = 80 << 20;

/// Time from the agent's word that it listens to the first request that counts.
const SETTLED: Duration = Duration::from_secs(1);

/// Requests on each connection older than the agent before those that count: several must agree until it is known which
/// is which, and each session of the database pool has to be met.
const LEARNING: u32 = 12;

/// Requests answered before the agent does nothing for a while.
const WATCHED: u64 = 1000;

/// Stack of a client's thread, bytes.
const STACK: usize = 256 * 1024;

/// The services, the last first.
struct Shop {
    leaf: Program,
    middle: Program,
    front: Program,
    _database: Postgres,
}

/// What is sent, and how.
#[derive(Clone, Copy)]
struct Load {
    requests: u32,
    /// Header of a request, by its id.
    header: fn(u32) -> Option<String>,
    /// The agent does nothing while so many requests are answered, and the kernel has nowhere to put what it sees.
    unwatched: Option<u64>,
}

impl Shop {
    fn open(framework: Framework, more: &[(&str, &str)]) -> Result<Self> {
        let database = Postgres::start()?;
        let web = || more.iter().fold(Web::on(framework), |web, (name, value)| web.variable(name, *value));
        let leaf = web().variable("LOGGING", "none").start()?;
        let middle = web().variable("LOGGING", "none").downstream(&leaf).start()?;
        let front = web().variable("LOGGING", "none").database(&database).downstream(&middle).start()?;
        Ok(Self { leaf, middle, front, _database: database })
    }

    fn pids(&self) -> [u32; 3] {
        [&self.leaf, &self.middle, &self.front].map(Program::pid)
    }
}

/// Runs a load, half of it on connections that existed before the agent came, which comes while they are in use.
fn run(shop: &Shop, load: Load) -> Result<(Seen, u64)> {
    let port = shop.front.port();
    let attached = Arc::new(AtomicBool::new(false));
    let (memory, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut unwatched = load.unwatched;
    let folder = TempDir::new()?;
    let file = folder.path().join("truth.ndjson");
    thread::scope(|scope| {
        let mut clients = Vec::new();
        for number in 0..CONNECTIONS {
            let attached = Arc::clone(&attached);
            let answered = &answered;
            let client = move || converse(port, number, load, &attached, answered);
            clients.push(thread::Builder::new().stack_size(STACK).spawn_scoped(scope, client)?);
        }
        let watch = attach(shop, &file);
        // What it says of itself it says a moment before it hears the first message.
        thread::sleep(SETTLED);
        attached.store(true, Ordering::Relaxed);
        let watch = watch?;
        let deserters = scope.spawn(move || (0..200).try_for_each(|number| desert(port, UNCOUNTED + 4000 + number)));
        while clients.iter().any(|client| !client.is_finished()) {
            memory.fetch_max(process::resident_bytes(watch.pid())?, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(100));
            if let Some(requests) = unwatched.take_if(|_| answered.load(Ordering::Relaxed) > WATCHED) {
                let enough = || answered.load(Ordering::Relaxed) > WATCHED + requests;
                watch.pause_until("requests to be answered", || enough().then_some(()))?;
            }
        }
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)?;
        deserters.join().map_err(|_| anyhow!("the deserters panicked"))??;
        // Decoded afterwards: the decoder would take the processors from what is watched, and from the agent.
        let agent = watch.stop()?;
        let documents = Decoder::start()?.decode(&file)?;
        Ok((Seen { documents, agent }, memory.load(Ordering::Relaxed)))
    })
}

/// Waits until the agent listens to all services, and a moment more: it hears what they say with a delay.
fn attach(shop: &Shop, file: &Path) -> Result<Agent> {
    let pids = shop.pids().map(|pid| pid.to_string());
    let mut words: Vec<String> = pids.iter().flat_map(|pid| ["--pid".to_owned(), pid.clone()]).collect();
    words.extend(["--file".to_owned(), file.display().to_string(), "--file-rotate-size=1gb".to_owned()]);
    let agent = Agent::run(&words)?;
    let listens = || agent.output().matches("listening to .NET").count() == 3;
    wait::until("the agent to listen", wait::PATIENCE, || listens().then_some(()))?;
    Ok(agent)
}

/// One client: requests that do not count until the agent is there, if its connection is to be older than the agent;
/// then its share of those that do.
fn converse(port: u16, number: u32, load: Load, attached: &AtomicBool, answered: &AtomicU64) -> Result<()> {
    let mut connection = Connection::open(port)?;
    while !attached.load(Ordering::Relaxed) {
        ask(&mut connection, &[UNCOUNTED + 1 + number], load)?;
    }
    // The agent learns which request is which on a connection it meets late.
    for _ in 0..LEARNING {
        ask(&mut connection, &[UNCOUNTED + 1 + number], load)?;
    }
    if number % 2 == 1 {
        connection = Connection::open(port)?;
    }
    let each = load.requests / CONNECTIONS;
    let ids: Vec<u32> = (number * each + 1..=(number + 1) * each).collect();
    // A few clients send the next request before they have the answer to the last.
    ids.chunks(if number.is_multiple_of(50) { 5 } else { 1 }).try_for_each(|ids| {
        ask(&mut connection, ids, load)?;
        answered.fetch_add(ids.len() as u64, Ordering::Relaxed);
        Ok(())
    })
}

fn ask(connection: &mut Connection, ids: &[u32], load: Load) -> Result<()> {
    let mut requests = String::new();
    for id in ids {
        let header = (load.header)(*id).map(|header| header + "\r\n").unwrap_or_default();
        write!(requests, "GET /fan/{id} HTTP/1.1\r\nHost: shop\r\n{header}\r\n")?;
    }
    connection.send(requests.as_bytes())?;
    for id in ids {
        let answer = connection.read_answer(false).with_context(|| format!("no answer to /fan/{id}"))?;
        let expected = format!("item {id}, down {id}/1 of leaf {id}/1, down {id}/2 of leaf {id}/2");
        ensure!(answer.status == 200 && answer.text() == expected, "{answer:?}");
    }
    Ok(())
}

/// Sends a request and goes away.
fn desert(port: u16, id: u32) -> Result<()> {
    Connection::open(port)?.send(format!("GET /fan/{id} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes())?;
    thread::sleep(Duration::from_millis(5));
    Ok(())
}

fn truth(framework: Framework, more: &[(&str, &str)], load: Load, caller: fn(u32) -> Option<String>) -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Dotnet, Need::File(DEBIAN_FOLDER)]) else { return Ok(()) };
    let shop = Shop::open(framework, more)?;
    let start = Instant::now();
    let (seen, memory) = run(&shop, load)?;
    let counted = Truth::of(&seen.documents, |id| (1..=load.requests).contains(&id), caller);
    let others = Truth::of(&seen.documents, |id| id > UNCOUNTED, |id| if id > 19000 { None } else { caller(id) });
    let requests = load.requests as usize;
    let (precision, recall) = (counted.precision(), counted.recall(requests));
    // Past libtest's capture: these are figures to be read, not only limits.
    writeln!(
        std::io::stderr(),
        "{framework:?}, {} requests in {:.0?}: precision {precision:.5}, recall {recall:.5}, {counted:?}; others \
         {others:?}; the agent's memory {} MiB, kernel events lost {}",
        load.requests,
        start.elapsed(),
        memory >> 20,
        seen.agent.stats.get("kernel.events.lost")
    )?;
    let losses = seen.agent.stats.non_zero();
    writeln!(std::io::stderr(), "{losses:?}")?;
    ensure!(counted.wrong == 0, "{} links are wrong", counted.wrong);
    if load.unwatched.is_some() {
        ensure!(seen.agent.stats.get("kernel.events.lost") > 0, "nothing was lost");
        return Ok(());
    }
    // A machine that keeps the agent from its processor loses events, which are counted: each takes two links at most.
    let counted_as_lost = 2 * seen.agent.stats.get("kernel.events.lost") as usize;
    let missing = counted.missing(requests).saturating_sub(counted_as_lost);
    let bound = ((1.0 - RECALL) * (requests * LINKS) as f64) as usize;
    ensure!(missing <= bound, "{missing} links are missing and not counted, recall {recall:.5}");
    ensure!(memory <= MOST_MEMORY, "the agent took {memory} bytes");
    Ok(())
}

#[test]
fn ten_thousand_requests() -> Result<()> {
    truth(Framework::Net10, &[], Load { requests: 10_000, header: |_| None, unwatched: None }, |_| None)
}

#[test]
fn a_thousand_requests_of_net8() -> Result<()> {
    truth(Framework::Net8, &[], Load { requests: 1000, header: |_| None, unwatched: None }, |_| None)
}

/// A caller that fans out: all requests share a trace, many of them share a parent.
#[test]
fn one_trace_of_many_requests() -> Result<()> {
    let header = |id| Some(format!("traceparent: 00-0af7651916cd43dd8448eb211c80319c-{}-01", sender(id)?));
    truth(Framework::Net10, &[], Load { requests: 1000, header, unwatched: None }, sender)
}

/// What the kernel could not pass on is missing; what is left is right.
#[test]
fn events_lost_make_no_wrong_link() -> Result<()> {
    // The kernel's buffer holds what 2,200 requests say.
    let unwatched = Some(4000);
    truth(Framework::Net10, &[], Load { requests: 8000, header: |_| None, unwatched }, |_| None)
}

fn sender(id: u32) -> Option<String> {
    Some(format!("{:016x}", 1 + id % 50))
}
