//! A .NET process is the same with agents that come, go, die and crowd; and no session stays in it.

use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use apm_tests::{
    agent::Agent,
    dotnet::{Framework, Web, diagnostics},
    http::{self, Connection},
    process,
    programs::Program,
    turn::{Need, Turn},
    wait,
    watch::Watch,
};
use rustix::process::Signal;

/// Times an agent comes and goes; every fourth is killed.
const VISITS: u32 = 20;

/// Clients that ask all the time.
const CLIENTS: u32 = 4;

/// Pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// Longest time until a process that serves has noticed that the agent is gone.
const NOTICED: Duration = Duration::from_secs(5);

/// Most memory that may stay, bytes. A session's buffers are freed with it, so nothing should; what twenty sessions that
/// leaked would keep, at 2 MiB each and more, is above that. The collected heap is kept small by a setting.
const MOST_MEMORY_LEFT: u64 = 32 << 20;

fn start(framework: Framework) -> Result<Program> {
    // 96 MiB: what is left to the collector does not hide what sessions keep.
    Web::on(framework).variable("LOGGING", "none").variable("DOTNET_GCHeapHardLimit", "0x6000000").start()
}

fn attach(arguments: &[&str], listened: usize) -> Result<Agent> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let agent = Agent::run(&arguments)?;
    let listens = || agent.output().matches("listening to .NET").count() >= listened;
    wait::until("the agent to listen", wait::PATIENCE, || listens().then_some(())).with_context(|| agent.output())?;
    Ok(agent)
}

/// What a process has that a session takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sessions {
    threads: usize,
    connections: usize,
}

const NONE: Sessions = Sessions { threads: 0, connections: 0 };

fn sessions(program: &Program) -> Result<Sessions> {
    let pid = program.pid();
    Ok(Sessions { threads: diagnostics::session_threads(pid)?, connections: diagnostics::connections(pid)? })
}

/// How long it took until no session was left.
fn gone(program: &Program, limit: Duration) -> Result<Duration> {
    let start = Instant::now();
    let none = wait::until("no session", limit, || (sessions(program).ok()? == NONE).then_some(()));
    none.with_context(|| format!("{:?}", sessions(program)))?;
    Ok(start.elapsed())
}

/// Asks all the time until `end`; every answer must be right. Gives back how many there were.
fn ask(port: u16, end: &AtomicBool) -> Result<u64> {
    let mut connection = Connection::open(port)?;
    let mut count = 0;
    while !end.load(Ordering::Relaxed) {
        let answer = connection.get("/hello", &[])?;
        ensure!(answer.status == 200 && answer.text() == "hello", "{answer:?}");
        count += 1;
        thread::sleep(PAUSE);
    }
    Ok(count)
}

/// Does something while clients ask; no request fails.
fn under_load<T>(program: &Program, act: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    let end = AtomicBool::new(false);
    let port = program.port();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask(port, &end))).collect();
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
    Ok(writeln!(std::io::stderr(), "dotnet_harm: {text}")?)
}

#[test]
fn twenty_agents_leave_nothing() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Dotnet]) else { return Ok(()) };
    let program = start(Framework::Net10)?;
    let pid = program.pid();
    let pid_text = pid.to_string();
    // Once before, so that what is there from the first session on is there.
    under_load(&program, || attach(&["--pid", &pid_text, "--console"], 1)?.stop())?;
    gone(&program, NOTICED)?;
    let (before, threads) = (process::resident_bytes(pid)?, thread_count(pid)?);
    let descriptors = process::descriptors(pid)?.len();
    let mut noticed = Duration::ZERO;
    let (_, answered) = under_load(&program, || {
        for visit in 0..VISITS {
            let agent = attach(&["--pid", &pid_text, "--console"], 1)?;
            wait::until("a session", wait::PATIENCE, || (sessions(&program).ok()?.threads > 0).then_some(()))?;
            if visit % 4 == 3 {
                agent.kill()?;
                noticed = noticed.max(gone(&program, NOTICED).context("after kill -9")?);
            } else {
                agent.stop()?;
                gone(&program, NOTICED)?;
            }
        }
        Ok(())
    })?;
    wait::until("the descriptors of before", wait::PATIENCE, || {
        (process::descriptors(pid).ok()?.len() <= descriptors).then_some(())
    })
    .with_context(|| format!("{descriptors} before, now {:?}", process::descriptors(pid)))?;
    let after = process::resident_bytes(pid)?;
    say(&format!(
        "{VISITS} agents, {answered} requests; memory {} → {} MiB, threads {threads} → {}, descriptors {descriptors}; \
         a killed agent is noticed within {noticed:.0?}",
        before >> 20,
        after >> 20,
        thread_count(pid)?
    ))?;
    ensure!(after <= before + MOST_MEMORY_LEFT, "memory {before} → {after}");
    // Its pool of threads may grow and shrink by itself.
    ensure!(thread_count(pid)? <= threads + 4, "threads {threads} → {}", thread_count(pid)?);
    let places = diagnostics::places(pid)?;
    ensure!(places == diagnostics::PLACES, "only {places} sessions are possible");
    gone(&program, NOTICED)?;
    Ok(())
}

