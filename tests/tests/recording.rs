//! A recording of a real run gives the same documents, byte for byte, every time it is replayed.

use anyhow::{Result, ensure};
use apm_tests::{
    agent::{self, Agent},
    decoder::Decoder,
    documents::text,
    http,
    links::Links,
    postgres::Postgres,
    programs::{App, Program},
    turn::Turn,
};
use tempfile::TempDir;

#[test]
fn replay_is_byte_for_byte_the_same() -> Result<()> {
    let Some(_turn) = Turn::take(App::PythonThreads.needs()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::PythonThreads, &database)?;
    let folder = TempDir::new()?;
    let recording = folder.path().join("run.recording");
    let words = ["--pid", &program.pid().to_string(), "--output", &recording.display().to_string()].map(str::to_owned);
    let recorder = Agent::start("record", &words, &[])?;
    for id in 1..=20 {
        ensure!(http::get(program.port(), &format!("/item/{id}"))?.status == 200);
    }
    ensure!(http::get(program.port(), "/error")?.status == 500);
    recorder.stop()?;
    let outputs = [folder.path().join("first.ndjson"), folder.path().join("second.ndjson")];
    let first = agent::replay(&recording, &outputs[0])?;
    // The target is gone: nothing may be looked up on the machine at replay.
    drop(program);
    let second = agent::replay(&recording, &outputs[1])?;
    ensure!(!first.is_empty() && first == second, "two replays of one recording differ");
    let documents = Decoder::start()?.decode(&outputs[0])?;
    ensure!(documents.requests().count() == 21, "{}", documents.summary());
    ensure!(Links::of(&documents) == Links { right: 20, wrong: 0, unlinked: 0 }, "{}", documents.summary());
    ensure!(text(documents.request("/error")?, "event.outcome") == "failure");
    Ok(())
}
