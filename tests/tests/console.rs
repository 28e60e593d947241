//! The console: a tree of each transaction with its spans, the default when no server is given.

use anyhow::{Result, ensure};
use apm_tests::{
    agent::Agent,
    http,
    postgres::Postgres,
    programs::{App, Program},
    turn::Turn,
};

#[test]
fn tree_shows_transactions_with_their_spans() -> Result<()> {
    let Some(_turn) = Turn::take(App::PythonThreads.needs()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::PythonThreads, &database)?;
    let agent = Agent::run(&["--pid".to_owned(), program.pid().to_string()])?;
    ensure!(http::get(program.port(), "/two/8")?.status == 200);
    ensure!(http::get(program.port(), "/error")?.status == 500);
    let console = agent.stop()?.console;
    let position = |word: &str| console.lines().position(|line| line.contains(word));
    let (first, second) = (position("/two/8"), position("/error"));
    ensure!(first.is_some() && second.is_some(), "both requests are shown:\n{console}");
    let lines: Vec<&str> = console.lines().collect();
    let beneath = lines.get(first.unwrap_or(0) + 1..).unwrap_or_default();
    ensure!(beneath.iter().take(2).all(|line| line.contains("SELECT")), "two spans beneath the first:\n{console}");
    // Not a terminal: no escape sequences.
    ensure!(!console.contains('\x1b'), "{console:?}");
    Ok(())
}
