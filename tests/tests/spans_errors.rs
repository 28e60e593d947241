//! A call that finds nobody becomes an error with its cause.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::text,
    http,
    postgres::Postgres,
    programs::{App, Program},
    turn::Turn,
    watch::Watch,
};
use serde_json::Value;

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
    let errors: Vec<&Value> =
        documents.errors().filter(|error| text(error, "transaction.id") == text(request, "transaction.id")).collect();
    ensure!(errors.len() == 1, "{} errors: {}", errors.len(), documents.summary());
    ensure!(errors[0].to_string().contains("ECONNREFUSED"), "{}", errors[0]);
    ensure!(errors[0].to_string().contains(&closed.to_string()), "{}", errors[0]);
    is_of(errors[0], request)
}

#[test]
fn a_refused_statement_is_an_error_of_its_span() -> Result<()> {
    let Some(_turn) = Turn::take(App::PythonThreads.needs()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = Program::start(App::PythonThreads, &database)?;
    let watch = Watch::process(program.pid())?;
    http::get(program.port(), "/error")?;
    let documents = watch.finish()?.documents;
    let request = documents.request("/error")?;
    let failed = documents.spans_of(request).find(|span| text(span, "event.outcome") == "failure");
    let failed = failed.with_context(|| documents.summary())?;
    let error = documents.errors().find(|error| text(error, "parent.id") == text(failed, "span.id"));
    let error = error.with_context(|| documents.summary())?;
    ensure!(error.to_string().contains("42P01"), "{error}");
    is_of(error, request)
}

/// The error tells which request it hit.
fn is_of(error: &Value, request: &Value) -> Result<()> {
    for name in ["url.full", "http.request.method", "transaction.name"] {
        ensure!(text(error, name) == text(request, name) && !text(error, name).is_empty(), "{name}: {error}");
    }
    Ok(())
}
