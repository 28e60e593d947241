//! Programs that do not let themselves be listened to, or shall not be: the wire goes on alone, and says nothing that
//! is not certain.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use apm_tests::{
    documents::{Documents, text},
    dotnet::{Web, scene::Scene},
    http,
    links::Links,
    postgres::Postgres,
    programs::Program,
    turn::Turn,
    wait,
};
use serde_json::json;

use super::{NEEDS, expect, on_each, start_on_each};

const CLIENTS: u32 = 4;
const EACH: u32 = 10;

/// Several clients at once, so that a link made by chance would show.
fn ask_items(program: &Program) -> Result<()> {
    let client = |number: u32| -> Result<()> {
        for id in number * EACH + 1..=(number + 1) * EACH {
            ensure!(http::get(program.port(), &format!("/items/{id}"))?.status == 200);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

/// What the wire shows is there, each request and each query once.
fn check(documents: &Documents) -> Result<()> {
    let expected = (CLIENTS * EACH) as usize;
    ensure!(documents.requests().count() == expected, "{}", documents.summary());
    for request in documents.requests() {
        expect(
            request,
            &json!({"transaction.name": "GET unknown route", "transaction.result": "HTTP 2xx",
            "event.outcome": "success", "agent.name": "dotnet"}),
        )?;
    }
    let links = Links::of(documents);
    ensure!(links.wrong == 0 && links.right + links.unlinked == expected, "{links:?}");
    // Besides the driver's own: what it asks when a session begins, and when it takes one from its pool.
    for span in documents.spans().filter(|span| text(span, "span.db.statement").contains("FROM items")) {
        expect(span, &json!({"span.name": "SELECT FROM items", "span.subtype": "postgresql"}))?;
    }
    Ok(())
}

#[test]
fn diagnostics_switched_off_by_the_program() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let prepare = |web: Web| web.database(&database).variable("DOTNET_EnableDiagnostics", "0");
    let mut scene = Scene::watching(start_on_each(prepare)?, &["--span-compression-enabled=false"])?;
    scene.programs().iter().try_for_each(ask_items)?;
    for program in scene.programs().iter().map(Program::pid).collect::<Vec<_>>() {
        let output = wait::until("the reason", wait::PATIENCE, || {
            let output = scene.watch().agent().output();
            let said = |line: &&str| line.contains("the wire goes on alone") && line.contains(&program.to_string());
            output.lines().find(said).map(str::to_owned)
        })?;
        ensure!(output.contains("DOTNET_EnableDiagnostics"), "{output}");
    }
    on_each(scene, |_, documents| check(documents))
}

#[test]
fn bridge_switched_off_by_the_user() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let programs = start_on_each(|web| web.database(&database))?;
    let mut scene = Scene::watching(programs, &["--dotnet-bridge=false", "--span-compression-enabled=false"])?;
    scene.programs().iter().try_for_each(ask_items)?;
    ensure!(!scene.watch().agent().output().contains("listening to .NET"));
    on_each(scene, |_, documents| check(documents))
}
