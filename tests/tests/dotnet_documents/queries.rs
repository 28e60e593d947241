//! Commands of Npgsql, Dapper, EF Core and SqlClient: one span each, whoever else tells of it.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, field, text},
    dotnet::{Framework, scene::Scene},
    postgres::Postgres,
    tds::SqlServer,
    turn::Turn,
};
use serde_json::{Value, json};

use super::{NEEDS, ask, errors_of, expect, on_each, only_span, spans_of, start_on_each};

/// Paths with one command each, its name and its statement. All of them come from one pool, so that the driver resets
/// the session, in the same write, before each but the first.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("/one/2", "SELECT FROM items", "SELECT name FROM items WHERE id = 2"),
    ("/dapper/3", "SELECT FROM items", "SELECT name FROM items WHERE id = 3"),
    ("/prepared/4", "SELECT FROM items", "SELECT name FROM items WHERE id = $1"),
    // Prepared before on the same session: its text is known by its name only.
    ("/prepared/5", "SELECT FROM items", "SELECT name FROM items WHERE id = $1"),
    ("/orders/6", "SELECT FROM items", "SELECT name FROM items WHERE id = 6"),
];

#[test]
fn postgresql() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let scene = Scene::listening(start_on_each(|web| web.database(&database))?, &[])?;
    for program in scene.programs() {
        ask(program, &COMMANDS.iter().map(|(path, ..)| (*path, 200)).collect::<Vec<_>>())?;
        ask(program, &[("/batch/10", 200), ("/transaction/11", 200), ("/error", 500), ("/one/12", 200)])?;
    }
    let port = database.port();
    on_each(scene, |_, documents| {
        for (path, name, statement) in COMMANDS {
            let span = only_span(documents, path)?;
            expect(span, &json!({"span.name": name, "span.db.statement": statement}))?;
            is_query_of(span, port)?;
            ensure!(text(span, "event.outcome") == "success", "{span}");
        }
        // Two commands of the same name one after the other are compressed (elastic-spec, 8.8).
        let batch = only_span(documents, "/batch/10")?;
        expect(
            batch,
            &json!({"span.name": "SELECT FROM items", "span.composite.count": 2,
            "span.composite.compression_strategy": "exact_match",
            "span.db.statement": "SELECT name FROM items WHERE id = 10"}),
        )?;
        transaction(documents)?;
        failed_query(documents)?;
        ensure!(text(only_span(documents, "/one/12")?, "span.db.statement").ends_with("= 12"), "after the error");
        for span in documents.spans() {
            let statement = text(span, "span.db.statement");
            ensure!(!["DISCARD", "BEGIN", "RESET"].iter().any(|word| statement.contains(word)), "{span}");
        }
        Ok(())
    })
}

fn is_query_of(span: &Value, port: u16) -> Result<()> {
    expect(
        span,
        &json!({"span.type": "db", "span.subtype": "postgresql", "span.action": "query",
        "span.db.type": "sql", "span.db.instance": "postgres", "span.db.user.name": "postgres",
        "destination.address": "127.0.0.1", "destination.port": port, "service.target.type": "postgresql",
        "service.target.name": "postgres", "span.destination.service.resource": "postgresql/postgres"}),
    )
}

/// `BEGIN` goes with the first command and is the driver's. `COMMIT` takes a round trip; Elastic's agent, which sees
/// commands only, leaves it out.
fn transaction(documents: &Documents) -> Result<()> {
    let spans = spans_of(documents, "/transaction/11")?;
    let statements: Vec<&str> = spans.iter().map(|span| text(span, "span.db.statement")).collect();
    ensure!(statements == ["UPDATE items SET name = name WHERE id = 11", "COMMIT"], "{statements:?}");
    for span in spans {
        expect(span, &json!({"parent.id": text(documents.request("/transaction/11")?, "transaction.id")}))?;
    }
    Ok(())
}

