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
    if !turn::can_run(&[Need::NodeMajors, Need::File(mariadb::PROGRAM), Need::Program(redis::PROGRAM)]) {
        return Ok(());
    }
    let (postgres, maria, redis) = (Postgres::start()?, MariaDb::start()?, Redis::start()?);
    on_each(|major, libraries| {
        let scenario = with_script("truth.js", major, libraries)?.variable("REQUESTS", REQUESTS);
        let scenario = scenario.variable("PGPORT", postgres.port()).variable("MYSQLPORT", maria.port());
        let ran = scenario.variable("REDISPORT", redis.port()).succeed()?;
        let told = Told::by(&ran)?;
        let requests: HashMap<SpanId, usize> = told
            .requests()
            .filter_map(|request| {
                let target = request.facts.as_ref()?.target.strip_prefix("/work")?;
                Some((request.context?.span, number(target)?))
            })
            .collect();
        ensure!(requests.len() == REQUESTS, "{} requests", requests.len());
        let mut calls = vec![0_u64; REQUESTS];
        let (mut wrong, mut spans) = (0, HashMap::new());
        for span in told.spans() {
            let text = [attribute(span, "db.query.text"), attribute(span, "url.full"), &span.name].concat();
            let within = span.context.parent.and_then(|parent| requests.get(&parent));
            let within = *within.with_context(|| format!("in no request: {span:?}"))?;
            let id = if span.name == "GET" && span.source == "ioredis" {
                Some(within)
            } else {
                number(&text.to_lowercase())
            };
            let id = id.with_context(|| format!("without a number: {span:?}"))?;
            wrong += u32::from(within != id);
            calls[id] += 1;
            spans.insert(span.context.span.to_string(), (span.context.trace.to_string(), id));
        }
        // Of PostgreSQL and MariaDB one query is made in the callback of another, each of two times.
        let each = ran.result["calls"].as_u64().context("calls")? + 4;
        let missing = calls.iter().filter(|calls| **calls != each).count();
        ensure!(
            wrong == 0 && missing == 0,
            "{wrong} calls are wrong, of {missing} requests some are missing: {calls:?}"
        );
        for heard in ran.result["heard"].as_array().context("what was carried")? {
            let [Value::String(trace), Value::String(span), id] = &heard.as_array().context("three")?[..] else {
                anyhow::bail!("{heard}")
            };
            let id = id.as_u64().context("a number")? as usize;
            ensure!(spans.get(span) == Some(&(trace.clone(), id)), "{heard} is {:?}", spans.get(span));
        }
        Ok(())
    })
}
