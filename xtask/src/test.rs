//! `cargo xtask test`: prepares the machine, builds what the tests run, and runs them all.

use std::{path::PathBuf, thread};

use anyhow::{Result, anyhow};

use crate::{ebpf, fuzz, setup, shell, tree};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only the tests that need no agent: no release build, nothing attached
    #[arg(long)]
    quick: bool,
    /// Afterwards run every fuzz target for a minute, two at a time
    #[arg(long)]
    fuzz: bool,
}

/// Runs the tests.
///
/// # Errors
/// If something cannot be prepared or built, or a test fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.quick {
        return shell::run(shell::cargo().args(["test", "--workspace", "--exclude", "apm-tests"]));
    }
    ebpf::check()?;
    // One waits for the network, the other for the processors.
    let agent = thread::scope(|scope| {
        let agent = scope.spawn(build);
        setup::run()?;
        agent.join().map_err(|_| anyhow!("the build panicked"))?
    })?;
    let mut tests = shell::cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]).env("APM_AGENT", agent);
    if shell::find_program("go").is_some() {
        tests.env("APM_SERVER", shell::step("building Elastic's decoder", apm_tests::decoder::build)?);
    }
    shell::say("running all tests");
    shell::run(&mut tests)?;
    if arguments.fuzz { fuzz::run() } else { Ok(()) }
}

/// Builds all that is compiled with cargo; gives back where the agent is.
fn build() -> Result<PathBuf> {
    let agent = build_agent()?;
    shell::step("building the tests", || {
        shell::run(shell::cargo().args(["test", "--workspace", "--no-run", "--quiet"]))
    })?;
    Ok(agent)
}

/// Builds the agent as it is shipped, and says where it is.
///
/// # Errors
/// If it does not build.
pub fn build_agent() -> Result<PathBuf> {
    shell::step("building apm-agent", || {
        shell::run(shell::cargo().args(["build", "--release", "--package", "apm-agent"]))?;
        Ok(tree::target().join("release/apm-agent"))
    })
}
