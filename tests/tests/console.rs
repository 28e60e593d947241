//! The console: a tree of each transaction with its spans, the default when no server is given.

use anyhow::{Context as _, Result, ensure};
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
    let (first, rest) = console.split_once("/two/8").context("the first request is shown")?;
    let (beneath, second) = rest.split_once("/error").context("the second request is shown after it")?;
    ensure!(!first.contains("SELECT") && second.contains("missing_table"), "{console}");
    for statement in ["SELECT FROM items", "UPDATE items"] {
        ensure!(beneath.contains(statement), "`{statement}` is not beneath its request:\n{console}");
    }
    // Not a terminal: no escape sequences.
    ensure!(!console.contains('\x1b'), "{console:?}");
    Ok(())
}
