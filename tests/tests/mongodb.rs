//! Calls of real clients of MongoDB, on a small server made for the tests.

use anyhow::{Result, ensure};
use apm_tests::{
    databases::{self, Language},
    documents::{number, text},
    go, http,
    node::{Libraries, Major},
    small_servers::SmallServers,
    tls::Certificate,
    turn::{Need, Turn},
};

#[test]
fn calls_of_go_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("go"), Need::NodeMajors]) else { return Ok(()) };
    calls_of_go(&SmallServers::start(Major(24), Libraries::Newer)?, "MONGODB_PORT")
}

/// In plain text from `crypto/tls`: no probe knows the protocol.
#[test]
fn calls_of_go_over_tls_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("go"), Need::Program("openssl"), Need::NodeMajors]) else {
        return Ok(());
    };
    let certificate = Certificate::generate()?;
    calls_of_go(&SmallServers::encrypted(Major(24), Libraries::Newer, &certificate)?, "MONGODB_TLS_PORT")
}

/// Asked by a goroutine that knows no more of the request than its context.
fn calls_of_go(servers: &SmallServers, variable: &str) -> Result<()> {
    let port = servers.port("MONGODB_PORT")?;
    let program = databases::start(Language::Go, &[(variable, port)])?;
    let ask = |path: &str| {
        let answer = http::get(program.port(), path)?;
        ensure!(answer.status == 200, "{path}: {answer:?}\n{}", program.output());
        Ok(())
    };
    let majors = ["mongo", "mongo1"];
    // Its connection is older than the agent, the other's is not.
    ask("/mongo/item/1")?;
    let watch = go::watch(&program, &[])?;
    majors.iter().try_for_each(|major| ask(&format!("/{major}/item/2")))?;
    let documents = watch.finish()?.documents;
    for major in majors {
        let spans: Vec<_> = documents.spans_of(documents.request(&format!("/{major}/item/2"))?).collect();
        let [find] = spans[..] else { anyhow::bail!("{major}: {spans:?}, {}", documents.summary()) };
        let kind = ["span.type", "span.subtype", "span.action"].map(|name| text(find, name));
        ensure!(kind == ["db", "mongodb", "find"], "{find}");
        ensure!(text(find, "span.name").contains("orders.find"), "{find}");
        ensure!(number(find, "destination.port") == Some(port.into()), "{find}");
        ensure!(text(find, "event.outcome") == "success" && text(find, "span.db.instance") == "shop", "{find}");
    }
    Ok(())
}