/// The program caught the exception: only the database tells of the error.
fn failed_query(documents: &Documents) -> Result<()> {
    let span = only_span(documents, "/error")?;
    expect(span, &json!({"span.name": "SELECT FROM missing_table", "event.outcome": "failure"}))?;
    let errors = errors_of(documents, "/error")?;
    let [error] = errors.as_slice() else { anyhow::bail!("{errors:?}") };
    expect(
        error,
        &json!({"parent.id": text(span, "span.id"), "transaction.name": "GET /error",
        "trace.id": text(span, "trace.id")}),
    )?;
    let exception = field(error, "error.exception").and_then(|all| all.get(0)).context("an exception")?;
    expect(
        exception,
        &json!({"code": "42P01", "message": "relation \"missing_table\" does not exist",
        "type": "postgresql ERROR"}),
    )
}

/// EF Core uses Npgsql, which tells of its commands itself.
#[test]
fn entity_framework() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let scene = Scene::listening(start_on_each(|web| web.database(&database))?, &[])?;
    for program in scene.programs() {
        let status = if program.pid() == scene.programs()[1].pid() { 200 } else { 404 };
        ask(program, &[("/ef/8", status), ("/ef/save/9", status)])?;
    }
    let port = database.port();
    on_each(scene, |framework, documents| {
        if framework == Framework::Net8 {
            return Ok(());
        }
        let select = "SELECT i.id, i.name FROM items AS i WHERE i.id = $1 LIMIT 2";
        let span = only_span(documents, "/ef/8")?;
        expect(span, &json!({"span.name": "SELECT FROM items", "span.db.statement": select}))?;
        is_query_of(span, port)?;
        let spans = spans_of(documents, "/ef/save/9")?;
        let statements: Vec<&str> = spans.iter().map(|span| text(span, "span.db.statement")).collect();
        ensure!(statements == [select, "UPDATE items SET name = $1 WHERE id = $2"], "{statements:?}");
        spans.into_iter().try_for_each(|span| is_query_of(span, port))
    })
}

/// Path, status, name, action and statement.
const SQL_SERVER: &[(&str, u16, &str, &str, &str)] = &[
    ("/sql/1", 200, "SELECT FROM items", "query", "SELECT name FROM items WHERE id = 1"),
    ("/sql/parameter/2", 200, "SELECT FROM items", "query", "SELECT name FROM items WHERE id = @id"),
    ("/sql/procedure/3", 200, "GET_ITEM", "exec", "get_item"),
    ("/sql/update/4", 200, "UPDATE items", "query", "UPDATE items SET name = name WHERE id = 4"),
    ("/sql/transaction/5", 200, "UPDATE items", "query", "UPDATE items SET name = name WHERE id = 5"),
    ("/sql/error", 500, "SELECT FROM missing_table", "query", "SELECT nothing FROM missing_table"),
];

#[test]
fn sql_server() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let server = SqlServer::start()?;
    let scene = Scene::listening(start_on_each(|web| web.sql_server(&server))?, &[])?;
    for program in scene.programs() {
        ask(program, &SQL_SERVER.iter().map(|(path, status, ..)| (*path, *status)).collect::<Vec<_>>())?;
    }
    let port = server.port();
    on_each(scene, |_, documents| {
        for (path, status, name, action, statement) in SQL_SERVER {
            expect(
                only_span(documents, path)?,
                &json!({"span.name": name, "span.action": action,
                "span.type": "db", "span.subtype": "mssql", "span.db.type": "sql", "span.db.instance": "shop",
                "span.db.statement": statement, "destination.address": "127.0.0.1", "destination.port": port,
                "service.target.type": "mssql", "service.target.name": "shop",
                "span.destination.service.resource": "mssql/shop",
                "event.outcome": if *status == 200 { "success" } else { "failure" }}),
            )?;
        }
        let errors = errors_of(documents, "/sql/error")?;
        let [error] = errors.as_slice() else { anyhow::bail!("{errors:?}") };
        let span = only_span(documents, "/sql/error")?;
        expect(error, &json!({"parent.id": text(span, "span.id"), "transaction.name": "GET /sql/error"}))?;
        let exception = field(error, "error.exception").and_then(|all| all.get(0)).context("an exception")?;
        expect(
            exception,
            &json!({"type": "Microsoft.Data.SqlClient.SqlException",
            "message": "Invalid object name 'missing_table'."}),
        )?;
        ensure!(documents.errors().count() == 1, "{}", documents.summary());
        Ok(())
    })
}
