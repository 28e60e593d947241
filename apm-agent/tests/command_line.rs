//! The built command, as a person meets it: help, messages and exit codes of every class of failure.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// A command that sees nothing of this machine's settings.
fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apm-agent"));
    command.args(arguments).env_clear().env("APM_AGENT_CONFIG", "/dev/null").stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("started");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("ended by itself"), text(stdout), text(stderr))
}

/// Exit code and standard error of a command that fails and prints nothing else.
fn failure(command: &mut Command) -> (i32, String) {
    let (code, stdout, stderr) = run(command);
    assert_eq!(stdout, "", "a failure belongs on standard error");
    (code, stderr)
}

fn settings_file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("apm-agent.yml");
    fs::write(&path, text).expect("written");
    (folder, path)
}

/// A child that is ended with the test.
struct Ended(Child);

impl Ended {
    fn sleep() -> Self {
        Self(Command::new("sleep").arg("600").spawn().expect("started"))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: changing the user needs root");
    }
    root
}

/// The command as user nobody, from a copy that user can reach.
fn as_nobody(folder: &Path, arguments: &[&str]) -> Command {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("permissions");
    let copy = folder.join("apm-agent");
    fs::copy(env!("CARGO_BIN_EXE_apm-agent"), &copy).expect("copied");
    let mut command = Command::new(copy);
    command
        .args(arguments)
        .env_clear()
        .env("APM_AGENT_CONFIG", "/dev/null")
        .stdin(Stdio::null())
        .uid(65_534)
        .gid(65_534);
    command
}

#[test]
fn help_teaches() {
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("help_run", &["run", "--help"]),
        ("help_run_short", &["run", "-h"]),
        ("help_record", &["record", "--help"]),
        ("help_replay", &["replay", "--help"]),
        ("help_doctor", &["doctor", "--help"]),
        ("help_inspect", &["inspect", "--help"]),
    ] {
        let (code, stdout, stderr) = run(&mut agent(arguments));
        assert_eq!((code, stderr.as_str()), (0, ""), "{name}");
        insta::assert_snapshot!(name, stdout);
    }
}

