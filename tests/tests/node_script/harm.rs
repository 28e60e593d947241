//! What the script changes of a process: nothing that can be seen, and nothing that stays.

use super::*;
use apm_agent::runtime::node::script::{Refusal, Status};
use apm_tests::redis::{self, Redis};

#[test]
fn nothing_is_left() -> Result<()> {
    on_each(|major, libraries| {
        let ran = with_script("nothing_left.js", major, libraries)?.succeed()?;
        ensure!(ran.result["ok"] == true, "{}", ran.output);
        Ok(())
    })
}

/// Fifty times in one major, under load, with calls under way; fewer in the others, for it takes its time.
#[test]
fn it_comes_and_goes_under_load() -> Result<()> {
    if !turn::can_run(&[Need::NodeMajors, Need::Program(redis::PROGRAM)]) {
        return Ok(());
    }
    let (postgres, redis) = (Postgres::start()?, Redis::start()?);
    on_each(|major, libraries| {
        let scenario = with_script("coming_and_going.js", major, libraries)?.variable("PGPORT", postgres.port());
        let rounds = if (major, libraries) == (Major(22), Libraries::Newer) { 50 } else { 5 };
        let ran = scenario.variable("REDISPORT", redis.port()).variable("ROUNDS", rounds).succeed()?;
        ensure!(ran.result["bad"] == 0 && ran.result["same"] == true, "{}", ran.output);
        ensure!(ran.result["asked"].as_u64().is_some_and(|asked| asked > 10 * rounds), "{}", ran.output);
        let told = Told::by(&ran)?;
        ensure!(told.requests().count() > 100 && told.spans().count() > 200, "{}", told.requests().count());
        ensure!(told.errors().count() == 0, "{:?}", told.errors().next());
        Ok(())
    })
}

/// What is loaded later is watched, too; what is not as it should be is left alone, and why is said.
#[test]
fn what_it_does_not_know_is_left_alone() -> Result<()> {
    on_each(|major, libraries| {
        let ran = with_script("modules.js", major, libraries)?.succeed()?;
        let status: Status = serde_json::from_value(ran.result["status"].clone())?;
        let express = if libraries == Libraries::Older { "express 4." } else { "express (router 2." };
        ensure!(status.ok && status.patched.iter().any(|name| name.starts_with(express)), "{status:?}");
        let refused = |library: &str, reason: &str| Refusal { library: library.into(), reason: reason.into() };
        let expected = [
            refused("pg 99.1.0", "only versions 8 to 8 are known"),
            refused("mysql 2.99.0", "there is no method getConnection"),
        ];
        ensure!(status.refused == expected, "{status:?}");
        let other: Status = serde_json::from_value(ran.result["other"].clone())?;
        ensure!(!other.ok && other.reason == "another agent is inside: elastic-apm-node", "{other:?}");
        Ok(())
    })
}

/// What was printed, whichever of the two outputs was read first.
fn lines(ran: &Ran) -> Vec<&str> {
    let mut lines: Vec<_> = ran.output.lines().collect();
    lines.sort_unstable();
    lines
}

/// Thrown, thrown as a text, rejected; and the first and last of these with the application's own handler.
#[test]
fn a_process_ends_as_it_would_and_its_error_is_told() -> Result<()> {
    on_each(|major, libraries| {
        if libraries == Libraries::Newer {
            // No library is used.
            return Ok(());
        }
        for (way, message, handled) in [
            ("throw", "thrown", false),
            ("text", "only a text", false),
            ("reject", "rejected", false),
            ("caught", "caught", true),
            ("heard", "heard", true),
        ] {
            let without = Scenario::new("errors.js", major, libraries)?.variable("WAY", way).run()?;
            let with = with_script("errors.js", major, libraries)?.variable("WAY", way).run()?;
            ensure!(without.status == with.status, "{way}: {} and {}", without.status, with.status);
            ensure!(lines(&without) == lines(&with), "{way}:\n{}\n{}", without.output, with.output);
            ensure!(without.status.success() == handled, "{way}: {}", without.output);
            let told = Told::by(&with)?;
            let errors: Vec<_> = told.errors().collect();
            let [threw] = errors[..] else { anyhow::bail!("{way}: {errors:?}") };
            ensure!(threw.thrown.message == message && threw.handled == handled, "{way}: {threw:?}");
            let context = threw.context.with_context(|| format!("{way}: it happened in a request"))?;
            if handled {
                ensure!(told.request("/boom")?.context == Some(context), "{way}: {context:?}");
            }
            if way != "text" {
                let culprit = threw.thrown.culprit.as_deref().unwrap_or_default();
                ensure!(culprit.contains("errors.js"), "{way}: {culprit}");
            }
        }
        Ok(())
    })
}
