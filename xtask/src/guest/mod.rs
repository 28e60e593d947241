//! `cargo xtask guest`: runs a command under a kernel of Debian's that is not locked down, in a guest of qemu without a
//! processor of its own (TCG), with this machine's root below a file system in memory. So what a locked-down kernel
//! refuses can be tested on a machine that has one.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{shell, test, tree};

mod kernel;
mod machine;

/// The test that is run when no command is given: what kernels that are locked down do not let be written.
const TEST: &str = "go_propagation_hidden";

/// How much longer tests wait there.
const PATIENCE: &str = "20";

/// Options of `cargo xtask guest`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Series of the kernel, as Debian packages it
    #[arg(long, default_value = "6.18")]
    series: String,
    /// Further parameters of the kernel, such as `lockdown=integrity`
    #[arg(long, default_value = "")]
    append: String,
    /// Seconds after which the guest is given up
    #[arg(long, default_value_t = 2400)]
    timeout: u64,
    /// What is run in it, as root; by default the tests of what is written into programs' memory
    #[arg(last = true)]
    command: Vec<String>,
}

/// Runs a command in a guest.
///
/// # Errors
/// If the guest cannot be prepared, or the command fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    machine::prepare()?;
    let kernel = kernel::fetch(&arguments.series)?;
    let command = if arguments.command.is_empty() { tests()? } else { arguments.command.clone() };
    shell::say(&format!("Linux {} in a guest: {}", kernel.version, command.join(" ")));
    match machine::run(&kernel, &command, &arguments.append, arguments.timeout)? {
        0 => Ok(()),
        code => bail!("the command ended with status {code} in the guest"),
    }
}

/// Builds agent (unless `APM_AGENT` names one), test and its programs here, where that is fast, and gives back how the test
/// is run there: with copies, as what the guest has seen of a file may not change.
fn tests() -> Result<Vec<String>> {
    let folder = cache()?.join("tests");
    fs::create_dir_all(&folder)?;
    let agent = std::env::var_os("APM_AGENT").map_or_else(test::build_agent, |path| Ok(path.into()))?;
    shell::step("building the tests", || {
        let decoder = apm_tests::decoder::build()?;
        fs::copy(decoder, folder.join("apm-server"))?;
        fs::copy(agent, folder.join("apm-agent"))?;
        fs::copy(test_executable()?, folder.join(TEST)).map(|_| ()).context("the test cannot be copied")
    })?;
    for app in ["go-hidden", "go-grpc"] {
        shell::step(&format!("building {app}"), || apm_tests::go::compile(app, apm_tests::go::Build::Fixed))?;
    }
    let place = |name: &str| folder.join(name).display().to_string();
    let variables = [
        format!("APM_AGENT={}", place("apm-agent")),
        format!("APM_SERVER={}", place("apm-server")),
        format!("APM_PATIENCE={PATIENCE}"),
        "APM_BUILT=1".to_owned(),
    ];
    let run = [place(TEST), "--test-threads=1".to_owned(), "calls_".to_owned()];
    Ok(["env".to_owned()].into_iter().chain(variables).chain(run).collect())
}

/// Builds the test; cargo says where it is.
fn test_executable() -> Result<PathBuf> {
    let arguments = ["test", "--package", "apm-tests", "--test", TEST, "--no-run", "--message-format=json"];
    let output = shell::cargo().args(arguments).stderr(std::process::Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().rev().find_map(|line| {
        let (_, path) = line.split_once("\"executable\":\"")?;
        path.split_once('"').map(|(path, _)| PathBuf::from(path))
    });
    found.context("cargo does not say where it built the test")
}

/// Where kernels are kept.
fn cache() -> Result<PathBuf> {
    let folder = tree::target().join("guest");
    fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
    Ok(folder)
}

/// The output of a command that succeeds.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("could not start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
