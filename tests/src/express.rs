//! The Express services of `tests/apps/node`, on any major of Node.js.

use std::{fs, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::{
    agent::Agent,
    decoder::Decoder,
    node::{self, Libraries, Major, bundle_into},
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
    let mut command = Command::new(major.program());
    serve(command.args(options), "web.js", database);
    command.envs(variables.iter().copied());
    Program::listening(&format!("Node.js {}", major.0), command)
}

/// The service and its libraries in one file: a CommonJS (`cjs`) or an ES module (`esm`) with a source map, or an
/// `executable` of Node.js 26.
///
/// # Errors
/// If it cannot be made.
pub fn bundle(format: &str) -> Result<TempDir> {
    let folder = TempDir::new()?;
    // What the libraries take from Node.js they `require`.
    let banner =
        "--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";
    let (name, options) = match format {
        "esm" => ("service.mjs", &["--format=esm", "--sourcemap", banner][..]),
        "cjs" => ("service.js", &["--sourcemap"][..]),
        _ => ("service.js", &[][..]),
    };
    bundle_into(&folder.path().join(name), &place::app("node").join("web.js"), Libraries::Older, options)?;
    if format == "executable" {
        fs::write(folder.path().join("sea.json"), r#"{"main": "service.js", "output": "service"}"#)?;
        let mut builder = Command::new(Major(26).program());
        let built = builder.args(["--build-sea", "sea.json"]).current_dir(folder.path()).output()?;
        ensure!(built.status.success(), "no executable: {}", String::from_utf8_lossy(&built.stderr));
    }
    Ok(folder)
}

/// Starts it.
///
/// # Errors
/// If it does not start.
pub fn start_bundle(major: Major, bundle: &TempDir, database: &Postgres) -> Result<Program> {
    let service = |name: &str| Some(bundle.path().join(name)).filter(|path| path.exists());
    let mut command = Command::new(service("service").unwrap_or_else(|| major.program()));
    if service("service").is_none() {
        command.arg(service("service.mjs").or_else(|| service("service.js")).context("a bundle")?);
    }
    command.env("DATABASE_URL", format!("postgres://postgres@127.0.0.1:{}/postgres", database.port()));
    Program::listening(&format!("a bundle on Node.js {}", major.0), command)
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
    let mut command = Command::new(major.program());
    if let Some(decoder) = elastic {
        node::with_elastic(&mut command, decoder);
    }
    serve(&mut command, "shop.js", stores.0);
    command.env("REDISPORT", stores.1.port().to_string()).env("NODE_ENV", "production");
    Program::listening_behind(prefix, &format!("Node.js {}", major.0), command)
}

fn serve(command: &mut Command, service: &str, database: &Postgres) {
    command.arg(place::app("node").join(service)).env("NODE_PATH", Libraries::Older.modules());
    command.env("DATABASE_URL", format!("postgres://postgres@127.0.0.1:{}/postgres", database.port()));
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
