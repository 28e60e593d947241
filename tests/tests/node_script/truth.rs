//! A hundred requests at a time, the number of each in all it does: every call is told in its own request.

use std::collections::HashMap;

use super::*;
use apm_agent::correlate::SpanId;
use apm_tests::{
    mariadb::{self, MariaDb},
    redis::{self, Redis},
};

const REQUESTS: usize = 400;

/// The number in `id=7.`
fn number(text: &str) -> Option<usize> {
    text.split_once("id=")?.1.split('.').next()?.parse().ok()
}

#[test]
fn every_call_is_told_in_its_own_request() -> Result<()> {
    let Some(stores) = Stores::start()? else { return Ok(()) };
    on_each(|major, libraries| {
        let ran = stores.given_to(with_script("truth.js", major, libraries)?).succeed()?;
        all_calls_are_right(&ran)
    })
}

/// The same of libraries in one file. Until each is met its calls may be missing, and none is wrong.
#[test]
fn every_call_of_a_bundle_is_told_in_its_own_request() -> Result<()> {
    let Some(stores) = Stores::start()? else { return Ok(()) };
    on_bundles(|major, libraries| {
        let ran = stores.given_to(with_script("truth.js", major, libraries)?).succeed()?;
        let patched = ran.result["status"]["patched"].to_string();
        for library in ["pg (bundled)", "pg (pg-pool, bundled)", "mysql2 (bundled)", "ioredis (bundled)"] {
            ensure!(patched.contains(library), "{library} was not met: {patched}");
        }
        all_calls_are_right(&ran)
    })
}

/// The servers that requests ask.
struct Stores {
    postgres: Postgres,
    maria: MariaDb,
    redis: Redis,
}

impl Stores {
    /// `None` where something for them is not installed.
    fn start() -> Result<Option<Self>> {
        if !turn::can_run(&[Need::NodeMajors, Need::File(mariadb::PROGRAM), Need::Program(redis::PROGRAM)]) {
            return Ok(None);
        }
        Ok(Some(Self { postgres: Postgres::start()?, maria: MariaDb::start()?, redis: Redis::start()? }))
    }

    fn given_to(&self, scenario: Scenario) -> Scenario {
        let scenario = scenario.variable("REQUESTS", REQUESTS).variable("PGPORT", self.postgres.port());
        scenario.variable("MYSQLPORT", self.maria.port()).variable("REDISPORT", self.redis.port())
    }
}

/// Numbers from `REQUESTS` on are those of requests that were there while classes were met.
fn all_calls_are_right(ran: &Ran) -> Result<()> {
    let told = Told::by(ran)?;
    let requests: HashMap<SpanId, usize> = told
        .requests()
        .filter_map(|request| {
            let target = request.facts.as_ref()?.target.strip_prefix("/work")?;
            Some((request.context?.span, number(target)?))
        })
        .collect();
    let measured = requests.values().filter(|id| **id < REQUESTS).count();
    ensure!(measured == REQUESTS, "{measured} requests");
    let mut calls: HashMap<usize, u64> = HashMap::new();
    let (mut wrong, mut spans) = (0, HashMap::new());
    for span in told.spans() {
        let text = [attribute(span, "db.query.text"), attribute(span, "url.full"), &span.name].concat();
        let within = span.context.parent.and_then(|parent| requests.get(&parent));
        let within = *within.with_context(|| format!("in no request: {span:?}"))?;
        let id =
            if span.name == "GET" && span.source == "ioredis" { Some(within) } else { number(&text.to_lowercase()) };
        let id = id.with_context(|| format!("without a number: {span:?}"))?;
        wrong += u32::from(within != id);
        *calls.entry(id).or_default() += 1;
        spans.insert(span.context.span.to_string(), (span.context.trace.to_string(), id));
    }
    // Of PostgreSQL and MariaDB one query is made in the callback of another, each of two times.
    let each = ran.result["calls"].as_u64().context("calls")? + 4;
    let missing = (0..REQUESTS).filter(|id| calls.get(id) != Some(&each)).count();
    ensure!(wrong == 0 && missing == 0, "{wrong} calls are wrong, of {missing} requests some are missing: {calls:?}");
    for heard in ran.result["heard"].as_array().context("what was carried")? {
        let [Value::String(trace), Value::String(span), id] = &heard.as_array().context("three")?[..] else {
            anyhow::bail!("{heard}")
        };
        let id = id.as_u64().context("a number")? as usize;
        ensure!(spans.get(span) == Some(&(trace.clone(), id)), "{heard} is {:?}", spans.get(span));
    }
    Ok(())
}
