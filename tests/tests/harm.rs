//! The target is the same with the agent attached, detached and killed under load; and nothing of ours stays.

use std::{thread, time::Duration};

use anyhow::{Result, anyhow, bail, ensure};
use apm_tests::{
    agent::Agent,
    http::{Answer, Connection},
    load::{self, Steady},
    nginx::Nginx,
    postgres::{DEBIAN_FOLDER, Postgres},
    process,
    programs::{App, Program},
    residue::{BPFTOOL, Residue},
    turn::{Need, Turn},
    wait,
    watch::Watch,
};
use rustix::process::Signal;

/// Rate and time of the load while the agent is killed: far from what the machine can do.
const RATE: f64 = 500.0;
const LOAD: Duration = Duration::from_secs(3);

#[test]
fn python_behaves_the_same() -> Result<()> {
    same_behaviour(App::PythonThreads)
}

#[test]
fn c_behaves_the_same() -> Result<()> {
    same_behaviour(App::C)
}

#[test]
fn node_behaves_the_same() -> Result<()> {
    same_behaviour(App::Node)
}

#[test]
fn go_behaves_the_same() -> Result<()> {
    same_behaviour(App::Go)
}

#[test]
fn dotnet_behaves_the_same() -> Result<()> {
    same_behaviour(App::Dotnet)
}

fn same_behaviour(app: App) -> Result<()> {
    let Some(_turn) = Turn::take(&[app.needs(), &[Need::File(DEBIAN_FOLDER)]].concat()) else { return Ok(()) };
    let database = Postgres::start()?;
    let bare = Program::start(app, &database)?;
    let expected_answers = conversation(bare.port())?;
    let expected_end = end(bare)?;
    let program = Program::start(app, &database)?;
    // Once unwatched, so that what the program opens lazily is open.
    ensure!(conversation(program.port())? == expected_answers);
    let expected = State::settled(&program)?;
    let watch = Watch::process(program.pid())?;
    ensure!(conversation(program.port())? == expected_answers, "other answers while attached");
    // A session on .NET's diagnostics port is a thread and a connection of the process, as long as it lasts
    // (`dotnet_harm`); the script in Node.js holds a connection and a descriptor of /dev/null (`node_harm`).
    if !matches!(app, App::Dotnet | App::Node) {
        expected.wait_for(&program, "attached")?;
    }
    watch.finish()?;
    ensure!(conversation(program.port())? == expected_answers, "other answers after the agent left");
    expected.wait_for(&program, "detached")?;
    kill_agent_under_load(&program)?;
    ensure!(conversation(program.port())? == expected_answers, "other answers after the agent was killed");
    expected.wait_for(&program, "agent killed")?;
    ensure!(end(program)? == expected_end, "another end than without the agent");
    Ok(())
}

fn kill_agent_under_load(program: &Program) -> Result<()> {
    let port = program.port();
    thread::scope(|scope| {
        let load = scope.spawn(move || {
            let keep_alive = true;
            Steady { port, path: "/item/9", connections: 4, keep_alive, per_second: RATE, duration: LOAD, core: None }
                .run()
        });
        let agent = Agent::run(&["--pid".to_owned(), program.pid().to_string(), "--console".to_owned()])?;
        agent.kill()?;
        let answered = load.join().map_err(|_| anyhow!("the load panicked"))??.requests;
        let sent = (RATE * LOAD.as_secs_f64()) as u64;
        ensure!(answered == sent, "{answered} answers of {sent} requests");
        Ok(())
    })
}

/// Answers to a fixed conversation, without what depends on the time of day.
fn conversation(port: u16) -> Result<Vec<Answer>> {
    let requests = [("GET", "/item/11"), ("HEAD", "/item/12"), ("GET", "/nowhere"), ("GET", "/error")];
    let mut answers = Vec::new();
    for (method, path) in requests {
        let mut answer = Connection::open(port)?.request(method, path, &[])?;
        answer.headers.retain(|(name, _)| name != "date");
        answers.push(answer);
    }
    Ok(answers)
}