#[test]
fn without_a_command_or_with_a_wrong_one_help_is_shown() {
    let (code, stderr) = failure(&mut agent(&[]));
    assert_eq!(code, 2);
    assert!(stderr.contains("Usage: apm-agent <COMMAND>"), "{stderr}");
    assert_eq!(failure(&mut agent(&["walk"])).0, 2);
    let (code, stderr) = failure(&mut agent(&["run", "--sever-url", "x"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("--server-url"), "{stderr}");
}

#[test]
fn no_target_shows_the_ways_to_name_one() {
    let (code, stderr) = failure(&mut agent(&["run"]));
    assert_eq!(code, 2);
    insta::assert_snapshot!(stderr);
}

#[test]
fn a_wrong_value_names_its_flag() {
    let (code, stderr) = failure(&mut agent(&["run", "--all", "--orphans", "burn"]));
    assert_eq!(code, 2);
    insta::assert_snapshot!(stderr);
}

#[test]
fn a_wrong_value_names_its_variable() {
    let (code, stderr) = failure(agent(&["run", "--all"]).env("ELASTIC_APM_TRANSACTION_SAMPLE_RATE", "50%"));
    assert_eq!(code, 2);
    insta::assert_snapshot!(stderr);
}

#[test]
fn a_wrong_value_names_its_line() {
    let (_folder, path) = settings_file("log_level: info\nserver_timeout: 30\n");
    let path = path.to_str().expect("UTF-8");
    let (code, stderr) = failure(&mut agent(&["run", "--all", "--config", path]));
    assert_eq!(code, 2);
    insta::assert_snapshot!(stderr.replace(path, "FILE"));
}

#[test]
fn a_wrong_secret_is_not_shown() {
    let (_folder, path) = settings_file("secret_token: [hunter2, hunter3]\n");
    let (code, stderr) = failure(&mut agent(&["run", "--all", "--config", path.to_str().expect("UTF-8")]));
    assert_eq!(code, 2);
    assert!(!stderr.contains("hunter"), "{stderr}");
    let (code, stderr) = failure(&mut agent(&["run", "--all", "--api-key", " "]));
    assert_eq!(code, 2);
    assert!(stderr.starts_with("error: `api_key` cannot be what was given (flag `--api-key`)"), "{stderr}");
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest() {
    let (_folder, path) = settings_file("targets:\n  all: true\n  executable: [node]\n");
    let path = path.to_str().expect("UTF-8");
    let (code, stderr) = failure(agent(&["run"]).env("APM_AGENT_CONFIG", path));
    assert_eq!(code, 2);
    insta::assert_snapshot!(stderr.replace(path, "FILE"));
}

#[test]
fn a_file_that_is_not_there_or_not_yaml_is_told() {
    let (code, stderr) = failure(&mut agent(&["run", "--all", "--config", "/nonexistent/apm-agent.yml"]));
    assert_eq!(code, 2);
    insta::assert_snapshot!(stderr);
    let (_folder, path) = settings_file("targets: [\n");
    let path = path.to_str().expect("UTF-8");
    let (code, stderr) = failure(&mut agent(&["run", "--config", path]));
    assert_eq!(code, 2);
    assert!(stderr.starts_with("error: cannot understand file"), "{stderr}");
}

#[test]
fn a_wrong_pattern_is_told() {
    let (code, stderr) = failure(&mut agent(&["run", "--exe", "/usr/bin/[a"]));
    assert_eq!(code, 2);
    insta::assert_snapshot!(stderr);
}

#[test]
fn a_wrong_pid_is_told() {
    // Above every `pid_max` but allowed: there is never such a process.
    for command in [&["run", "--pid", "4194304"][..], &["record", "--output", "/nonexistent/x", "--pid", "4194304"]] {
        let (code, stderr) = failure(&mut agent(command));
        assert_eq!(code, 5);
        assert!(stderr.starts_with("error: there is no process with id 4194304\nhelp: "), "{stderr}");
    }
    let (code, stderr) = failure(&mut agent(&["inspect", "4194304"]));
    assert_eq!(code, 5);
    insta::assert_snapshot!(stderr);
}

#[test]
fn an_unreadable_binary_is_told() {
    let (_folder, script) = settings_file("#!/bin/sh\n");
    let script = script.to_str().expect("UTF-8");
    let (code, stderr) = failure(&mut agent(&["inspect", script]));
    assert_eq!(code, 5);
    insta::assert_snapshot!(stderr.replace(script, "FILE"));
    let (code, stderr) = failure(&mut agent(&["inspect", "/nonexistent/binary"]));
    assert_eq!(code, 5);
    insta::assert_snapshot!(stderr);
}

#[test]
fn recordings_that_cannot_be_read_or_would_be_overwritten_are_told() {
    let (code, stderr) = failure(&mut agent(&["replay", "/nonexistent/run.apmrec"]));
    assert_eq!(code, 7);
    insta::assert_snapshot!(stderr);
    let (_folder, existing) = settings_file("");
    let existing = existing.to_str().expect("UTF-8");
    let (code, stderr) = failure(&mut agent(&["record", "--all", "--output", existing]));
    assert_eq!(code, 7);
    assert!(stderr.contains("exists already"), "{stderr}");
}

#[test]
fn without_root_one_sentence_and_a_code() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let (code, stderr) = failure(&mut as_nobody(folder.path(), &["run", "--all"]));
    assert_eq!(code, 3);
    insta::assert_snapshot!(stderr);
    let (code, stdout, _) = run(&mut as_nobody(folder.path(), &["doctor"]));
    assert_eq!(code, 3);
    assert!(stdout.contains("FAIL privileges: may not load BPF programs"), "{stdout}");
    let sleeper = Ended::sleep();
    let (code, stderr) = failure(&mut as_nobody(folder.path(), &["inspect", &sleeper.0.id().to_string()]));
    assert_eq!(code, 5);
    assert!(stderr.contains("run as root"), "{stderr}");
}

#[test]
fn doctor_tells_the_same_as_text_and_json() {
    let (code, stdout, _) = run(&mut agent(&["doctor"]));
    let (json_code, json, _) = run(&mut agent(&["doctor", "--json"]));
    assert_eq!(code, json_code);
    let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(document["exit_code"], code);
    assert_eq!(document["works"], code == 0);
    for check in document["checks"].as_array().expect("checks") {
        let name = check["name"].as_str().expect("name");
        assert!(stdout.contains(&format!(" {name}: ")), "{name}");
        assert!(
            check["status"] == "ok" || !check["remedy"].as_str().expect("remedy").is_empty(),
            "{name} has no remedy"
        );
    }
}

#[test]
fn doctor_colours_only_when_told_or_on_a_terminal() {
    assert!(!run(&mut agent(&["doctor"])).1.contains('\u{1b}'));
    assert!(run(&mut agent(&["doctor", "--color", "always"])).1.contains('\u{1b}'));
}

#[test]
fn inspect_tells_of_a_process() {
    let child = Ended::sleep();
    let pid = child.0.id().to_string();
    let (code, stdout, stderr) = run(agent(&["inspect", &pid]).env("ELASTIC_APM_SERVICE_NAME", "named by me"));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.contains("named by me (the agent's settings)"), "{stdout}");
    assert!(stdout.contains("What would be hooked"), "{stdout}");
    let (code, json, _) = run(&mut agent(&["inspect", &pid, "--json"]));
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(document["pid"], child.0.id());
    assert_eq!(document["instance"]["process"]["argv"], serde_json::json!(["sleep", "600"]));
    assert_eq!(document["detected"]["agent_name"], "ebpf");
}

#[test]
fn a_reader_that_goes_away_is_no_mistake() {
    let mut child =
        agent(&["inspect", "/proc/self/exe"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()), (Some(0), String::new()));
}
