//! A Go program under stress notices nothing of probes: with the race detector, collections all the time, and stacks that
//! grow under the functions that are probed.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Result, anyhow, ensure};
use apm_tests::{
    documents::text,
    go, go_web,
    http::{self, Connection},
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
    let (port, is_over) = (program.port(), AtomicBool::new(false));
    let client = || -> Result<usize> {
        let (mut connection, mut answered) = (Connection::open(port)?, 0);
        while !is_over.load(Ordering::Relaxed) {
            let path = PATHS[answered % PATHS.len()];
            ensure!(connection.get(path, &[])?.status == 200, "{path}: an answer that is none");
            answered += 1;
        }
        Ok(answered)
    };
    let come_and_go = || -> Result<()> {
        for turn in 0..TURNS {
            let watch = go::watch(&program, &[])?;
            // Half of the agents end in order, half are killed.
            if turn % 2 == 0 {
                watch.finish()?;
            } else {
                watch.kill()?;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let came_and_went = come_and_go();
        is_over.store(true, Ordering::Relaxed);
        for client in clients {
            let answered = client.join().map_err(|_| anyhow!("a client panicked"))??;
            ensure!(answered >= PATHS.len(), "{answered} requests are no load");
        }
        came_and_went
    })?;
    // What is told is right there, too. Where a mux finds its pattern such a build is another one: it has no route.
    let watch = go::watch(&program, &[])?;
    ensure!(http::get(port, "/deep/77")?.status == 200);
    let documents = watch.finish()?.documents;
    let request = documents.request("/deep/77")?;
    let asked = documents.spans_of(request).filter(|span| text(span, "span.db.statement").ends_with(" 77")).count();
    ensure!(asked == 1, "{asked} statements: {}", documents.summary());
    ensure!(program.child().is_running(), "it has ended:\n{}", program.child().output());
    Ok(())
}
