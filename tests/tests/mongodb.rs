//! Calls of real clients of MongoDB, on a small server made for the tests.

use anyhow::{Result, ensure};
use apm_tests::{
    databases::{self, Language},
    documents::text,
    go, http,
    node::{Libraries, Major},
    small_servers::SmallServers,
    turn::{Need, Turn},
};

/// Asked by a goroutine that knows no more of the request than its context.
#[test]
fn calls_of_go_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("go"), Need::NodeMajors]) else { return Ok(()) };
    let servers = SmallServers::start(Major(24), Libraries::Newer)?;
    let program = databases::start(Language::Go, &[("MONGODB_PORT", servers.port("MONGODB_PORT")?)])?;
    let ask = |path: &str| {
        let answer = http::get(program.port(), path)?;
        ensure!(answer.status == 200, "{path}: {answer:?}\n{}", program.output());
        Ok(())
    };
    let majors = ["mongo", "mongo1"];
    majors.iter().try_for_each(|major| ask(&format!("/{major}/item/1")))?;
    let watch = go::watch(&program, &[])?;
    majors.iter().try_for_each(|major| ask(&format!("/{major}/item/2")))?;
    let documents = watch.finish()?.documents;
    for major in majors {
        let spans: Vec<_> = documents.spans_of(documents.request(&format!("/{major}/item/2"))?).collect();
        let [find] = spans[..] else { anyhow::bail!("{major}: {spans:?}, {}", documents.summary()) };
        let kind = ["span.type", "span.subtype", "span.action"].map(|name| text(find, name));
        ensure!(kind == ["db", "mongodb", "find"], "{find}");
        ensure!(text(find, "span.name").contains("orders.find"), "{find}");
    }
    Ok(())
}
