//! `cargo xtask test`: prepares the machine, builds what the tests run, and runs them all.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{ebpf, setup, shell, tree};

/// Seconds each fuzz target runs.
const FUZZ_SECONDS: u32 = 60;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only the tests that need no agent: no release build, nothing attached
    #[arg(long)]
    quick: bool,
    /// Afterwards run every fuzz target for a minute (needs rustup's nightly and cargo-fuzz)
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
    setup::run()?;
    ebpf::check()?;
    let agent = build_agent()?;
    let mut tests = shell::cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]).env("APM_AGENT", agent);
    if shell::find_program("go").is_some() {
        tests.env("APM_SERVER", shell::step("building Elastic's decoder", apm_tests::decoder::build)?);
    }
    shell::say("running all tests");
    shell::run(&mut tests)?;
    if arguments.fuzz { fuzz() } else { Ok(()) }
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

fn fuzz() -> Result<()> {
    let folder = tree::root().join("apm-agent/fuzz");
    for target in fuzz_targets(&folder)? {
        shell::step(&format!("fuzzing {target} for {FUZZ_SECONDS} s"), || {
            let mut command = Command::new("cargo");
            command.current_dir(&folder).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
            command.args(["+nightly", "fuzz", "run", &target, "--"]);
            shell::run(command.arg(format!("-max_total_time={FUZZ_SECONDS}")).arg("-rss_limit_mb=2048"))
        })?;
    }
    Ok(())
}

fn fuzz_targets(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.join("fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("there is no {}", folder.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        let path = entry?.path();
        targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    targets.sort();
    Ok(targets)
}
