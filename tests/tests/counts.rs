//! Sent = reported + counted, exactly; and nothing is lost at half of what the machine can do.

use std::{io::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    agent::{Agent, Ended},
    decoder::Decoder,
    documents::{Documents, text},
    load::{self, Steady},
    nginx::Nginx,
    postgres::{DEBIAN_FOLDER, Postgres, complete},
    turn::{Need, Turn},
};
use tempfile::TempDir;

const PGBENCH: &str = "/usr/lib/postgresql/*/bin/pgbench";

/// An agent that writes a file, which is decoded afterwards: a decoder running beside it would take the machine's
/// second core from the load.
struct Recorder {
    agent: Agent,
    folder: TempDir,
}

impl Recorder {
    fn start(arguments: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let file = folder.path().join("documents.ndjson").display().to_string();
        let words: Vec<String> = arguments.iter().copied().chain(["--file", &file]).map(str::to_owned).collect();
        Ok(Self { agent: Agent::run(&words)?, folder })
    }

    fn finish(self) -> Result<(Documents, Ended)> {
        let ended = self.agent.stop()?;
        let decoder = Decoder::start()?;
        let mut documents = Documents::default();
        for file in rotated(self.folder.path())? {
            documents.extend(decoder.decode(&file)?);
        }
        Ok((documents, ended))
    }
}

/// The file and those it was rotated into.
fn rotated(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    entries.collect::<std::io::Result<_>>().context("the folder of the agent's files can be read")
}

#[test]
fn nginx_at_saturation() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx"), Need::Program("wrk")]) else { return Ok(()) };
    let nginx = Nginx::start()?;
    let before = nginx.requests()?;
    let recorder = Recorder::start(&["--pid", &nginx.pid().to_string()])?;
    let url = format!("http://127.0.0.1:{}/", nginx.port());
    let measured = load::wrk(&[], 32, Duration::from_secs(3), &url)?;
    let sent = nginx.requests()? - before;
    let (documents, ended) = recorder.finish()?;
    account("nginx, wrk at saturation", sent, documents.requests().count() as u64, ended.stats.lost_exchanges())?;
    ensure!(measured.requests <= sent, "wrk got more answers than nginx had requests");
    Ok(())
}

#[test]
fn nginx_at_half_of_saturation() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx"), Need::Program("wrk")]) else { return Ok(()) };
    let nginx = Nginx::start()?;
    let url = format!("http://127.0.0.1:{}/", nginx.port());
    let recorder = Recorder::start(&["--pid", &nginx.pid().to_string()])?;
    let saturation = load::wrk(&[], 32, Duration::from_secs(2), &url)?.per_second;
    recorder.finish()?;
    let before = nginx.requests()?;
    let recorder = Recorder::start(&["--pid", &nginx.pid().to_string()])?;
    let load = Steady {
        port: nginx.port(),
        path: "/",
        connections: 16,
        keep_alive: true,
        per_second: saturation / 2.0,
        duration: Duration::from_secs(3),
        core: None,
    };
    let answered = load.run()?.requests;
    let sent = nginx.requests()? - before;
    let (documents, ended) = recorder.finish()?;
    let lost = ended.stats.lost_exchanges();
    account("nginx, half of saturation", sent, documents.requests().count() as u64, lost)?;
    ensure!(lost == 0 && ended.stats.get("kernel.events.lost") == 0, "{lost} lost at {:.0}/s", saturation / 2.0);
    ensure!(answered + 1 == sent, "{answered} answers of {sent} requests");
    Ok(())
}

#[test]
fn pgbench_at_saturation() -> Result<()> {
    pgbench("pgbench at saturation", &["-S", "-c", "8", "-t", "2500"], 20_000).map(|_| ())
}

#[test]
fn pgbench_at_half_of_saturation() -> Result<()> {
    let Some(saturation) = pgbench("pgbench, to find saturation", &["-S", "-c", "8", "-t", "1000"], 8000)? else {
        return Ok(());
    };
    let rate = format!("--rate={:.0}", saturation.per_second / 2.0);
    let half = pgbench("pgbench, half of saturation", &["-S", "-c", "8", "-t", "1000", &rate], 8000)?;
    ensure!(half.is_some_and(|half| half.lost == 0), "lost at half of saturation: {half:?}");
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    lost: u64,
}

fn pgbench(what: &str, arguments: &[&str], expected: u64) -> Result<Option<Rate>> {
    let Some(_turn) = Turn::take(&[Need::File(DEBIAN_FOLDER)]) else { return Ok(None) };
    let database = Postgres::start()?;
    database.prepare_pgbench()?;
    let recorder = Recorder::start(&["--exe", PGBENCH])?;
    let report = complete("pgbench", database.pgbench().args(arguments).arg("postgres"))?;
    let (documents, ended) = recorder.finish()?;
    // Those of pgbench's own preparation have other texts.
    let accounts = |span: &&serde_json::Value| text(span, "span.db.statement").contains("FROM pgbench_accounts WHERE");
    let lost = ended.stats.lost_exchanges();
    account(what, expected, documents.spans().filter(accounts).count() as u64, lost)?;
    let line = report.lines().find(|line| line.starts_with("tps = ")).context("pgbench prints its rate")?;
    let per_second = line.split(' ').nth(2).context("the rate is a number")?.parse()?;
    Ok(Some(Rate { per_second, lost }))
}

fn account(what: &str, sent: u64, reported: u64, counted: u64) -> Result<()> {
    writeln!(std::io::stderr(), "{what}: sent {sent}, reported {reported}, counted as lost {counted}")?;
    ensure!(sent == reported + counted, "{what}: {sent} sent, {reported} reported, {counted} counted as lost");
    Ok(())
}
