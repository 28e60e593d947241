//! Choosing what is watched: by process, executable, port, all; also what starts later, before its first request.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, text},
    http,
    nginx::Nginx,
    place,
    postgres::{DEBIAN_FOLDER, Postgres},
    process,
    programs::{App, Program},
    turn::{Need, Turn},
    wait,
    watch::Watch,
};

const NGINX: &[Need] = &[Need::Program("nginx")];

fn paths(documents: &Documents) -> Vec<&str> {
    documents.requests().map(|found| text(found, "url.path")).collect()
}

#[test]
fn by_executable_only_that_one() -> Result<()> {
    let Some(_turn) = Turn::take(&[App::C.needs(), NGINX, &[Need::File(DEBIAN_FOLDER)]].concat()) else {
        return Ok(());
    };
    let database = Postgres::start()?;
    let nginx = Nginx::start()?;
    let watched = Program::start(App::C, &database)?;
    let watch = Watch::start(&["--exe", "c-server"])?;
    http::get(nginx.port(), "/unwatched")?;
    http::get(watched.port(), "/item/1")?;
    let documents = watch.finish()?.documents;
    ensure!(paths(&documents) == ["/item/1"], "{}", documents.summary());
    Ok(())
}

#[test]
fn by_port_and_by_process_together() -> Result<()> {
    let Some(_turn) = Turn::take(&[App::C.needs(), NGINX, &[Need::File(DEBIAN_FOLDER)]].concat()) else {
        return Ok(());
    };
    let database = Postgres::start()?;
    let [first, second, third] = [Nginx::start()?, Nginx::start()?, Nginx::start()?];
    let program = Program::start(App::C, &database)?;
    let watch =
        Watch::start(&["--port", &first.port().to_string(), "--pid", &second.pid().to_string(), "--exe", "c-server"])?;
    for (port, path) in [(first.port(), "/port"), (second.port(), "/pid"), (third.port(), "/neither")] {
        http::get(port, path)?;
    }
    http::get(program.port(), "/item/3")?;
    let documents = watch.finish()?.documents;
    let mut seen = paths(&documents);
    seen.sort_unstable();
    ensure!(seen == ["/item/3", "/pid", "/port"], "{}", documents.summary());
    Ok(())
}

#[test]
fn all_but_the_excluded() -> Result<()> {
    let Some(_turn) = Turn::take(&[App::C.needs(), NGINX, &[Need::File(DEBIAN_FOLDER)]].concat()) else {
        return Ok(());
    };
    let database = Postgres::start()?;
    let nginx = Nginx::start()?;
    let program = Program::start(App::C, &database)?;
    // The decoder must not be watched: what is sent to it would be seen, and sent.
    let watch = Watch::start(&["--all", "--exclude-exe", "c-server", "--exclude-exe", "apm-server*"])?;
    http::get(program.port(), "/item/4")?;
    http::get(nginx.port(), "/all")?;
    let documents = watch.finish()?.documents;
    let seen = paths(&documents);
    ensure!(seen.contains(&"/all") && !seen.contains(&"/item/4"), "{}", documents.summary());
    Ok(())
}

#[test]
fn process_that_starts_later_is_caught_before_its_first_request() -> Result<()> {
    let Some(_turn) = Turn::take(&[App::C.needs(), &[Need::File(DEBIAN_FOLDER)]].concat()) else { return Ok(()) };
    let database = Postgres::start()?;
    let watch = Watch::start(&["--exe", &place::build()?.join("c-server").display().to_string()])?;
    for id in 1..=5 {
        let mut program = Program::launch(App::C, &database, &[])?;
        program.wait_until_open()?;
        ensure!(http::get(program.port(), &format!("/item/{id}"))?.status == 200);
    }
    let documents = watch.finish()?.documents;
    for id in 1..=5 {
        let request = documents.request(&format!("/item/{id}"))?;
        let statement = format!("SELECT name FROM items WHERE id = {id}");
        let spans: Vec<&str> = documents.spans_of(request).map(|span| text(span, "span.db.statement")).collect();
        ensure!(spans == [statement], "{spans:?}");
    }
    Ok(())
}

#[test]
fn workers_forked_later_are_watched() -> Result<()> {
    let Some(_turn) = Turn::take(App::Gunicorn.needs()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::Gunicorn, &database)?;
    let watch = Watch::process(program.pid())?;
    let old: Vec<u32> = workers(&program);
    ensure!(old.len() == 2, "{old:?}");
    for pid in &old {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).context("a worker has an id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    }
    wait::until("gunicorn's new workers", wait::PATIENCE, || {
        let now = workers(&program);
        (now.len() == 2 && now.iter().all(|pid| !old.contains(pid))).then_some(())
    })?;
    for id in 1..=10 {
        ensure!(http::get(program.port(), &format!("/item/{id}"))?.status == 200);
    }
    let documents = watch.finish()?.documents;
    (1..=10).try_for_each(|id| documents.request(&format!("/item/{id}")).map(|_| ()))
}

fn workers(program: &Program) -> Vec<u32> {
    process::family(program.pid()).into_iter().filter(|pid| *pid != program.pid()).collect()
}

#[test]
fn service_name_comes_from_the_targets_environment() -> Result<()> {
    let Some(_turn) = Turn::take(&[App::Node.needs(), &[Need::File(DEBIAN_FOLDER)]].concat()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start_with(App::Node, &database, &["env", "ELASTIC_APM_SERVICE_NAME=checkout"])?;
    let watch = Watch::process(program.pid())?;
    http::get(program.port(), "/item/1")?;
    let documents = watch.finish()?.documents;
    let request = documents.request("/item/1")?;
    ensure!(text(request, "service.name") == "checkout", "{request}");
    Ok(())
}
