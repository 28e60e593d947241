//! The Express services of `tests/apps/node`, on any major of Node.js.

use std::{process::Command, thread, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    agent::Agent,
    decoder::Decoder,
    node::{Libraries, Major},
    place,
    postgres::Postgres,
    programs::Program,
    redis::Redis,
    wait,
};

/// What the agent logs when its script is in a process.
pub const LISTENING: &str = "a script in Node.js";

/// How long one of many processes may take until the script is in it.
const EACH: Duration = Duration::from_secs(6);

/// Starts the service.
///
/// # Errors
/// If it does not start.
pub fn start(major: Major, database: &Postgres) -> Result<Program> {
    start_with(major, database, &[], &[])
}

/// Starts the service with options of node, and variables.
///
/// # Errors
/// If it does not start.
pub fn start_with(major: Major, database: &Postgres, options: &[&str], variables: &[(&str, &str)]) -> Result<Program> {
    let mut command = command(major, options, "web.js", database);
    command.envs(variables.iter().copied());
    Program::listening(&format!("Node.js {}", major.0), command)
}

/// Starts the service of `tests/apps/node/shop.js`, which is measured, behind other words; if asked to, with
/// elastic-apm-node in it, which sends to `elastic`.
///
/// # Errors
/// If it does not start.
pub fn start_shop(
    prefix: &[&str],
    major: Major,
    stores: (&Postgres, &Redis),
    elastic: Option<&Decoder>,
) -> Result<Program> {
    let module = place::node().join("elastic/node_modules/elastic-apm-node/start.js").display().to_string();
    let options: &[&str] = if elastic.is_some() { &["--require", &module] } else { &[] };
    let mut command = command(major, options, "shop.js", stores.0);
    command.env("REDISPORT", stores.1.port().to_string()).env("NODE_ENV", "production");
    if let Some(server) = elastic {
        command.env("ELASTIC_APM_SERVER_URL", server.url());
        command.env("ELASTIC_APM_CLOUD_PROVIDER", "none").env("ELASTIC_APM_CENTRAL_CONFIG", "false");
    }
    Program::listening_behind(prefix, &format!("Node.js {}", major.0), command)
}

fn command(major: Major, options: &[&str], service: &str, database: &Postgres) -> Command {
    let mut command = Command::new(major.program());
    command.args(options).arg(place::app("node").join(service));
    command.env("NODE_PATH", Libraries::Older.modules());
    command.env("DATABASE_URL", format!("postgres://postgres@127.0.0.1:{}/postgres", database.port()));
    command
}

/// Waits until the agent's script has come into so many processes since the agent began.
///
/// # Errors
/// If that takes too long.
pub fn is_in(agent: &Agent, processes: usize) -> Result<()> {
    let enough = || agent.output().matches(LISTENING).count() >= processes;
    let limit = wait::PATIENCE.max(EACH * u32::try_from(processes)?);
    wait::until("the script to be in", limit, || enough().then_some(())).with_context(|| agent.output())
}

/// Waits until the script has come in, and what it tells is listened to.
///
/// # Errors
/// If that takes too long.
pub fn listens(agent: &Agent, processes: usize) -> Result<()> {
    is_in(agent, processes)?;
    // The engine takes in that the script speaks at its next looks; what passes before is told by the wire.
    thread::sleep(Duration::from_millis(1500));
    Ok(())
}
