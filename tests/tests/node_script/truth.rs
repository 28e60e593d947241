//! A hundred requests at a time, the number of each in all it does: every call is told in its own request.

use std::collections::HashMap;

use super::*;
use apm_agent::correlate::SpanId;

const REQUESTS: usize = 1000;

/// The number in `id=7.`
fn number(text: &str) -> Option<usize> {
    text.split_once("id=")?.1.split('.').next()?.parse().ok()
}

#[test]
fn every_call_is_told_in_its_own_request() -> Result<()> {
    if !turn::can_run(NEEDS) {
        return Ok(());
    }
    let database = Postgres::start()?;
    on_each(|major, libraries| {
        let scenario = with_script("truth.js", major, libraries)?.variable("REQUESTS", REQUESTS);
        let ran = scenario.variable("PGPORT", database.port()).succeed()?;
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
            let text = [attribute(span, "db.query.text"), attribute(span, "url.full")].concat();
            let id = number(&text).with_context(|| format!("{span:?}"))?;
            let within = span.context.parent.and_then(|parent| requests.get(&parent));
            wrong += u32::from(within != Some(&id));
            calls[id] += 1;
            spans.insert(span.context.span.to_string(), (span.context.trace.to_string(), id));
        }
        // A query that is made in the callback of another is one more.
        let each = ran.result["calls"].as_u64().context("calls")? + 2;
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
