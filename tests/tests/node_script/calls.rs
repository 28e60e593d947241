//! Calls: what each is, in which request it is made, and what it carries.

use super::*;
use apm_agent::bridge::SpanStatus;
use apm_tests::{
    mariadb::{self, MariaDb},
    memcached::{self, Memcached},
    redis::{self, Redis},
};

/// The header a server got.
fn got<'a>(result: &'a Value, way: &str, name: &str) -> &'a str {
    result["answers"][way]["headers"][name].as_str().unwrap_or_default()
}

#[test]
fn http_calls_carry_the_trace() -> Result<()> {
    on_each(|major, libraries| {
        let ran = with_script("http.js", major, libraries)?.succeed()?;
        let told = Told::by(&ran)?;
        let down = ran.result["down"].as_u64().context("a port")?;
        for (way, target, library, host) in [
            ("object", "/http/object", "http", ""),
            ("url", "/http/url", "http", ""),
            ("flat", "/http/flat", "http", ""),
            ("bare", "/http/bare", "http", "shop.example"),
            ("post", "/http/post", "http", ""),
            ("fetch", "/builtin/fetch", "undici", ""),
            ("undici", "/undici/none", "undici", ""),
        ] {
            let request = told.request(target)?.context.context("a context")?;
            let [call] = told.calls(target)?[..] else { anyhow::bail!("{target}: {:?}", told.calls(target)?) };
            let parent = format!("00-{}-{}-01", request.trace, call.context.span);
            ensure!(got(&ran.result, way, "traceparent") == parent, "{way}: {}", ran.result["answers"][way]);
            ensure!(got(&ran.result, way, "elastic-apm-traceparent") == parent, "{way}");
            ensure!(got(&ran.result, way, "tracestate") == "es=s:1", "{way}: {}", ran.result["answers"][way]);
            ensure!(call.source == library && call.status == SpanStatus::Ok, "{call:?}");
            let host = if host.is_empty() { format!("127.0.0.1:{down}") } else { host.to_owned() };
            let path = way.split('/').next_back().unwrap_or_default();
            ensure!(attribute(call, "url.full") == format!("http://{host}/{path}"), "{call:?}");
            ensure!(attribute(call, "http.response.status_code") == "200", "{call:?}");
            let method = if way == "post" { "POST" } else { "GET" };
            ensure!(attribute(call, "http.request.method") == method, "{call:?}");
            ensure!(attribute(call, "network.local.port").parse::<u16>().is_ok_and(|port| port > 0), "{call:?}");
            ensure!((1..5_000_000_000).contains(&call.duration), "{call:?}");
            ensure!(told.is_before(call, request), "{target} was over when it was answered: {call:?}");
        }
        context_is_taken_over(&ran, &told)?;
        own_headers_stay(&ran, &told)?;
        let [refused] = told.calls("/refused")?[..] else { anyhow::bail!("a refused call is told") };
        ensure!(refused.status == SpanStatus::Error && attribute(refused, "http.response.status_code").is_empty());
        let threw = told.errors().find(|threw| threw.context.is_some_and(|at| at.span == refused.context.span));
        let code = threw.and_then(|threw| threw.thrown.code.as_deref());
        ensure!(code == Some("ECONNREFUSED"), "{threw:?}");
        connections_are_numbered(&told)
    })
}

/// What is told of a call that is not recorded.
const LOCAL_PORT: &str = "network.local.port";

fn context_is_taken_over(ran: &Ran, told: &Told) -> Result<()> {
    let (trace, parent) = ("1".repeat(32), "2".repeat(16));
    let traced = told.request("/http/object?traced")?.context.context("a context")?;
    ensure!(traced.trace.to_string() == trace && traced.sampled, "{traced:?}");
    ensure!(traced.parent.is_some_and(|id| id.to_string() == parent), "{traced:?}");
    ensure!(got(&ran.result, "traced", "traceparent").starts_with(&format!("00-{trace}-")));
    ensure!(got(&ran.result, "traced", "tracestate") == "es=s:0.5,other=1", "it is passed on as it is");
    let contexts = told.requests().filter_map(|request| request.context);
    // The server below is in the same process.
    let mut unsampled = contexts.filter(|context| !context.sampled && context.trace == traced.trace);
    let unsampled = unsampled.find(|context| context.parent == traced.parent).context("it is told all the same")?;
    let carried = format!("00-{trace}-{}-00", unsampled.span);
    ensure!(got(&ran.result, "unsampled", "traceparent") == carried, "{}", ran.result["answers"]["unsampled"]);
    // But which call on the wire it is.
    let mut calls = told.spans().filter(|span| span.context.parent == Some(unsampled.span));
    ensure!(calls.all(|span| !span.context.sampled && span.attributes.iter().all(|(name, _)| name == LOCAL_PORT)));
    Ok(())
}