fn thread_count(pid: u32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/task"))?.count())
}

#[test]
fn an_idle_process_lets_go_of_a_killed_agent() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Dotnet]) else { return Ok(()) };
    for framework in Framework::ALL {
        let program = start(framework)?;
        http::get(program.port(), "/hello")?;
        let agent = attach(&["--pid", &program.pid().to_string(), "--console"], 1)?;
        http::get(program.port(), "/hello")?;
        agent.kill()?;
        let idle = gone(&program, Duration::from_secs(12));
        let left = idle.as_ref().map_or_else(|_| "not while it is idle".to_owned(), |time| format!("in {time:.1?}"));
        let start = Instant::now();
        http::get(program.port(), "/hello")?;
        gone(&program, NOTICED)?;
        let then = start.elapsed();
        say(&format!("{framework:?}: the session of a killed agent ends {left}; after a request, in {then:.1?}"))?;
    }
    Ok(())
}

#[test]
fn a_stopped_process_does_not_hold_up_others() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Dotnet]) else { return Ok(()) };
    let (mut stopped, other) = (start(Framework::Net10)?, start(Framework::Net10)?);
    stopped.child().signal(Signal::STOP)?;
    let mut watch = Watch::start(&["--pid", &stopped.pid().to_string(), "--pid", &other.pid().to_string()])?;
    watch.agent().wait_for_line("listening to .NET")?;
    http::get(other.port(), "/hello")?;
    watch.agent().wait_for_line("the run time is not listened to")?;
    stopped.child().signal(Signal::CONT)?;
    // What was asked for before it went on, by somebody who has hung up since, must not stay.
    http::get(stopped.port(), "/hello")?;
    gone(&stopped, wait::PATIENCE)?;
    let seen = watch.finish()?;
    ensure!(seen.documents.requests().count() == 2, "{}", seen.documents.summary());
    ensure!(seen.agent.stats.get("trace.requests.joined") == 1, "{:?}", seen.agent.stats);
    gone(&other, NOTICED)?;
    Ok(())
}

#[test]
fn two_agents_share_a_process() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Dotnet]) else { return Ok(()) };
    let program = start(Framework::Net10)?;
    let pid = program.pid().to_string();
    let mut watches = [Watch::process(program.pid())?, Watch::start(&["--pid", &pid])?];
    for watch in &mut watches {
        watch.agent().wait_for_line("listening to .NET")?;
    }
    wait::until("two sessions", wait::PATIENCE, || (sessions(&program).ok()?.threads == 2).then_some(()))?;
    for _ in 0..10 {
        ensure!(http::get(program.port(), "/hello")?.text() == "hello");
    }
    // The first agent's end takes nothing from the second.
    for watch in watches {
        let seen = watch.finish()?;
        ensure!(seen.documents.requests().count() == 10, "{}", seen.documents.summary());
        ensure!(seen.agent.stats.get("trace.requests.joined") == 10, "{:?}", seen.agent.stats);
    }
    gone(&program, NOTICED)?;
    Ok(())
}

#[test]
fn a_process_that_is_killed_ends_its_session() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Dotnet]) else { return Ok(()) };
    let (mut killed, other) = (start(Framework::Net10)?, start(Framework::Net10)?);
    let mut watch = Watch::start(&["--pid", &killed.pid().to_string(), "--pid", &other.pid().to_string()])?;
    let agent = watch.agent();
    wait::until("both", wait::PATIENCE, || (agent.output().matches("listening to .NET").count() == 2).then_some(()))?;
    http::get(killed.port(), "/hello")?;
    killed.child().signal(Signal::KILL)?;
    say(&watch.agent().wait_for_line("has ended")?)?;
    http::get(other.port(), "/hello")?;
    let seen = watch.finish()?;
    ensure!(seen.documents.requests().count() == 2, "{}", seen.documents.summary());
    ensure!(seen.agent.stats.get("bridge.broken") == 0, "{:?}", seen.agent.stats);
    Ok(())
}
