//! A call that finds nobody becomes an error with its cause.

use anyhow::{Result, ensure};
use apm_tests::{
    documents::text,
    http,
    postgres::Postgres,
    programs::{App, Program},
    turn::Turn,
    watch::Watch,
};

#[test]
fn refused_connection_is_an_error_of_its_request() -> Result<()> {
    let Some(_turn) = Turn::take(App::PythonThreads.needs()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::PythonThreads, &database)?;
    let watch = Watch::process(program.pid())?;
    let closed = http::free_port()?;
    ensure!(http::get(program.port(), &format!("/call?url=http://127.0.0.1:{closed}/"))?.status == 502);
    let documents = watch.finish()?.documents;
    let request = documents.request("/call")?;
    let errors: Vec<String> = documents
        .errors()
        .filter(|error| text(error, "transaction.id") == text(request, "transaction.id"))
        .map(ToString::to_string)
        .collect();
    ensure!(errors.len() == 1, "{} errors: {}", errors.len(), documents.summary());
    ensure!(errors.iter().all(|error| error.contains("ECONNREFUSED")), "{errors:?}");
    ensure!(errors.iter().all(|error| error.contains(&closed.to_string())), "{errors:?}");
    Ok(())
}
