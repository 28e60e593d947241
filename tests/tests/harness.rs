//! The harness itself: every service answers as its header says, without an agent. What the other tests say of the
//! agent rests on this.

use anyhow::{Result, ensure};
use apm_tests::{
    http::{self, Connection},
    nginx::Nginx,
    postgres::{DEBIAN_FOLDER, Postgres, complete},
    process,
    programs::{App, Program},
    turn::{self, Need},
};

/// What every service's database needs.
const DATABASE: &[Need] = &[Need::Root, Need::File(DEBIAN_FOLDER)];

#[test]
fn python_threads_answers() -> Result<()> {
    answers(App::PythonThreads)
}

#[test]
fn gunicorn_answers() -> Result<()> {
    answers(App::Gunicorn)
}

#[test]
fn c_answers() -> Result<()> {
    answers(App::C)
}

#[test]
fn go_answers() -> Result<()> {
    answers(App::Go)
}

#[test]
fn node_answers() -> Result<()> {
    answers(App::Node)
}

#[test]
fn dotnet_answers() -> Result<()> {
    answers(App::Dotnet)
}

fn answers(app: App) -> Result<()> {
    if !turn::can_run(&[DATABASE, app.needs()].concat()) {
        return Ok(());
    }
    let database = Postgres::start()?;
    let program = Program::start(app, &database)?;
    let item = http::get(program.port(), "/item/1234")?;
    ensure!(item.status == 200 && item.text().contains("item 1234"), "{item:?}");
    ensure!(http::get(program.port(), "/nowhere")?.status == 404);
    ensure!(http::get(program.port(), "/error")?.status == 500);
    if app != App::C {
        ensure!(http::get(program.port(), "/chunked")?.text() == "first second third");
        ensure!(http::get(program.port(), "/slow?ms=1")?.text() == "slow");
        let called = http::get(program.port(), &format!("/call?url=http://127.0.0.1:{}/item/7", program.port()))?;
        ensure!(called.status == 200 && called.text() == "called", "{called:?}");
    }
    let mut connection = Connection::open(program.port())?;
    ensure!(connection.get("/item/1", &[])?.status == 200);
    if app.keeps_alive() {
        ensure!(connection.get("/item/2", &[])?.text().contains("item 2"));
        ensure!(connection.request("HEAD", "/item/3", &[])?.status == 200);
    } else {
        ensure!(connection.is_closed()?);
    }
    Ok(())
}

#[test]
fn nginx_counts_requests() -> Result<()> {
    if !turn::can_run(&[Need::Root, Need::Program("nginx")]) {
        return Ok(());
    }
    let nginx = Nginx::start()?;
    let before = nginx.requests()?;
    ensure!(http::get(nginx.port(), "/")?.text().contains("A small page."));
    ensure!(http::get(nginx.port(), "/nowhere")?.status == 404);
    ensure!(nginx.requests()? == before + 3);
    ensure!(process::family(nginx.pid()).len() == 2, "a master and a worker");
    ensure!(!process::cpu_time(nginx.pid()).is_zero());
    ensure!(process::resident_bytes(nginx.pid())? > 0);
    ensure!(process::tracer(nginx.pid())? == 0);
    Ok(())
}

#[test]
fn postgres_answers_its_clients() -> Result<()> {
    if !turn::can_run(DATABASE) {
        return Ok(());
    }
    let database = Postgres::start()?;
    ensure!(complete("psql", &mut database.psql("SELECT name FROM items WHERE id = 42"))?.trim() == "item 42");
    database.prepare_pgbench()?;
    let report = complete("pgbench", database.pgbench().args(["-S", "-c", "2", "-t", "50", "postgres"]))?;
    ensure!(report.contains("100/100"), "{report}");
    Ok(())
}
