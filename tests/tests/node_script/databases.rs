//! Calls of databases that cannot be had here: small servers made for the tests answer.

use super::*;
use apm_agent::bridge::SpanStatus;
use apm_tests::tds::{Kind, SqlServer};

/// Each command is a span, more at a time than there are connections.
#[test]
fn mongodb_commands_are_told() -> Result<()> {
    let commands = |major, libraries| {
        let ran = with_script("mongodb.js", major, libraries)?.succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        let told = Told::by(&ran)?;
        for (way, expected) in [
            ("find", &["shop.orders.find"][..]),
            ("cursor", &["shop.orders.find", "shop.orders.getMore"]),
            ("insert", &["shop.orders.insert"]),
            ("database", &["shop.$cmd.ping"]),
            ("failed", &["shop.$cmd.nothing"]),
        ] {
            let calls = told.calls(&format!("/{way}"))?;
            ensure!(calls.iter().map(|call| call.name.as_str()).eq(expected.iter().copied()), "{way}: {calls:?}");
            for call in calls {
                ensure!(call.source == "mongodb" && attribute(call, "db.namespace") == "shop", "{call:?}");
                ensure!(call.name.ends_with(attribute(call, "db.operation.name")), "{call:?}");
                let place = [attribute(call, "server.address"), attribute(call, "server.port")];
                ensure!(place == ["127.0.0.1", &ran.result["mongo"].to_string()], "{call:?}");
                ensure!(attribute(call, "network.local.port").parse::<u16>().is_ok(), "{call:?}");
                ensure!((call.status == SpanStatus::Error) == (way == "failed"), "{way}: {call:?}");
                ensure!(codes_of(&told, call) == if way == "failed" { vec!["59"] } else { vec![] }, "{way}");
            }
        }
        for id in 0..40 {
            let calls = told.calls(&format!("/many/{id}"))?;
            let [call] = calls[..] else { anyhow::bail!("{id}: {calls:?}") };
            ensure!(call.name == format!("shop.orders{id}.find"), "{id}: {call:?}");
        }
        Ok(())
    };
    on_each_and_bundled(commands)?;
    on_newest(commands)
}

/// Each request is a span, and its events and callbacks are in the context of whoever made it.
#[test]
fn sql_server_queries_are_told() -> Result<()> {
    on_each(|major, libraries| {
        let server = SqlServer::start()?;
        let ran = with_script("tedious.js", major, libraries)?.variable("TDSPORT", server.port()).succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        let told = Told::by(&ran)?;
        for (way, times) in [("batch", 1), ("execute", 1), ("procedure", 1), ("failed", 1), ("inside", 2)] {
            let calls = told.calls(&format!("/{way}"))?;
            ensure!(calls.len() == times, "{way}: {calls:?}");
            for call in calls {
                let failed = way == "failed";
                let text = attribute(call, "db.query.text");
                ensure!(call.source == "tedious" && (failed || text.contains(way)), "{way}: {call:?}");
                ensure!(attribute(call, "db.namespace") == "shop" && attribute(call, "db.user") == "shop", "{call:?}");
                ensure!(attribute(call, "server.port") == server.port().to_string(), "{call:?}");
                ensure!(attribute(call, "network.local.port").parse::<u16>().is_ok(), "{call:?}");
                ensure!((call.status == SpanStatus::Error) == failed, "{way}: {call:?}");
                ensure!(codes_of(&told, call).len() == usize::from(failed), "{way}");
            }
        }
        let asked = server.requests().iter().filter(|request| request.kind != Kind::Transaction).count();
        ensure!(asked >= 12, "{asked} requests reached the server");
        Ok(())
    })
}

