//! Statements of real PostgreSQL clients become spans: text, rows, database, user, outcome.

use anyhow::{Result, ensure};
use apm_tests::{
    child::Child,
    documents::{Documents, number, text},
    postgres::{DEBIAN_FOLDER, Postgres, complete},
    turn::{Need, Turn},
    wait,
    watch::Watch,
};
use serde_json::Value;

/// `psql` and `pgbench` in `/usr/bin` are scripts that become these.
const PSQL: &str = "/usr/lib/postgresql/*/bin/psql";
const PGBENCH: &str = "/usr/lib/postgresql/*/bin/pgbench";

const NEEDS: &[Need] = &[Need::File(DEBIAN_FOLDER)];

#[test]
fn psql_statements_have_text_rows_and_outcome() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let watch = Watch::start(&["--exe", PSQL])?;
    complete("psql", &mut database.psql("SELECT name FROM items WHERE id <= 3"))?;
    complete("psql", &mut database.psql("UPDATE items SET name = 'x' WHERE id <= 7"))?;
    complete("psql", &mut database.psql("COPY (SELECT * FROM items WHERE id <= 5) TO STDOUT"))?;
    ensure!(complete("psql", &mut database.psql("SELECT nothing FROM missing_table")).is_err());
    let documents = watch.finish()?.documents;
    let select = statement(&documents, "SELECT name FROM items WHERE id <= 3")?;
    ensure!(text(select, "span.name") == "SELECT FROM items" && text(select, "event.outcome") == "success", "{select}");
    ensure!(text(select, "span.type") == "db" && text(select, "span.subtype") == "postgresql", "{select}");
    ensure!(
        text(select, "span.db.instance") == "postgres" && text(select, "span.db.user.name") == "postgres",
        "{select}"
    );
    ensure!(text(select, "destination.address") == "127.0.0.1", "{select}");
    ensure!(number(select, "destination.port") == Some(database.port().into()), "{select}");
    let update = statement(&documents, "UPDATE items SET name = 'x' WHERE id <= 7")?;
    ensure!(
        number(update, "span.db.rows_affected") == Some(7) && text(update, "span.name") == "UPDATE items",
        "{update}"
    );
    statement(&documents, "COPY (SELECT * FROM items WHERE id <= 5) TO STDOUT")?;
    let failed = statement(&documents, "SELECT nothing FROM missing_table")?;
    ensure!(text(failed, "event.outcome") == "failure", "{failed}");
    let codes: Vec<String> = documents.errors().map(ToString::to_string).collect();
    ensure!(codes.iter().all(|error| error.contains("42P01")), "only SQLSTATE 42P01 happened: {codes:?}");
    Ok(())
}

#[test]
fn pgbench_simple_protocol() -> Result<()> {
    pgbench("simple", "SELECT abalance FROM pgbench_accounts WHERE aid = ")
}

#[test]
fn pgbench_extended_protocol() -> Result<()> {
    pgbench("extended", "SELECT abalance FROM pgbench_accounts WHERE aid = $1")
}

#[test]
fn pgbench_prepared_statements() -> Result<()> {
    pgbench("prepared", "SELECT abalance FROM pgbench_accounts WHERE aid = $1")
}

fn pgbench(protocol: &str, start: &str) -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    database.prepare_pgbench()?;
    let watch = Watch::start(&["--exe", PGBENCH])?;
    let report = complete("pgbench", database.pgbench().args(["-S", "-c2", "-t60", "-M", protocol, "postgres"]))?;
    ensure!(report.contains("120/120"), "{report}");
    let documents = watch.finish()?.documents;
    // A statement that is only prepared, in a round trip of its own, is a call too, with an action of its own.
    let (prepared, executed): (Vec<&Value>, Vec<&Value>) = documents
        .spans()
        .filter(|span| text(span, "span.db.statement").starts_with(start))
        .partition(|span| text(span, "span.action") == "prepare");
    ensure!(executed.len() == 120, "{} spans of 120: {}", executed.len(), documents.summary());
    ensure!(prepared.len() == if protocol == "prepared" { 2 } else { 0 }, "{} prepared", prepared.len());
    let named = executed.iter().filter(|span| text(span, "span.name") == "SELECT FROM pgbench_accounts").count();
    ensure!(named == 120, "{named} named spans of 120");
    Ok(())
}

#[test]
fn statement_prepared_before_we_came_is_unknown_never_wrong() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    database.prepare_pgbench()?;
    let mut command = database.pgbench();
    command.args(["-S", "-c1", "-M", "prepared", "--rate=100", "-P1", "-T6", "postgres"]);
    let mut client = Child::start("pgbench", &mut command)?;
    client.wait_for_line("progress:", wait::PATIENCE)?;
    let watch = Watch::process(client.pid())?;
    ensure!(client.wait_for_end(wait::PATIENCE)?.success(), "{}", client.output());
    let documents = watch.finish()?.documents;
    let calls: Vec<&Value> = documents.spans().collect();
    ensure!(calls.len() > 20, "only {} spans", calls.len());
    ensure!(calls.iter().all(|span| text(span, "span.db.statement").is_empty()), "invented: {}", documents.summary());
    Ok(())
}

fn statement<'a>(documents: &'a Documents, wanted: &str) -> Result<&'a Value> {
    let mut found = documents.spans().filter(|span| text(span, "span.db.statement") == wanted);
    let first = found.next();
    ensure!(first.is_some() && found.next().is_none(), "not one span `{wanted}`: {}", documents.summary());
    first.ok_or_else(|| anyhow::anyhow!("there is one"))
}
