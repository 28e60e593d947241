//! Calls of real clients of MySQL, on a real MariaDB.

use std::{process::Command, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use apm_tests::{
    databases::{self, Language},
    documents::{Documents, number, text},
    express, go, http,
    links::Links,
    mariadb::{self, MariaDb},
    node::Major,
    postgres::complete,
    programs::Program,
    turn::{Need, Turn},
    watch::Watch,
};
use serde_json::Value;

/// The command-line client.
const CLIENT: &str = "/usr/bin/mariadb";
/// Python's driver.
const PYMYSQL: &str = "/usr/lib/python3/dist-packages/pymysql";

/// Clients that ask at the same time, and requests of each.
const CLIENTS: u32 = 8;
const EACH: u32 = 25;

fn turn(language: Language) -> Option<Turn> {
    Turn::take(&[language.needs(PYMYSQL), vec![Need::File(mariadb::PROGRAM)]].concat())
}

fn service(language: Language, database: &MariaDb) -> Result<Program> {
    databases::start(language, &[("MYSQL_PORT", database.port())])
}

fn ask(program: &Program, path: &str, status: u16) -> Result<()> {
    let answer = http::get(program.port(), path)?;
    ensure!(answer.status == status, "{path}: {answer:?}\n{}", program.output());
    Ok(())
}

fn only_span<'a>(documents: &'a Documents, path: &str) -> Result<&'a Value> {
    let spans: Vec<&Value> = documents.spans_of(documents.request(path)?).collect();
    let [span] = spans.as_slice() else { anyhow::bail!("{path}: one span, not {spans:?}\n{}", documents.summary()) };
    Ok(span)
}

#[test]
fn statements_have_text_rows_and_outcome() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::File(CLIENT), Need::File(mariadb::PROGRAM)]) else { return Ok(()) };
    let database = MariaDb::start()?;
    let watch = Watch::start(&["--exe", CLIENT])?;
    let client = |statements: &str| {
        let port = database.port().to_string();
        let mut command = Command::new(CLIENT);
        command.args(["--no-defaults", "-h", "127.0.0.1", "-u", "shop", "-P", &port, "shop", "-e", statements]);
        complete("mariadb", &mut command)
    };
    client("SELECT name FROM items WHERE id <= 3; UPDATE items SET name = 'x' WHERE id <= 7")?;
    ensure!(client("SELECT nothing FROM missing_table").is_err());
    let documents = watch.finish()?.documents;
    let statement = |wanted: &str| {
        let found: Vec<&Value> = documents.spans().filter(|span| text(span, "span.db.statement") == wanted).collect();
        let [span] = found.as_slice() else { anyhow::bail!("not one `{wanted}`: {}", documents.summary()) };
        Ok(*span)
    };
    let select = statement("SELECT name FROM items WHERE id <= 3")?;
    ensure!(text(select, "span.name") == "SELECT FROM items" && text(select, "event.outcome") == "success", "{select}");
    ensure!(text(select, "span.type") == "db" && text(select, "span.subtype") == "mysql", "{select}");
    ensure!(text(select, "span.action") == "query", "{select}");
    ensure!(text(select, "span.db.instance") == "shop" && text(select, "span.db.user.name") == "shop", "{select}");
    ensure!(
        text(select, "service.target.type") == "mysql" && text(select, "service.target.name") == "shop",
        "{select}"
    );
    ensure!(text(select, "destination.address") == "127.0.0.1", "{select}");
    ensure!(number(select, "destination.port") == Some(database.port().into()), "{select}");
    let update = statement("UPDATE items SET name = 'x' WHERE id <= 7")?;
    ensure!(number(update, "span.db.rows_affected") == Some(7), "{update}");
    ensure!(text(statement("SELECT nothing FROM missing_table")?, "event.outcome") == "failure");
    // What the client's library tries besides (nscd's socket) is an error of its own.
    let errors = documents.errors().map(ToString::to_string).filter(|error| error.contains("mysql 1146"));
    let errors: Vec<String> = errors.collect();
    ensure!(errors.len() == 1 && errors[0].contains("42S02") && errors[0].contains("doesn't exist"), "{errors:?}");
    Ok(())
}

