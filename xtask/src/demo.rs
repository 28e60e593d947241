//! `cargo xtask demo`: a real service in front of a real database, watched from outside, on this machine.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    agent::Agent,
    http,
    postgres::Postgres,
    programs::{App, Program},
};

use crate::{debian, setup, shell, test};

/// What is asked of the service: two items, one that takes two queries, one that is not there, one that fails.
const REQUESTS: [(&str, u16); 6] =
    [("/item/1", 200), ("/item/2", 200), ("/two/3", 200), ("/nowhere", 404), ("/error", 500), ("/slow?ms=120", 200)];

/// Runs the demo.
///
/// # Errors
/// If something cannot be prepared, or nothing was seen.
pub fn run() -> Result<()> {
    ensure!(debian::is_root(), "the demo attaches to a process, so it needs root. Run it as root.");
    setup::run()?;
    test::build_agent()?;
    shell::say("starting PostgreSQL, and a Python service in front of it");
    let database = Postgres::start()?;
    let program = Program::start(App::PythonThreads, &database)?;
    shell::say(&format!("attaching: apm-agent run --pid {} --console", program.pid()));
    let color = if std::io::stdout().is_terminal() { "always" } else { "never" };
    let pid = program.pid().to_string();
    let agent = Agent::run(&["--pid", &pid, "--console", "--color", color].map(str::to_owned))?;
    for (path, expected) in REQUESTS {
        shell::say(&format!("GET {path}"));
        let status = http::get(program.port(), path).context("the service does not answer")?.status;
        ensure!(status == expected, "the service answered {status} to {path}, not {expected}");
    }
    shell::say("what the agent saw of the process, which knows nothing of it:");
    let ended = agent.stop()?;
    println!("{}", ended.console.trim_end());
    check(&ended.console, &ended.log)
}

fn check(console: &str, log: &str) -> Result<()> {
    let complete = console.contains("GET") && console.contains("SELECT");
    ensure!(complete, "the agent did not see the requests with their queries. It said:\n{log}");
    shell::say("seen: requests as transactions, their SQL statements as spans");
    Ok(())
}