/// Each statement is a span, the rows of each page and the callbacks are in the context of whoever asked.
#[test]
fn cassandra_statements_are_told() -> Result<()> {
    on_each_and_bundled(|major, libraries| {
        let ran = with_script("cassandra.js", major, libraries)?.succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        let told = Told::by(&ran)?;
        for (way, expected) in [
            ("promise", &["SELECT name FROM promise"][..]),
            ("callback", &["SELECT name FROM callback"]),
            ("prepared", &["SELECT name FROM items WHERE id = ?"]),
            ("elsewhere", &["SELECT name FROM elsewhere"]),
            ("failed", &["SELECT name FROM missing_table"]),
            ("batch", &["DELETE FROM items;\nINSERT INTO items (id) VALUES (?)"]),
            ("batchCallback", &["DELETE FROM items"]),
            (
                "pages",
                &[
                    "SELECT name FROM first",
                    "SELECT name FROM pages",
                    "SELECT name FROM pages",
                    "SELECT name FROM second",
                ],
            ),
            ("stream", &["SELECT name FROM stream"]),
            ("connect", &["", "SELECT name FROM connect"]),
            ("misused", &[""]),
        ] {
            let calls = told.calls(&format!("/{way}"))?;
            let mut statements: Vec<_> = calls.iter().map(|call| attribute(call, "db.query.text")).collect();
            statements.sort_unstable();
            ensure!(statements == expected, "{way}: {calls:?}");
            for call in calls {
                let name = match way {
                    "batch" | "batchCallback" | "misused" => "Cassandra: Batch query",
                    "connect" if attribute(call, "db.query.text").is_empty() => "Cassandra: Connect",
                    _ => "CQL",
                };
                ensure!(call.source == "cassandra-driver" && call.name == name, "{way}: {call:?}");
                let keyspace = if way == "elsewhere" { "other" } else { "shop" };
                ensure!(attribute(call, "db.namespace") == keyspace, "{way}: {call:?}");
                let failed = ["failed", "misused"].contains(&way);
                ensure!((call.status == SpanStatus::Error) == failed, "{way}: {call:?}");
                ensure!(codes_of(&told, call).len() == usize::from(failed), "{way}");
            }
        }
        for id in 0..40 {
            let calls = told.calls(&format!("/many/{id}"))?;
            let [call] = calls[..] else { anyhow::bail!("{id}: {calls:?}") };
            ensure!(attribute(call, "db.query.text") == format!("SELECT name FROM many{id}"), "{id}: {call:?}");
        }
        Ok(())
    })
}

/// One span for each request: the HTTP below it carries its id and is none of its own.
#[test]
fn elasticsearch_requests_are_told() -> Result<()> {
    on_each(|major, libraries| {
        let ran = with_script("elasticsearch.js", major, libraries)?.succeed()?;
        let (before, after) = (&ran.result["before"], &ran.result["after"]);
        ensure!(before["failed"] == 404 && after["failed"] == 404, "{before}\n{after}");
        let told = Told::by(&ran)?;
        for (way, name, statement, status) in [
            ("search", "Elasticsearch: POST /shop/_search", r#"{"query":{"match_all":{}}}"#, "200"),
            ("get", "Elasticsearch: GET /shop/_doc/1", "", "200"),
            ("http", "Elasticsearch: POST /shop/_search", r#"{"query":{"term":{"a":1}}}"#, "200"),
            ("failed", "Elasticsearch: GET /missing/_search", "", "404"),
            ("then", "Elasticsearch: HEAD /", "", "200"),
        ] {
            let request = told.request(&format!("/{way}"))?.context.context("a context")?;
            let calls = told.calls(&format!("/{way}"))?;
            ensure!(calls.len() == 1 + usize::from(way == "then"), "{way}: {calls:?}");
            let call = calls[0];
            ensure!(call.source == "elasticsearch" && call.name == name, "{call:?}");
            ensure!(attribute(call, "db.query.text") == statement, "{call:?}");
            ensure!(attribute(call, "http.response.status_code") == status, "{call:?}");
            ensure!(attribute(call, "server.port").parse::<u64>().ok() == ran.result["place"].as_u64(), "{call:?}");
            ensure!((call.status == SpanStatus::Error) == (way == "failed"), "{call:?}");
            ensure!(codes_of(&told, call).len() == usize::from(way == "failed"), "{way}");
            let carried = format!("00-{}-{}-01", request.trace, call.context.span);
            ensure!(["failed", "then"].contains(&way) || after[way]["traceparent"] == carried, "{way}: {after}");
            ensure!(calls.iter().skip(1).all(|call| call.source == "http"), "{calls:?}");
        }
        Ok(())
    })
}
