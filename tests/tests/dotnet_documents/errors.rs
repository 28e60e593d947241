//! Exceptions that end a request, or that a page or handler shows (elastic-spec, section 9).

use std::fs;

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, field, number, text},
    dotnet::{Framework, Web, scene::Scene},
    place,
    turn::Turn,
    wait,
};
use serde_json::{Value, json};

use super::{NEEDS, ask, errors_of, expect, on_each, start_on_each};

/// Path, message, type, and of the innermost frame class, function and file.
const THROWN: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("/throw/sync", "failed at once", INVALID, "Shop.Errors", "MapErrors+() => { }", "Errors.cs"),
    ("/throw/async", "failed after an await", INVALID, "Shop.Errors", "Async", "Errors.cs"),
    ("/throw/inner", "failed for a reason", "System.ApplicationException", "Shop.Errors", "Inner", "Errors.cs"),
    ("/orders/throw", "the action failed", INVALID, "Shop.OrdersController", "Throw", "Controllers.cs"),
];

const INVALID: &str = "System.InvalidOperationException";

#[test]
fn unhandled_exceptions() -> Result<()> {
    thrown(None, false)
}

#[test]
fn exceptions_shown_by_the_developer_s_page() -> Result<()> {
    thrown(Some("page"), false)
}

#[test]
fn exceptions_dealt_with_by_a_handler() -> Result<()> {
    thrown(Some("handler"), true)
}

/// .NET 8 writes its last words where they are not read.
#[test]
fn an_exception_nobody_catches_ends_the_process() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let mut scene = Scene::listening(vec![Web::on(Framework::Net10).start()?], &[])?;
    let [program] = scene.programs() else { anyhow::bail!("one program") };
    ask(program, &[("/crash", 200)])?;
    let reported = || scene.watch().documents().ok()?.errors().next().map(|_| ());
    wait::until("the crash to be reported", wait::PATIENCE, reported)?;
    let played = scene.finish()?;
    let errors: Vec<_> = played.seen.documents.errors().collect();
    let [error] = errors.as_slice() else { anyhow::bail!("{} errors: {errors:?}", errors.len()) };
    expect(error, &json!({"error.culprit": "Shop.Errors", "message": "the process fails", "transaction.id": null}))?;
    let exception = exceptions(error)?.first().context("an exception")?;
    expect(exception, &json!({"type": INVALID, "message": "the process fails", "handled": false}))?;
    ensure!(text(error, "service.name") == "Web", "{error}");
    Ok(())
}

fn thrown(errors: Option<&str>, handled: bool) -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let prepare = |web: Web| match errors {
        Some(errors) => web.variable("ERRORS", errors),
        None => web,
    };
    let scene = Scene::listening(start_on_each(prepare)?, &[])?;
    for program in scene.programs() {
        ask(program, &THROWN.iter().map(|(path, ..)| (*path, 500)).collect::<Vec<_>>())?;
        ask(program, &[("/throw/handled", 200)])?;
    }
    on_each(scene, |_, documents| {
        for (path, ..) in THROWN {
            expect(documents.request(path)?, &json!({"event.outcome": "failure", "transaction.result": "HTTP 5xx"}))?;
        }
        THROWN.iter().try_for_each(|case| one(documents, case, handled))?;
        ensure!(errors_of(documents, "/throw/handled")?.is_empty(), "what is caught is no error");
        ensure!(documents.errors().count() == THROWN.len(), "each once: {}", documents.summary());
        cause(documents)
    })
}

fn one(
    documents: &Documents,
    (path, message, kind, class, function, file): &(&str, &str, &str, &str, &str, &str),
    handled: bool,
) -> Result<()> {
    let request = documents.request(path)?;
    let errors = errors_of(documents, path)?;
    let [error] = errors.as_slice() else { anyhow::bail!("{} errors of {path}: {errors:?}", errors.len()) };
    expect(
        error,
        &json!({"error.culprit": class, "parent.id": text(request, "transaction.id"),
        "url.full": text(request, "url.full"),
        "trace.id": text(request, "trace.id"), "transaction.type": "request", "transaction.sampled": true,
        "transaction.name": text(request, "transaction.name"), "message": message, "error.log": null}),
    )?;
    ensure!(text(error, "error.id").len() == 32, "{error}");
    let exception = exceptions(error)?.first().context("an exception")?;
    expect(exception, &json!({"type": kind, "message": message, "handled": handled}))?;
    let frames = frames(exception)?;
    let own = frames.first().context("a frame")?;
    expect(own, &json!({"classname": class, "function": function, "line.number": line_with(file, message)?}))?;
    for name in ["filename", "abs_path"] {
        ensure!(text(own, name).ends_with(&format!("/{file}")), "{own}");
    }
    let library = |frame: &&Value| text(frame, "classname").starts_with("Microsoft.AspNetCore.");
    ensure!(frames.iter().any(|frame| library(&frame)), "{frames:?}");
    for frame in frames.iter().filter(library) {
        expect(frame, &json!({"library_frame": true}))?;
    }
    // What the compiler made of `async` and what only passes the exception on is undone.
    ensure!(!frames.iter().any(|frame| frame.to_string().contains("MoveNext")), "{frames:?}");
    Ok(())
}

/// The exception another came from: its parent is the one before.
fn cause(documents: &Documents) -> Result<()> {
    let errors = errors_of(documents, "/throw/inner")?;
    let all = exceptions(errors.first().context("an error")?)?;
    let [_, inner] = all.as_slice() else { anyhow::bail!("{all:?}") };
    expect(inner, &json!({"type": INVALID, "message": "failed after an await"}))?;
    let functions: Vec<_> = frames(inner)?
        .iter()
        .map(|frame| (text(frame, "classname"), text(frame, "function"), number(frame, "line.number")))
        .collect();
    let thrown = line_with("Errors.cs", "failed after an await")?;
    let awaited = line_with("Errors.cs", "return await Async();")?;
    let expected = [("Shop.Errors", "Async", Some(thrown)), ("Shop.Errors", "Inner", Some(awaited))];
    ensure!(functions == expected, "{functions:?}");
    Ok(())
}

/// Number of the first line that has this text, in a source file of the program.
fn line_with(file: &str, words: &str) -> Result<u64> {
    let source = fs::read_to_string(place::app(&format!("dotnet-web/{file}")))?;
    let line = source.lines().position(|line| line.contains(words)).with_context(|| format!("{words} in {file}"))?;
    Ok(line as u64 + 1)
}

fn exceptions(error: &Value) -> Result<&Vec<Value>> {
    field(error, "error.exception").and_then(Value::as_array).with_context(|| format!("no exception: {error}"))
}

fn frames(exception: &Value) -> Result<&Vec<Value>> {
    field(exception, "stacktrace").and_then(Value::as_array).with_context(|| format!("no frames: {exception}"))
}
