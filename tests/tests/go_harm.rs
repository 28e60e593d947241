//! A Go program under stress notices nothing of probes: with the race detector, collections all the time, and stacks that
//! grow under the functions that are probed.

use std::time::Duration;

use anyhow::{Result, ensure};
use apm_tests::{
    documents::text,
    go::{self, Load},
    go_web, http,
    postgres::{DEBIAN_FOLDER, Postgres},
    turn::{Need, Turn},
};

const NEEDS: &[Need] = &[Need::Program("go"), Need::Program("gcc"), Need::File(DEBIAN_FOLDER)];

/// Connections of the load while agents come and go, and how often these do.
const CLIENTS: usize = 3;
const TURNS: usize = 8;

/// What is asked: stacks that grow, goroutines that end, calls with derived contexts, panics that are dealt with.
const PATHS: [&str; 4] = ["/deep/9", "/spawn/9", "/group/9", "/dealt-with/9"];

#[test]
fn a_program_under_stress_goes_on() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let mut program = go_web::start_under_stress(&database)?;
    let load = Load { clients: CLIENTS, paths: &PATHS, pause: Duration::ZERO, least: PATHS.len() };
    go::come_and_go(&program, TURNS, load)?;
    // What is told is right there, too. Where a mux finds its pattern such a build is another one: it has no route.
    let watch = go::watch(&program, &[])?;
    ensure!(http::get(program.port(), "/deep/77")?.status == 200);
    let documents = watch.finish()?.documents;
    let request = documents.request("/deep/77")?;
    let asked = documents.spans_of(request).filter(|span| text(span, "span.db.statement").ends_with(" 77")).count();
    ensure!(asked == 1, "{asked} statements: {}", documents.summary());
    ensure!(program.child().is_running(), "it has ended:\n{}", program.child().output());
    Ok(())
}
