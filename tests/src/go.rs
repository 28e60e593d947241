//! Go programs of `tests/apps`: built as services are, stripped and without paths of this machine.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::{
    child::Child,
    http::{self, Connection},
    place,
    programs::Program,
    wait,
    watch::Watch,
};

/// How a program is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// At the address in the file.
    #[default]
    Fixed,
    /// At any address.
    Pie,
    /// With the race detector, which stops the program at the first race.
    Race,
    /// With Elastic's own agent in it.
    Elastic,
    /// By another version of Go, such as `go1.22.12`.
    Version(&'static str),
    /// By another version of Go, with the older libraries of the app's `old.mod`.
    Older(&'static str),
    /// With the newer libraries of the app's `new.mod`.
    Newer,
}

/// Builds a program of `tests/apps`.
///
/// # Errors
/// If it does not build.
pub fn compile(app: &str, build: Build) -> Result<PathBuf> {
    let (name, mode, version, source) = match build {
        Build::Fixed => (app.to_owned(), "exe", "local", "."),
        Build::Pie => (format!("{app}-pie"), "pie", "local", "."),
        Build::Race => (format!("{app}-race"), "exe", "local", "."),
        // Of the same name, which is that of its service.
        Build::Elastic => (format!("elastic/{app}"), "exe", "local", "."),
        // Go 1.19 does not find the package of a folder when another Go runs it.
        Build::Version(version) => (format!("{app}-{version}"), "exe", version, "main.go"),
        Build::Older(version) => (format!("{app}-older-{version}"), "exe", version, "main.go"),
        Build::Newer => (format!("{app}-newer"), "exe", "local", "."),
    };
    let program = place::build()?.join(name);
    program.parent().map_or(Ok(()), fs::create_dir_all)?;
    if is_built() && program.exists() {
        return Ok(program);
    }
    let mut command = Command::new("go");
    // The tag has go-sqlite3 take the machine's SQLite; to compile its own takes a minute.
    let tags = match build {
        Build::Elastic => "-tags=libsqlite3,elastic",
        Build::Newer => "-tags=libsqlite3,newer",
        _ => "-tags=libsqlite3",
    };
    let arguments = ["build", "-trimpath", tags, "-ldflags=-s -w", "-buildmode", mode];
    command.current_dir(place::app(app)).env("GOTOOLCHAIN", version).args(arguments);
    match build {
        Build::Race => _ = command.arg("-race").env("CGO_ENABLED", "1"),
        // `elastic.go`, and its modules.
        Build::Elastic => _ = command.arg("-modfile=elastic.mod"),
        Build::Older(_) => _ = command.arg("-modfile=old.mod"),
        Build::Newer => _ = command.arg("-modfile=new.mod"),
        Build::Fixed | Build::Pie | Build::Version(_) => {}
    }
    let mut child = Child::start("go build", command.arg("-o").arg(&program).arg(source))?;
    let status = child.wait_for_end(LONGEST_BUILD)?;
    ensure!(status.success(), "{} does not build:\n{}", program.display(), child.output());
    Ok(program)
}

/// All is built that will be run (`cargo xtask guest`): to build there takes minutes.
fn is_built() -> bool {
    std::env::var_os("APM_BUILT").is_some()
}

/// A build that takes longer hangs; one with cold caches takes minutes on a busy machine.
const LONGEST_BUILD: Duration = Duration::from_secs(900);

/// Watches a program, and waits until its probes are set.
///
/// # Errors
/// If agent or decoder do not start, or no probes are set.
pub fn watch(program: &Program, arguments: &[&str]) -> Result<Watch> {
    watch_all(&[program], arguments)
}

/// Watches programs, and waits until the probes of all are set.
///
/// # Errors
/// Like [`watch`].
pub fn watch_all(programs: &[&Program], arguments: &[&str]) -> Result<Watch> {
    let pids: Vec<String> = programs.iter().map(|program| format!("--pid={}", program.pid())).collect();
    let mut all = vec!["--span-compression-enabled=false"];
    all.extend(pids.iter().map(String::as_str).chain(arguments.iter().copied()));
    let mut watch = Watch::start(&all)?;
    let agent = watch.agent();
    let are_set = || agent.output().matches("Go's probes are set").count() >= programs.len();
    let all_are = wait::until("probes to be set", wait::PATIENCE, || are_set().then_some(()));
    all_are.with_context(|| agent.output())?;
    Ok(watch)
}

/// A version's tool chain is there, or can be fetched; says by name when it cannot.
pub fn has_version(app: &str, version: &str) -> bool {
    let output = Command::new("go").current_dir(place::app(app)).env("GOTOOLCHAIN", version).arg("version").output();
    let is_there = output.is_ok_and(|output| output.status.success()) && !is_built();
    if !is_there {
        let name = thread::current().name().unwrap_or("a test").to_owned();
        // Written past libtest's capture, so that nothing is skipped silently.
        let _ = writeln!(std::io::stderr(), "skipped: {name}: it needs Go's tool chain {version}");
    }
    is_there
}

/// Starts a program of `tests/apps` with a variable of its environment, and waits until it listens on the port it is
/// given in `PORT`.
///
/// # Errors
/// If it does not build or start.
pub fn start(app: &str, build: Build, (name, value): (&str, &str)) -> Result<Program> {
    let port = http::free_port()?;
    let mut command = Command::new(compile(app, build)?);
    command.env(name, value).env("PORT", port.to_string());
    let mut program = Program::run(app, &command, &[], port)?;
    program.wait_until_open()?;
    Ok(program)
}

/// What a program is asked while agents come and go.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Connections at once.
    pub clients: usize,
    /// Paths asked for on each, one after the other; all answer with 200.
    pub paths: &'a [&'a str],
    /// Pause between two requests.
    pub pause: Duration,
    /// Requests a connection must have been answered at least, or it was no load.
    pub least: usize,
}

/// Agents come and go so many times under load; half of them end in order, half are killed.
///
/// # Errors
/// If a request fails, or an agent.
pub fn come_and_go(program: &Program, turns: usize, load: Load<'_>) -> Result<()> {
    come_and_go_with(program, turns, load, &[])
}

/// The same of agents with these arguments.
///
/// # Errors
/// As there.
pub fn come_and_go_with(program: &Program, turns: usize, load: Load<'_>, arguments: &[&str]) -> Result<()> {
    let is_over = AtomicBool::new(false);
    let client = || -> Result<usize> {
        let mut connection = Connection::open(program.port())?;
        let mut answered = 0;
        for path in load.paths.iter().cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
            ensure!(connection.get(path, &[])?.status == 200, "{path}: an answer that is none");
            answered += 1;
            thread::sleep(load.pause);
        }
        Ok(answered)
    };
    let visit = |turn: usize| {
        let watch = watch(program, arguments)?;
        if turn.is_multiple_of(2) { watch.finish().map(|_| ()) } else { watch.kill() }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..load.clients).map(|_| scope.spawn(client)).collect();
        let came_and_went = (0..turns).try_for_each(visit);
        is_over.store(true, Ordering::Relaxed);
        for client in clients {
            let answered = client.join().map_err(|_| anyhow!("a client panicked"))??;
            ensure!(answered >= load.least, "{answered} requests are no load");
        }
        came_and_went
    })
}