/// What the application sends is not sent twice, and not changed.
fn own_headers_stay(ran: &Ran, told: &Told) -> Result<()> {
    for (way, target) in [("own", "/http/own"), ("undiciOwn", "/undici/own")] {
        let answer = &ran.result["answers"][way];
        let names = answer["names"].as_array().context("names")?;
        let traces =
            names.iter().filter_map(Value::as_str).filter(|name| name.to_lowercase().contains("trace")).count();
        ensure!(traces == 1 && got(&ran.result, way, "traceparent").starts_with("00-aaaa"), "{answer}");
        ensure!(told.calls(target)?.len() == 1, "the call is told");
    }
    Ok(())
}

/// Requests on connections that the script saw begin have numbers; those on an older one have none.
fn connections_are_numbered(told: &Told) -> Result<()> {
    let (old, new): (Vec<_>, Vec<_>) = told.requests().partition(|request| request.ordinal.is_none());
    ensure!(old.iter().all(|request| request.remote_port == old[0].remote_port), "one connection was there before");
    ensure!(old.len() > 5 && new.len() > 5, "{} and {}", old.len(), new.len());
    let refused = told.request("/refused")?;
    ensure!(refused.ordinal.as_ref().is_some_and(|(_, number)| *number == 0), "{refused:?}");
    ensure!(told.requests().all(|request| request.remote_port != 0), "all have a peer");
    Ok(())
}

/// Each way to ask PostgreSQL gives one span of its request, and what it gives to the application is what it gave before.
#[test]
fn pg_queries_are_told() -> Result<()> {
    if !turn::can_run(NEEDS) {
        return Ok(());
    }
    let database = Postgres::start()?;
    on_each_and_bundled(|major, libraries| {
        let scenario = with_script("pg.js", major, libraries)?.variable("PGPORT", database.port());
        let ran = scenario.succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        ensure!(ran.result["unhandled"] == 1, "a rejection nobody handles stays one: {}", ran.result["unhandled"]);
        let told = Told::by(&ran)?;
        let ways = ran.result["after"].as_object().context("ways")?;
        for way in ways.keys().filter(|way| *way != "misused") {
            let calls = told.calls(&format!("/{way}"))?;
            ensure!(calls.len() == if way == "inside" { 2 } else { 1 }, "{way}: {calls:?}");
            let failed = way.starts_with("failed");
            for call in calls {
                let statement = attribute(call, "db.query.text");
                ensure!(call.source == "pg" && (failed || statement.contains(way.as_str())), "{way}: {call:?}");
                ensure!((call.status == SpanStatus::Error) == failed, "{way}: {call:?}");
                ensure!(attribute(call, "db.system.name") == "postgresql" && attribute(call, "db.user") == "postgres");
                ensure!(attribute(call, "db.namespace") == "postgres", "{call:?}");
                ensure!(attribute(call, "server.port") == database.port().to_string(), "{call:?}");
                ensure!(attribute(call, "network.local.port").parse::<u16>().is_ok(), "{call:?}");
                let codes = codes_of(&told, call);
                ensure!(codes == if failed { vec!["42P01"] } else { vec![] }, "{way}: {codes:?}");
            }
        }
        Ok(())
    })
}

/// As of PostgreSQL, by mysql2 and mysql.
#[test]
fn mysql_queries_are_told() -> Result<()> {
    if !turn::can_run(&[Need::NodeMajors, Need::File(mariadb::PROGRAM)]) {
        return Ok(());
    }
    let database = MariaDb::start()?;
    on_each_and_bundled(|major, libraries| {
        for library in ["mysql2", "mysql"] {
            let scenario = with_script(&format!("{library}.js"), major, libraries)?;
            let ran = scenario.variable("MYSQLPORT", database.port()).succeed()?;
            mysql_queries(&ran, library, &database).context(library)?;
        }
        Ok(())
    })
}

