//! A Node.js process is the same with agents that come, go, die and crowd; and nothing of ours stays in it.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use apm_tests::{
    agent::Agent,
    child::Child,
    documents::text,
    express,
    http::{self, Connection},
    node::Major,
    place,
    postgres::{DEBIAN_FOLDER, Postgres},
    process,
    programs::Program,
    turn::{Need, Turn},
    wait,
    watch::Watch,
};
use rustix::process::Signal;

const NEEDS: &[Need] = &[Need::NodeMajors, Need::File(DEBIAN_FOLDER)];

/// Times an agent comes and goes when `NODE_HARM_VISITS` does not say; every fourth is killed.
const VISITS: u32 = 10;

/// Processes an agent comes into at once, of each major.
const OF_EACH: usize = 4;

/// Longest time until one of two agents has given up.
const QUARREL: Duration = Duration::from_secs(90);

/// Ways in which `endings.js` ends by an error.
const WAYS: [&str; 5] = ["timer", "rejection", "event", "handler", "exit"];

/// Workers of the cluster, and most requests until each has answered one.
const WORKERS: usize = 4;
const MOST: usize = 400;

/// Clients that ask all the time, and the pause of each between two requests.
const CLIENTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(10);

/// Longest time until everything is undone when the agent is gone.
const UNDONE: Duration = Duration::from_secs(5);

/// What a process has that an agent takes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// Ports it listens on, the inspector's among them.
    listening: usize,
    devices: usize,
    connections: usize,
}

impl Held {
    /// Now. Connections to the database are the program's own, those to clients come and go.
    fn by(program: &Program, database: &Postgres) -> Result<Self> {
        let pid = program.pid();
        let descriptors = process::descriptors(pid)?;
        let devices = descriptors.iter().filter(|(_, target)| target == "/dev/null").count();
        let output = Command::new("ss").args(["-Htanp"]).output().context("`ss` runs")?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let mark = format!("pid={pid},");
        let own: Vec<&str> = output.lines().filter(|line| line.contains(&mark)).collect();
        let foreign = |line: &&&str| {
            let ends = [format!(":{}", program.port()), format!(":{}", database.port())];
            !line.split_whitespace().skip(3).take(2).any(|end| ends.iter().any(|own| end.ends_with(own.as_str())))
        };
        let connections = own.iter().filter(|line| !line.starts_with("LISTEN")).filter(foreign).count();
        Ok(Self { listening: own.iter().filter(|line| line.starts_with("LISTEN")).count(), devices, connections })
    }

    /// How long it took until it was so again.
    fn again(&self, program: &Program, database: &Postgres, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        let same = wait::until("what was before", limit, || {
            Self::by(program, database).is_ok_and(|now| now == *self).then_some(())
        });
        same.with_context(|| format!("{self:?} before, now {:?}", Self::by(program, database)))?;
        Ok(start.elapsed())
    }
}

/// Asks all the time until `end`; every answer must be right. Gives back how many there were.
fn ask(port: u16, end: &AtomicBool, client: u32) -> Result<u64> {
    let mut connection = Connection::open(port)?;
    let mut count = 0;
    while !end.load(Ordering::Relaxed) {
        let id = u64::from(client) * 1_000_000 + count;
        let answer = connection.get(&format!("/item/{id}"), &[])?;
        ensure!(answer.status == 200 && answer.text() == format!("item {id}"), "{answer:?}");
        count += 1;
        thread::sleep(PAUSE);
    }
    Ok(count)
}

/// Does something while clients ask; no request fails.
fn under_load<T>(program: &Program, act: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    let end = AtomicBool::new(false);
    let (port, end_of) = (program.port(), &end);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask(port, end_of, client))).collect();
        let acted = act();
        end.store(true, Ordering::Relaxed);
        let mut answered = 0;
        for client in clients {
            answered += client.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        Ok((acted?, answered))
    })
}

fn say(text: &str) -> Result<()> {
    // Past libtest's capture: figures to be read.
    Ok(writeln!(std::io::stderr(), "node_harm: {text}")?)
}

fn attach(pid: u32) -> Result<Agent> {
    let agent = Agent::run(&["--pid".into(), pid.to_string(), "--console".into()])?;
    express::is_in(&agent, 1)?;
    Ok(agent)
}

