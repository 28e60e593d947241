//! What Go programs say to databases over TLS: told in plain text by probes in `crypto/tls`.

use anyhow::{Result, ensure};
use apm_tests::{
    databases::{self, Language},
    documents::{Documents, number, text},
    go::{self, Build},
    go_web::{self, Driver},
    http, mariadb,
    mariadb::MariaDb,
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::Program,
    redis,
    redis::Redis,
    tls::Certificate,
    turn::{Need, Turn},
};
use serde_json::Value;

const NEEDS: &[Need] = &[Need::Program("go"), Need::Program("openssl")];

/// Another version of Go.
const OLDER: &str = "go1.22.12";

/// Routes, and the statements of each that have the request's number.
const ROUTES: [(&str, usize); 5] =
    [("/item/", 1), ("/arguments/", 1), ("/transaction/", 2), ("/pool/", 1), ("/direct/", 1)];

/// The first connections begin while the agent watches; those of the second visit are older than it.
#[test]
fn statements_to_postgresql_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = Turn::take(&[NEEDS, &[Need::File(DEBIAN_FOLDER)]].concat()) else { return Ok(()) };
    let certificate = Certificate::generate()?;
    let database = Postgres::encrypted(&certificate)?;
    let older = if go::has_version("go-web", OLDER) { Build::Version(OLDER) } else { Build::Pie };
    for (build, driver) in [(Build::Fixed, Driver::Pq), (older, Driver::Pgx)] {
        let program = go_web::start_encrypted(build, driver, &database)?;
        for visit in 1..=2 {
            let watch = go::watch(&program, &[])?;
            for (path, _) in ROUTES {
                ask(&program, &format!("{path}{visit}"))?;
            }
            let seen = watch.finish()?;
            for (path, count) in ROUTES {
                let request = seen.documents.request(&format!("{path}{visit}"))?;
                let found: Vec<&Value> =
                    seen.documents.spans_of(request).filter(|span| asks_for(span, visit)).collect();
                ensure!(found.len() == count, "{build:?} {path}{visit}: {}", seen.documents.summary());
                for span in found {
                    ensure!(text(span, "span.subtype") == "postgresql", "{span}");
                    ensure!(number(span, "destination.port") == Some(database.port().into()), "{span}");
                }
            }
            let stats = &seen.agent.stats;
            let skipped = stats.get("pipeline.bytes.not_understood");
            ensure!(visit > 1 || skipped == 0, "{build:?}: {:?}", stats.non_zero());
            let connects = names(&seen.documents).filter(|name| *name == "connect").count();
            ensure!((connects > 0) == (visit == 1), "{build:?}, visit {visit}: {connects} connects");
        }
    }
    Ok(())
}

/// Is it a statement with this number? The driver may have prepared it, which is another.
fn asks_for(span: &Value, id: u32) -> bool {
    text(span, "span.action") == "query" && text(span, "span.db.statement").ends_with(&format!(" {id}"))
}

/// MySQL's sessions begin in plain text, and change to TLS after the server's greeting.
#[test]
fn statements_to_mariadb_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = Turn::take(&[NEEDS, &[Need::File(mariadb::PROGRAM)]].concat()) else { return Ok(()) };
    let certificate = Certificate::generate()?;
    let database = MariaDb::encrypted(&certificate)?;
    let program = databases::start(Language::Go, &[("MYSQL_TLS_PORT", database.port())])?;
    let watch = go::watch(&program, &[])?;
    for path in ["/mysql/item/7", "/mysql/prepared/8", "/mysql/new/9"] {
        ask(&program, path)?;
    }
    ensure!(http::get(program.port(), "/mysql/error")?.status == 500);
    let documents = watch.finish()?.documents;
    // The first was prepared before anybody watched.
    for (path, wanted) in [
        ("/mysql/item/7", &["SELECT FROM items"][..]),
        ("/mysql/prepared/8", &["SQL"]),
        ("/mysql/new/9", &["connect", "SELECT FROM items"]),
        ("/mysql/error", &["UPDATE missing_table"]),
    ] {
        let spans: Vec<&Value> = documents.spans_of(documents.request(path)?).collect();
        let names: Vec<&str> = spans.iter().map(|span| text(span, "span.name")).collect();
        ensure!(names == wanted, "{path}: {names:?}");
        ensure!(spans.iter().all(|span| number(span, "destination.port") == Some(database.port().into())), "{spans:?}");
    }
    let told: Vec<String> = documents.errors().map(ToString::to_string).collect();
    ensure!(told.len() == 1 && told[0].contains("missing_table"), "{told:?}");
    let new = documents.spans_of(documents.request("/mysql/new/9")?).last().expect("the statement");
    ensure!(text(new, "span.db.instance") == "shop" && text(new, "event.outcome") == "success", "{new}");
    Ok(())
}

#[test]
fn commands_to_redis_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = Turn::take(&[NEEDS, &[Need::Program(redis::PROGRAM)]].concat()) else { return Ok(()) };
    let certificate = Certificate::generate()?;
    let server = Redis::encrypted(&certificate)?;
    let program = databases::start(Language::Go, &[("REDIS_TLS_PORT", server.port())])?;
    let watch = go::watch(&program, &[])?;
    // The first is asked on a new connection, whose beginning the driver has commands of its own for.
    for path in ["/redis/item/1", "/redis/item/2", "/redis/pipe/3", "/redis/worker/4"] {
        ask(&program, path)?;
    }
    let documents = watch.finish()?.documents;
    for (path, wanted) in
        [("/redis/item/2", &["GET"][..]), ("/redis/pipe/3", &["SET", "GET", "STRLEN"]), ("/redis/worker/4", &["SET"])]
    {
        let spans: Vec<&Value> = documents.spans_of(documents.request(path)?).collect();
        let names: Vec<&str> = spans.iter().map(|span| text(span, "span.name")).collect();
        ensure!(names == wanted, "{path}: {names:?}");
        ensure!(spans.iter().all(|span| number(span, "destination.port") == Some(server.port().into())), "{spans:?}");
    }
    let first: Vec<&str> =
        documents.spans_of(documents.request("/redis/item/1")?).map(|span| text(span, "span.name")).collect();
    ensure!(first.contains(&"HELLO") && first.contains(&"GET"), "{first:?}");
    Ok(())
}

fn ask(program: &Program, path: &str) -> Result<()> {
    let answer = http::get(program.port(), path)?;
    ensure!(answer.status == 200, "{path}: {answer:?}\n{}", program.output());
    Ok(())
}

fn names(documents: &Documents) -> impl Iterator<Item = &str> {
    documents.spans().map(|span| text(span, "span.name"))
}