/// The connections are older than the agent.
#[test]
fn calls_of_python_threads_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = turn(Language::Python) else { return Ok(()) };
    let database = MariaDb::start()?;
    let program = service(Language::Python, &database)?;
    ask(&program, "/mysql/item/1000", 200)?;
    let watch = Watch::process(program.pid())?;
    let client = |number: u32| -> Result<()> {
        for id in number * EACH + 1..=(number + 1) * EACH {
            ask(&program, &format!("/mysql/item/{id}"), 200)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })?;
    ask(&program, "/mysql/more/7", 200)?;
    ask(&program, "/mysql/error", 500)?;
    let documents = watch.finish()?.documents;
    let links = Links::of(&documents);
    let expected = (CLIENTS * EACH) as usize + 1;
    ensure!(links == Links { right: expected, wrong: 0, unlinked: 0 }, "{links:?} of {expected}");
    let more = only_span(&documents, "/mysql/more/7")?;
    ensure!(text(more, "span.name") == "UPDATE items" && number(more, "span.db.rows_affected") == Some(7), "{more}");
    ensure!(text(only_span(&documents, "/mysql/error")?, "event.outcome") == "failure");
    Ok(())
}

/// What the script in the process tells and what the wire shows is one span.
#[test]
fn calls_of_node_are_told_once() -> Result<()> {
    for (major, libraries) in Major::tried() {
        let language = Language::Node(major, libraries);
        let Some(_turn) = turn(language) else { return Ok(()) };
        let database = MariaDb::start()?;
        let program = service(language, &database)?;
        ask(&program, "/mysql/query/1", 200)?;
        let mut watch = Watch::process(program.pid())?;
        express::listens(watch.agent(), 1)?;
        for (path, status) in [("/mysql/query/2", 200), ("/mysql/execute/3", 200), ("/mysql/execute/4", 200)] {
            ask(&program, path, status)?;
        }
        ask(&program, "/mysql/bad", 500)?;
        ask(&program, "/mysql/unprepared", 500)?;
        let documents = watch.finish()?.documents;
        told_once(&documents).with_context(|| format!("{language:?}"))?;
    }
    Ok(())
}

fn told_once(documents: &Documents) -> Result<()> {
    for (path, statement) in [
        ("/mysql/query/2", "SELECT id, name FROM items WHERE id = 2"),
        ("/mysql/execute/3", "SELECT name FROM items WHERE id = ?"),
        ("/mysql/execute/4", "SELECT name FROM items WHERE id = ?"),
        ("/mysql/bad", "SELECT nothing FROM missing_table"),
        ("/mysql/unprepared", "SELECT nothing FROM missing_table WHERE id = ?"),
    ] {
        let span = only_span(documents, path)?;
        ensure!(text(span, "span.db.statement") == statement, "{path}: {span}");
        // Of what could not be prepared the wire shows no more than the attempt.
        let action = if path == "/mysql/unprepared" { "prepare" } else { "query" };
        ensure!(text(span, "span.subtype") == "mysql" && text(span, "span.action") == action, "{span}");
    }
    ensure!(text(only_span(documents, "/mysql/bad")?, "event.outcome") == "failure");
    let errors: Vec<&Value> = documents.errors().collect();
    let known = errors.iter().all(|error| error.to_string().contains("ER_NO_SUCH_TABLE"));
    ensure!(errors.len() == 2 && known, "{errors:?}");
    let calls: Vec<&Value> = documents.spans().collect();
    ensure!(calls.len() == 5, "no call is told twice: {calls:#?}");
    Ok(())
}

#[test]
fn calls_of_go_hang_on_their_requests_and_what_was_prepared_unseen_is_unknown() -> Result<()> {
    let Some(_turn) = turn(Language::Go) else { return Ok(()) };
    let database = MariaDb::start()?;
    let program = service(Language::Go, &database)?;
    ask(&program, "/mysql/item/1", 200)?;
    let watch = go::watch(&program, &[])?;
    ask(&program, "/mysql/item/2", 200)?;
    ask(&program, "/mysql/prepared/3", 200)?;
    ask(&program, "/mysql/error/0", 404)?;
    ask(&program, "/mysql/error", 500)?;
    let documents = watch.finish()?.documents;
    let item = only_span(&documents, "/mysql/item/2")?;
    ensure!(text(item, "span.db.statement") == "SELECT name FROM items WHERE id = 2", "{item}");
    let prepared = only_span(&documents, "/mysql/prepared/3")?;
    ensure!(text(prepared, "span.db.statement").is_empty() && text(prepared, "span.name") == "SQL", "{prepared}");
    ensure!(text(only_span(&documents, "/mysql/error")?, "event.outcome") == "failure");
    Ok(())
}
