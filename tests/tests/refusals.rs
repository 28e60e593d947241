//! What cannot be done is said in one clear sentence, with a documented exit code.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use anyhow::{Result, ensure};
use apm_tests::{
    agent::{self, Finished},
    place,
    turn::{Need, Turn},
};
use rustix::process::{Pid, getpid};
use std::os::unix::process::CommandExt as _;
use tempfile::TempDir;

/// Exit codes as `apm-agent --help` documents them.
const USAGE: i32 = 2;
const PRIVILEGES: i32 = 3;
const KERNEL: i32 = 4;
const TARGET: i32 = 5;
const OUTPUT: i32 = 6;
const RECORDING: i32 = 7;

/// A refusal comes at once.
const LIMIT: Duration = Duration::from_secs(20);

/// The largest pid there can be (`PID_MAX_LIMIT` - 1): no machine of ours gets so far.
const NO_PID: &str = "4194303";

/// User and group `nobody` of Debian.
const NOBODY: u32 = 65_534;

fn own_pid() -> String {
    Pid::as_raw_nonzero(getpid()).to_string()
}

fn refuse(arguments: &[&str], code: i32, words: &[&str]) -> Result<()> {
    let finished = agent::finish(agent::command().args(arguments), LIMIT)?;
    check(&finished, code, words)
}

/// The code is right, and what was printed is a short sentence with these words and no back trace.
fn check(finished: &Finished, code: i32, words: &[&str]) -> Result<()> {
    let output = &finished.output;
    ensure!(finished.code == Some(code), "exit code {:?} instead of {code}:\n{output}", finished.code);
    ensure!(!output.contains("panicked") && !output.contains("backtrace"), "{output}");
    ensure!(words.iter().all(|word| output.contains(word)), "not all of {words:?} in:\n{output}");
    let lines = output.lines().filter(|line| !line.trim().is_empty()).count();
    ensure!((1..=8).contains(&lines), "{lines} lines:\n{output}");
    Ok(())
}

#[test]
fn wrong_options() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    refuse(&["run", "--pid", "twelve"], USAGE, &["--pid", "twelve"])?;
    refuse(&["run", "--no-such-option"], USAGE, &["--no-such-option"])?;
    refuse(&["run", "--port", "70000"], USAGE, &["--port", "70000"])?;
    refuse(&["run"], USAGE, &["--pid"])?;
    refuse(&["run", "--pid", &own_pid(), "--server-url", "not a url"], USAGE, &["not a url"])
}

#[test]
fn wrong_configuration() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    let folder = TempDir::new()?;
    let file = folder.path().join("agent.yml").display().to_string();
    refuse(&["run", "--pid", &own_pid(), "--config", &file], USAGE, &[&file])?;
    fs::write(&file, "no_such_setting: 1\n")?;
    refuse(&["run", "--pid", &own_pid(), "--config", &file], USAGE, &["no_such_setting", &file])?;
    fs::write(&file, "transaction_sample_rate: often\n")?;
    refuse(&["run", "--pid", &own_pid(), "--config", &file], USAGE, &["transaction_sample_rate", "often"])?;
    fs::write(&file, "- not: [a mapping\n")?;
    refuse(&["run", "--pid", &own_pid(), "--config", &file], USAGE, &[&file])
}

#[test]
fn wrong_environment() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    let mut command = agent::command();
    command.args(["run", "--pid", &own_pid()]).env("ELASTIC_APM_TRANSACTION_SAMPLE_RATE", "often");
    check(&agent::finish(&mut command, LIMIT)?, USAGE, &["ELASTIC_APM_TRANSACTION_SAMPLE_RATE", "often"])
}

#[test]
fn process_that_is_not_there() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    refuse(&["run", "--pid", NO_PID], TARGET, &[NO_PID])?;
    refuse(&["inspect", NO_PID], TARGET, &[NO_PID])?;
    refuse(&["inspect", "/no/such/binary"], TARGET, &["/no/such/binary"])
}

#[test]
fn unwritable_output() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    let file = "/proc/no-such-folder/documents.ndjson";
    refuse(&["run", "--pid", &own_pid(), "--file", file], OUTPUT, &[file])?;
    refuse(&["record", "--pid", &own_pid(), "--output", file], RECORDING, &[file])
}

#[test]
fn recording_that_is_none() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    let folder = TempDir::new()?;
    let output = folder.path().join("out.ndjson").display().to_string();
    let recording = folder.path().join("noise").display().to_string();
    fs::write(&recording, b"this is not a recording")?;
    refuse(&["replay", &recording, "--file", &output], RECORDING, &[&recording])
}

/// A copy of the agent in a folder that everybody may enter.
fn public_agent(folder: &TempDir) -> Result<std::path::PathBuf> {
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let copy = folder.path().join("apm-agent");
    fs::copy(place::agent(), &copy)?;
    Ok(copy)
}

#[test]
fn without_root() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    let folder = TempDir::new()?;
    let mut command = Command::new(public_agent(&folder)?);
    command.args(["run", "--pid", &own_pid()]).uid(NOBODY).gid(NOBODY).current_dir("/");
    check(&agent::finish(&mut command, LIMIT)?, PRIVILEGES, &["root"])
}

#[test]
fn unreadable_binary() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    let folder = TempDir::new()?;
    let agent = public_agent(&folder)?;
    let secret = folder.path().join("secret");
    fs::write(&secret, b"\x7fELF")?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000))?;
    let mut command = Command::new(agent);
    let path = secret.display().to_string();
    command.args(["inspect", &path]).uid(NOBODY).gid(NOBODY).current_dir("/");
    check(&agent::finish(&mut command, LIMIT)?, TARGET, &[&path])
}

/// In a mount namespace of its own the kernel's BTF is covered by an empty folder.
#[test]
fn without_btf() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("unshare"), Need::File("/sys/kernel/btf/vmlinux")]) else {
        return Ok(());
    };
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs none /sys/kernel/btf && exec \"$0\" run --pid \"$1\"";
    command.args(["--mount", "sh", "-c", script]).arg(place::agent()).arg(own_pid());
    check(&agent::finish(&mut command, LIMIT)?, KERNEL, &["BTF"])
}

#[test]
fn help_says_defaults_and_exit_codes() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    let finished = agent::finish(agent::command().args(["run", "--help"]), LIMIT)?;
    ensure!(finished.code == Some(0));
    for word in ["--pid", "--exe", "--port", "--all", "--server-url", "--file", "--console", "--config", "default"] {
        ensure!(finished.output.contains(word), "`{word}` is not in the help:\n{}", finished.output);
    }
    let finished = agent::finish(agent::command().arg("--help"), LIMIT)?;
    ensure!(finished.output.to_lowercase().contains("exit code"), "{}", finished.output);
    Ok(())
}

#[test]
fn doctor_and_inspect_answer() -> Result<()> {
    let Some(_turn) = Turn::take(&[]) else { return Ok(()) };
    let doctor = agent::finish(agent::command().arg("doctor"), LIMIT)?;
    ensure!(doctor.code == Some(0) && doctor.output.contains("BTF"), "{doctor:?}");
    let inspect = agent::finish(agent::command().args(["inspect", &own_pid()]), LIMIT)?;
    ensure!(inspect.code == Some(0) && !inspect.output.trim().is_empty(), "{inspect:?}");
    Ok(())
}