/// How the program ends when asked to.
fn end(mut program: Program) -> Result<String> {
    program.child().signal(Signal::TERM)?;
    Ok(program.child().wait_for_end(wait::PATIENCE)?.to_string())
}

/// What a program has of the kernel.
#[derive(Debug, PartialEq, Eq)]
struct State {
    descriptors: Vec<String>,
    signals: Vec<String>,
    tracer: u32,
}

impl State {
    fn now(program: &Program) -> Result<Self> {
        let pid = program.pid();
        let descriptors = process::descriptors(pid)?.into_iter().map(|(_, target)| kind(&target)).collect::<Vec<_>>();
        Ok(Self { descriptors, signals: process::signals(pid)?, tracer: process::tracer(pid)? })
    }

    /// The state once the connections of a conversation that has just ended are closed on the program's side too.
    fn settled(program: &Program) -> Result<Self> {
        let mut last = Self::now(program)?;
        let mut equal = 0;
        wait::until("the target to settle", wait::PATIENCE, || {
            let now = Self::now(program).ok()?;
            equal = if now == last { equal + 1 } else { 0 };
            last = now;
            (equal > 40).then_some(())
        })?;
        Ok(last)
    }

    fn wait_for(&self, program: &Program, when: &str) -> Result<()> {
        let limit = Duration::from_secs(10);
        let same = wait::until("the same state", limit, || (Self::now(program).ok()? == *self).then_some(()));
        if same.is_ok() {
            return Ok(());
        }
        let now = Self::now(program)?;
        let (more, less) = (excess(&now.descriptors, &self.descriptors), excess(&self.descriptors, &now.descriptors));
        bail!(
            "{when}: descriptors more {more:?}, less {less:?}; signals {:?} → {:?}; tracer {}",
            self.signals,
            now.signals,
            now.tracer
        )
    }
}

/// Those of `all` that are not in `base`, each as often as it is more.
fn excess(all: &[String], base: &[String]) -> Vec<String> {
    let mut rest = base.to_vec();
    let is_more = |descriptor: &&String| match rest.iter().position(|other| other == *descriptor) {
        Some(position) => {
            rest.swap_remove(position);
            false
        }
        None => true,
    };
    all.iter().filter(is_more).cloned().collect()
}

/// `socket:[1234]` → `socket`: which socket it is does not matter, that it is one does.
fn kind(target: &str) -> String {
    target.split(":[").next().unwrap_or(target).to_owned()
}

#[test]
fn nothing_stays_in_the_kernel() -> Result<()> {
    let needs = [Need::Program("nginx"), Need::Program("wrk"), Need::File(BPFTOOL)];
    let Some(_turn) = Turn::take(&needs) else { return Ok(()) };
    let nginx = Nginx::start()?;
    let url = format!("http://127.0.0.1:{}/", nginx.port());
    let before = Residue::now()?;
    for killed in [false, true] {
        thread::scope(|scope| -> Result<()> {
            let load = scope.spawn(|| load::wrk(&[], 8, Duration::from_secs(2), &url));
            let agent = Agent::run(&["--pid".to_owned(), nginx.pid().to_string(), "--console".to_owned()])?;
            if killed {
                agent.kill()?
            } else {
                agent.stop().map(|_| ())?
            }
            load.join().map_err(|_| anyhow!("the load panicked"))??;
            Ok(())
        })?;
        // The kernel frees programs and maps a moment after their last holder is gone.
        let mut left = Vec::new();
        let clean = wait::until("the kernel to be clean", Duration::from_secs(10), || {
            left = Residue::now().ok()?.since(&before);
            left.is_empty().then_some(())
        });
        ensure!(clean.is_ok(), "left in the kernel (killed: {killed}): {left:?}");
    }
    Ok(())
}
