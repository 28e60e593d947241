//! Calls of real clients of Redis, on a real server.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    databases::{self, Language},
    documents::{Documents, number, text},
    express, go, http,
    node::Major,
    programs::Program,
    redis::{self, Redis},
    turn::{Need, Turn},
    watch::Watch,
};
use serde_json::Value;

/// Python's driver.
const REDIS_PY: &str = "/usr/lib/python3/dist-packages/redis";

fn turn(language: Language) -> Option<Turn> {
    Turn::take(&[language.needs(REDIS_PY), vec![Need::Program(redis::PROGRAM)]].concat())
}

fn service(language: Language, server: &Redis) -> Result<Program> {
    databases::start(language, &[("REDIS_PORT", server.port())])
}

fn ask(program: &Program, path: &str, status: u16) -> Result<()> {
    let answer = http::get(program.port(), path)?;
    ensure!(answer.status == status, "{path}: {answer:?}\n{}", program.output());
    Ok(())
}

/// Names of the commands of a request; a compressed span counts as often as it was.
fn commands<'a>(documents: &'a Documents, path: &str) -> Result<Vec<&'a str>> {
    let spans = documents.spans_of(documents.request(path)?);
    let mut names: Vec<&str> = spans
        .flat_map(|span| {
            let count = number(span, "span.composite.count").unwrap_or(1);
            (0..count).map(move |_| text(span, "span.name"))
        })
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// What was said to the server besides commands' names stays there.
fn tells_no_arguments(documents: &Documents) -> Result<()> {
    let all = documents.spans().chain(documents.errors()).chain(documents.transactions());
    let told = all.filter(|document| document.to_string().contains("hidden-word")).count();
    ensure!(told == 0, "arguments are told of");
    Ok(())
}

/// The connections are older than the agent.
#[test]
fn calls_of_python_threads_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = turn(Language::Python) else { return Ok(()) };
    let server = Redis::start()?;
    let program = service(Language::Python, &server)?;
    ask(&program, "/redis/item/1000", 200)?;
    let watch = Watch::process(program.pid())?;
    for id in 1..=50 {
        ask(&program, &format!("/redis/item/{id}"), 200)?;
    }
    ask(&program, "/redis/pipe/7", 200)?;
    ask(&program, "/redis/error", 500)?;
    let documents = watch.finish()?.documents;
    for id in 1..=50 {
        ensure!(commands(&documents, &format!("/redis/item/{id}"))? == ["GET"], "{}", documents.summary());
    }
    ensure!(commands(&documents, "/redis/pipe/7")? == ["GET", "SET", "STRLEN"], "{}", documents.summary());
    ensure!(commands(&documents, "/redis/error")? == ["NOSUCH"], "{}", documents.summary());
    let get = documents.spans_of(documents.request("/redis/item/3")?).next().context("a span")?;
    ensure!(text(get, "span.type") == "db" && text(get, "span.subtype") == "redis", "{get}");
    ensure!(text(get, "span.action") == "query" && text(get, "span.db.type") == "redis", "{get}");
    ensure!(text(get, "service.target.type") == "redis" && text(get, "service.target.name").is_empty(), "{get}");
    ensure!(number(get, "destination.port") == Some(server.port().into()), "{get}");
    ensure!(text(get, "span.db.statement").is_empty() && text(get, "event.outcome") == "success", "{get}");
    let errors: Vec<String> = documents.errors().map(ToString::to_string).collect();
    ensure!(errors.len() == 1 && errors[0].contains("unknown command 'NOSUCH'"), "{errors:?}");
    tells_no_arguments(&documents)
}

/// What the script in the process tells and what the wire shows is one span.
#[test]
fn calls_of_node_are_told_once() -> Result<()> {
    for (major, libraries) in Major::tried() {
        let language = Language::Node(major, libraries);
        let Some(_turn) = turn(language) else { return Ok(()) };
        let server = Redis::start()?;
        let program = service(language, &server)?;
        ask(&program, "/redis/client/1", 200)?;
        let mut watch = Watch::process(program.pid())?;
        express::listens(watch.agent(), 1)?;
        for (path, status) in [("/redis/io/2", 200), ("/redis/client/3", 200), ("/redis/bad", 500)] {
            ask(&program, path, status)?;
        }
        let documents = watch.finish()?.documents;
        told_once(&documents).with_context(|| format!("{language:?}"))?;
    }
    Ok(())
}

fn told_once(documents: &Documents) -> Result<()> {
    let wanted: [(&str, &[&str]); 3] =
        [("/redis/io/2", &["GET", "STRLEN"]), ("/redis/client/3", &["GET"]), ("/redis/bad", &["NOSUCH"])];
    for (path, wanted) in wanted {
        let found = commands(documents, path)?;
        ensure!(found == wanted, "{path}: {found:?}, {}", documents.summary());
    }
    let calls: Vec<&Value> = documents.spans().collect();
    ensure!(calls.len() == 4, "no call is told twice: {}", documents.summary());
    Ok(())
}

/// Also those of a goroutine that knows no more of the request than its context.
#[test]
fn calls_of_go_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = turn(Language::Go) else { return Ok(()) };
    let server = Redis::start()?;
    let program = service(Language::Go, &server)?;
    ask(&program, "/redis/item/1", 200)?;
    let watch = go::watch(&program, &[])?;
    let expected: [(&str, &[&str]); 4] = [
        ("/redis/item/2", &["GET"]),
        ("/redis/pipe/3", &["GET", "SET", "STRLEN"]),
        ("/redis/worker/4", &["SET"]),
        ("/redis8/item/5", &["SET"]),
    ];
    expected.iter().try_for_each(|(path, _)| ask(&program, path, 200))?;
    let documents = watch.finish()?.documents;
    for (path, names) in expected {
        ensure!(commands(&documents, path)? == names, "{path}: {}", documents.summary());
    }
    ensure!(documents.spans().all(|span| text(span, "event.outcome") == "success"), "{}", documents.summary());
    Ok(())
}