fn is_of_the_inspector(line: &str) -> bool {
    line.starts_with("Debugger ") || line.starts_with("For help, see")
}

fn end(mut program: Program) -> Result<(String, String)> {
    program.child().signal(Signal::TERM)?;
    let status = program.child().wait_for_end(wait::PATIENCE)?.to_string();
    Ok((status, program.output()))
}

#[test]
fn agents_that_come_and_go_leave_nothing() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let visits = std::env::var("NODE_HARM_VISITS").ok().map(|text| text.parse()).transpose()?.unwrap_or(VISITS);
    let database = Postgres::start()?;
    let (expected, _) = end(express::start(Major(22), &database)?)?;
    let program = express::start(Major(22), &database)?;
    under_load(&program, || {
        thread::sleep(Duration::from_millis(500));
        Ok(())
    })?;
    let before = Held::by(&program, &database)?;
    let signals = process::signals(program.pid())?;
    let mut noticed = Duration::ZERO;
    let (_, answered) = under_load(&program, || {
        for visit in 0..visits {
            let agent = attach(program.pid())?;
            ensure!(Held::by(&program, &database)?.connections == before.connections + 1, "the lease");
            if visit % 4 == 3 {
                agent.kill()?;
                noticed = noticed.max(before.again(&program, &database, UNDONE).context("after kill -9")?);
            } else {
                agent.stop()?;
                before.again(&program, &database, UNDONE)?;
            }
        }
        Ok(())
    })?;
    say(&format!("{visits} agents, {answered} requests, none failed; a killed agent is noticed within {noticed:.0?}"))?;
    ensure!(process::signals(program.pid())? == signals, "its signals are as before");
    let (status, output) = end(program)?;
    ensure!(status == expected, "it ended with {status}, without agents with {expected}");
    let foreign = output.lines().find(|line| !is_of_the_inspector(line));
    ensure!(foreign.is_none(), "besides node's own notes on its inspector it wrote {foreign:?}");
    Ok(())
}

#[test]
fn twenty_processes_at_once() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let majors = Major::ALL.into_iter().flat_map(|major| [major; OF_EACH]);
    let programs = majors.map(|major| express::start(major, &database)).collect::<Result<Vec<_>>>()?;
    let before = programs.iter().map(|program| Held::by(program, &database)).collect::<Result<Vec<_>>>()?;
    let pids: Vec<String> = programs.iter().map(|program| program.pid().to_string()).collect();
    let arguments: Vec<&str> = pids.iter().flat_map(|pid| ["--pid", pid.as_str()]).collect();
    let mut watch = Watch::start(&arguments)?;
    express::listens(watch.agent(), programs.len())?;
    for program in &programs {
        ensure!(http::get(program.port(), "/item/1")?.status == 200);
    }
    let seen = watch.finish()?;
    for program in &programs {
        let of = seen.documents.of_process(program.pid());
        let name = text(of.request("/item/1")?, "transaction.name");
        ensure!(name == "GET /item/:id", "{}: {}\n{:?}", program.pid(), of.summary(), seen.agent.stats);
    }
    for (program, before) in programs.iter().zip(&before) {
        before.again(program, &database, UNDONE)?;
    }
    Ok(())
}

/// They take the script from each other until one gives up; the program notices neither, and nothing of them stays.
#[test]
fn two_agents_at_once() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = express::start(Major(24), &database)?;
    let before = Held::by(&program, &database)?;
    let (_, answered) = under_load(&program, || {
        let agents = [attach(program.pid())?, attach(program.pid())?];
        let gave_up = |agent: &Agent| agent.output().contains("does another agent remove it?");
        wait::until("one to give up", QUARREL, || agents.iter().any(gave_up).then_some(()))?;
        ensure!(!agents.iter().all(gave_up), "the other one stays");
        agents.into_iter().try_for_each(|agent| agent.stop().map(|_| ()))?;
        before.again(&program, &database, UNDONE)?;
        Ok(())
    })?;
    ensure!(answered > 0);
    Ok(())
}