fn mysql_queries(ran: &Ran, library: &str, database: &MariaDb) -> Result<()> {
    ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
    let told = Told::by(ran)?;
    for way in ran.result["after"].as_object().context("ways")?.keys() {
        let calls = told.calls(&format!("/{way}"))?;
        ensure!(calls.len() == if way == "inside" { 2 } else { 1 }, "{way}: {calls:?}");
        let failed = way.starts_with("failed");
        for call in calls {
            let statement = attribute(call, "db.query.text");
            ensure!(call.source == library && (failed || statement.contains(way.as_str())), "{way}: {call:?}");
            ensure!((call.status == SpanStatus::Error) == failed, "{way}: {call:?}");
            ensure!(attribute(call, "db.system.name") == "mysql" && attribute(call, "db.user") == "shop");
            ensure!(attribute(call, "db.namespace") == "shop", "{call:?}");
            ensure!(attribute(call, "server.port") == database.port().to_string(), "{call:?}");
            let codes = codes_of(&told, call);
            ensure!(codes == if failed { vec!["ER_NO_SUCH_TABLE"] } else { vec![] }, "{way}: {codes:?}");
        }
    }
    Ok(())
}

/// Each command is a span, whoever sends it: one by one, in pipelines and transactions.
#[test]
fn redis_commands_are_told() -> Result<()> {
    if !turn::can_run(&[Need::NodeMajors, Need::Program(redis::PROGRAM)]) {
        return Ok(());
    }
    let server = Redis::start()?;
    let commands = |major, libraries| {
        let scenario = with_script("redis.js", major, libraries)?.variable("REDISPORT", server.port());
        let ran = scenario.succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        let told = Told::by(&ran)?;
        for way in ran.result["after"].as_object().context("ways")?.keys() {
            let calls = told.calls(&format!("/{way}"))?;
            let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
            let expected: &[&str] = match way.as_str() {
                "ioredisCallback" => &["GET", "GET"],
                "ioredisPipeline" => &["GET", "STRLEN"],
                "ioredisMulti" | "redisMulti" => &["MULTI", "GET", "EXEC"],
                "ioredisFailed" | "redisFailed" => &["HGET"],
                _ => &["GET"],
            };
            ensure!(names == expected, "{way}: {names:?}");
            for call in calls {
                ensure!(way.starts_with(&call.source) && attribute(call, "db.system.name") == "redis", "{call:?}");
                let failed = way.ends_with("Failed");
                ensure!((call.status == SpanStatus::Error) == failed, "{way}: {call:?}");
                ensure!(codes_of(&told, call).len() == usize::from(failed), "{way}");
                // Before version 5 node-redis does not tell.
                let place = [attribute(call, "server.address"), attribute(call, "server.port")];
                let known = place == ["127.0.0.1", &server.port().to_string()];
                ensure!(known || (place == ["", ""] && call.source == "redis" && libraries.are_older()), "{call:?}");
            }
        }
        Ok(())
    };
    on_each_and_bundled(commands)?;
    on_newest(commands)
}

/// Each command on memcached is a span with its key.
#[test]
fn memcached_commands_are_told() -> Result<()> {
    if !turn::can_run(&[Need::NodeMajors, Need::Program(memcached::PROGRAM)]) {
        return Ok(());
    }
    let server = Memcached::start()?;
    on_each_and_bundled(|major, libraries| {
        let scenario = with_script("memcached.js", major, libraries)?.variable("MEMCACHEDPORT", server.port());
        let ran = scenario.succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        let told = Told::by(&ran)?;
        for (way, command, key, times) in [
            ("set", "set", "set", 1),
            ("get", "get", "get", 1),
            ("getInside", "get", "getInside", 2),
            ("delete", "delete", "delete", 1),
            ("incr", "incr", "set", 1),
        ] {
            let calls = told.calls(&format!("/{way}"))?;
            ensure!(calls.len() == times, "{way}: {calls:?}");
            for call in calls {
                ensure!(call.name == format!("memcached.{command}") && call.source == "memcached", "{call:?}");
                ensure!(attribute(call, "db.query.text") == format!("{command} {key}"), "{call:?}");
                ensure!(attribute(call, "server.port") == server.port().to_string(), "{call:?}");
                ensure!((call.status == SpanStatus::Error) == (way == "incr"), "a text cannot be counted up: {call:?}");
            }
        }
        Ok(())
    })
}

/// Each message that is sent in a request is a span, whatever `send` is given.
#[test]
fn web_socket_messages_are_told() -> Result<()> {
    on_each_and_bundled(|major, libraries| {
        let ran = with_script("ws.js", major, libraries)?.succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        let told = Told::by(&ran)?;
        for way in ["plain", "options", "callback", "both"] {
            let [call] = told.calls(&format!("/{way}"))?[..] else { anyhow::bail!("{:?}", told.calls(way)?) };
            ensure!(call.source == "ws" && call.name == "Send WebSocket Message", "{call:?}");
            ensure!(call.status == SpanStatus::Ok, "{call:?}");
        }
        ensure!(told.spans().filter(|span| span.source == "ws").count() == 4, "what cannot be sent is none");
        Ok(())
    })
}
