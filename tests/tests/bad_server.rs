//! An APM Server that is down, slow or refuses: the agent lives, says why, and the target does not notice.

use anyhow::{Result, ensure};
use apm_tests::{
    agent::{Agent, Ended},
    decoder::Decoder,
    http,
    nginx::Nginx,
    process,
    turn::{Need, Turn},
};

/// What the agent may use whatever happens, bytes.
const MEMORY: u64 = 60 << 20;

/// Requests sent to the target while the server is as it is.
const REQUESTS: u32 = 300;

#[test]
fn server_that_is_down() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx")]) else { return Ok(()) };
    let url = format!("http://127.0.0.1:{}", http::free_port()?);
    let ended = watch_with(&url)?;
    ensure!(ended.log.contains(&url), "the message names the server:\n{}", ended.log);
    Ok(())
}

#[test]
fn server_that_refuses() -> Result<()> {
    for status in ["400", "401", "413", "429", "503"] {
        let Some(_turn) = Turn::take(&[Need::Program("nginx")]) else { return Ok(()) };
        let decoder = Decoder::start_with(&["-status", status])?;
        let ended = watch_with(&decoder.url())?;
        ensure!(ended.log.contains(status), "the message says {status}:\n{}", ended.log);
    }
    Ok(())
}

#[test]
fn server_that_is_slow() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx")]) else { return Ok(()) };
    let decoder = Decoder::start_with(&["-delay", "3s"])?;
    watch_with(&decoder.url())?;
    let documents = decoder.documents()?;
    ensure!(documents.requests().count() == REQUESTS as usize, "{} of {REQUESTS}", documents.len());
    Ok(())
}

#[test]
fn server_that_closes_without_an_answer() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("nginx")]) else { return Ok(()) };
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    // Ends with the process; there is nothing to wait for.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    watch_with(&url)?;
    Ok(())
}

/// Watches nginx while it is asked, and ends the agent, which must still end well.
fn watch_with(url: &str) -> Result<Ended> {
    let nginx = Nginx::start()?;
    let words = ["--pid", &nginx.pid().to_string(), "--server-url", url].map(str::to_owned);
    let mut agent = Agent::run(&words)?;
    for _ in 0..REQUESTS {
        ensure!(http::get(nginx.port(), "/")?.status == 200);
    }
    ensure!(agent.is_running(), "{}", agent.output());
    let memory = process::resident_bytes(agent.pid())?;
    ensure!(memory <= MEMORY, "the agent uses {memory} bytes");
    agent.stop()
}