#[test]
fn a_program_with_a_handler_of_its_own_is_left_alone() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let port = http::free_port()?;
    let script = format!(
        "process.on('SIGUSR1', () => console.log('signal'))\n\
         require('http').createServer((q, s) => s.end('hello')).listen({port}, '127.0.0.1')"
    );
    let child = Child::start("node", Command::new(Major(20).program()).args(["-e", &script]))?;
    wait::until("the server", wait::PATIENCE, || http::is_open(port).then_some(()))?;
    let mut watch = Watch::process(child.pid())?;
    watch.agent().wait_for_line("the program handles SIGUSR1 itself")?;
    ensure!(http::get(port, "/own")?.text() == "hello");
    let documents = watch.finish()?.documents;
    documents.request("/own").context("by the wire")?;
    ensure!(child.output().is_empty(), "{}", child.output());
    Ok(())
}

/// What each program ends with and prints, but for what node writes of its inspector.
fn endings(programs: Vec<Program>) -> Result<Vec<(String, String)>> {
    let ended = |(way, mut program): (&&str, Program)| {
        // No answer comes.
        let _ = http::get(program.port(), &format!("/{way}"));
        let status = program.child().wait_for_end(wait::PATIENCE)?.to_string();
        let output = program.output();
        let mut own: Vec<&str> = output.lines().filter(|line| !is_of_the_inspector(line)).collect();
        // Of two outputs, whichever was read first.
        own.sort_unstable();
        Ok((status, own.join("\n")))
    };
    WAYS.iter().zip(programs).map(ended).collect()
}

#[test]
fn programs_that_end_by_errors_end_as_they_would() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let start = |way: &&str| {
        let mut command = Command::new(Major(24).program());
        command.arg(place::app("node/endings.js"));
        Program::listening(way, command)
    };
    let programs = || WAYS.iter().map(start).collect::<Result<Vec<_>>>();
    let expected = endings(programs()?)?;
    ensure!(expected.iter().all(|(status, output)| status.contains("exit status") && output.contains("exit ")));
    let programs = programs()?;
    let pids: Vec<String> = programs.iter().map(|program| program.pid().to_string()).collect();
    let arguments: Vec<&str> = pids.iter().flat_map(|pid| ["--pid", pid.as_str()]).collect();
    let mut watch = Watch::start(&arguments)?;
    express::listens(watch.agent(), programs.len())?;
    let found = endings(programs)?;
    ensure!(found == expected, "{found:#?}\n{expected:#?}");
    let documents = watch.finish()?.documents;
    for way in WAYS {
        let message = format!("by {way}");
        let errors: Vec<_> = documents.errors().filter(|error| text(error, "message") == message).collect();
        let [error] = errors[..] else { anyhow::bail!("{way}: one error, not {errors:?}") };
        ensure!(!text(error, "trace.id").is_empty(), "it happened in a request: {error}");
    }
    Ok(())
}

#[test]
fn a_cluster_is_attached_to_worker_by_worker() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let port = http::free_port()?;
    let script = format!(
        "const cluster = require('cluster')\n\
         if (cluster.isPrimary) for (let i = 0; i < {WORKERS}; i++) cluster.fork()\n\
         else require('http').createServer((q, s) => s.end(String(process.pid))).listen({port}, '127.0.0.1')"
    );
    let folder = place::build()?;
    let file = folder.join("cluster.js");
    std::fs::write(&file, script)?;
    let cluster = Child::start("node", Command::new(Major(20).program()).arg(&file))?;
    let family = || process::family(cluster.pid());
    wait::until("the workers", wait::PATIENCE, || {
        (family().len() == 1 + WORKERS && http::is_open(port)).then_some(())
    })?;
    let mut watch = Watch::process(cluster.pid())?;
    express::listens(watch.agent(), 1 + WORKERS)?;
    let (mut answered, mut asked) = (BTreeSet::new(), 0);
    while answered.len() < WORKERS && asked < MOST {
        answered.insert(http::get(port, "/")?.text());
        asked += 1;
    }
    ensure!(answered.len() == WORKERS, "all workers answered: {answered:?}");
    // A worker that dies is replaced by nobody here; one that comes is attached to as the others were.
    let seen = watch.finish()?;
    ensure!(seen.documents.requests().count() == asked, "{}", seen.documents.summary());
    ensure!(seen.agent.stats.get("trace.requests.joined") == u64::try_from(asked)?, "{:?}", seen.agent.stats);
    Ok(())
}
