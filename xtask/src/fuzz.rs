//! Fuzzing with the stable compiler: `apm-agent/fuzz/README.md` says what its flags do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{shell, tree};

/// Seconds each target runs.
const SECONDS: u32 = 60;
/// Targets that run at once.
const AT_ONCE: usize = 2;
/// Longest input, in bytes, where the seeds are no longer.
const LONGEST: u32 = 4096;
/// Of executables: the smallest real ones have some ten thousand bytes.
const LONGEST_EXECUTABLE: u32 = 64 * 1024;
/// Of event streams: a recorded one is the seed.
const LONGEST_STREAM: u32 = 8 * 1024;
/// Time between two looks at what runs.
const LOOK: Duration = Duration::from_millis(200);

/// Given explicitly, for flags of the host would be flags of build scripts, too.
#[cfg(target_arch = "x86_64")]
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
#[cfg(target_arch = "aarch64")]
const TRIPLE: &str = "aarch64-unknown-linux-gnu";

const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Builds every target once and runs each for a minute.
///
/// # Errors
/// If something cannot be built or prepared, or at the first finding: the sentence names the target and the input.
pub fn run() -> Result<()> {
    let folder = tree::root().join("apm-agent/fuzz");
    let targets = targets(&folder)?;
    shell::step("building the fuzz targets", || {
        let mut command = shell::cargo();
        command.current_dir(&folder).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS);
        shell::run(command.args(["build", "--quiet", "--target", TRIPLE]))
    })?;
    shell::step("writing seeds from the transcripts", || {
        let mut command = shell::cargo();
        command.args(["test", "--quiet", "--package", "apm-agent", "--test", "transcripts", "seeds"]);
        shell::run(command.env("APM_WRITE_SEEDS", folder.join("corpus")))
    })?;
    shell::step(&format!("fuzzing {} targets for {SECONDS} s each", targets.len()), || run_all(&folder, &targets))
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.join("fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("there is no {}", folder.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        targets.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    targets.sort();
    Ok(targets)
}

/// A target that runs. Dropped, it is ended.
struct Running {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run_all(folder: &Path, targets: &[String]) -> Result<()> {
    let mut waiting = targets.iter();
    let mut running: Vec<Running> = Vec::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(target) = waiting.next()
        {
            running.push(start(folder, target)?);
        }
        if running.is_empty() {
            return Ok(());
        }
        let mut left = Vec::new();
        for mut target in running {
            match target.child.try_wait()? {
                None => left.push(target),
                Some(status) if status.success() => report(&target)?,
                Some(status) => bail!("{}", finding(&target, status)),
            }
        }
        running = left;
        thread::sleep(LOOK);
    }
}

fn start(folder: &Path, target: &str) -> Result<Running> {
    let (corpus, artifacts) = (folder.join("corpus").join(target), folder.join("artifacts").join(target));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let log = artifacts.join("log");
    let longest = match target {
        "binary" => LONGEST_EXECUTABLE,
        "nettrace" | "node" => LONGEST_STREAM,
        _ => LONGEST,
    };
    let mut command = Command::new(folder.join("target").join(TRIPLE).join("debug").join(target));
    command.arg(format!("-max_total_time={SECONDS}")).arg(format!("-max_len={longest}"));
    command.args(["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    let dictionary = folder.join(format!("{target}.dict"));
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    let output = fs::File::create(&log)?;
    command.arg(&corpus).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let child = command.spawn().with_context(|| format!("could not start the fuzz target `{target}`"))?;
    Ok(Running { name: target.to_owned(), log, child })
}

fn report(target: &Running) -> Result<()> {
    let log = fs::read_to_string(&target.log)?;
    let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    shell::say(&format!("{}: no finding in {} runs", target.name, runs.unwrap_or("an unknown number of").trim()));
    Ok(())
}

fn finding(target: &Running, status: std::process::ExitStatus) -> String {
    let log = fs::read(&target.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let input = log.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, path)| path));
    let said = log.lines().skip_while(|line| !line.contains("panicked at")).take(2).collect::<Vec<_>>().join(" ");
    format!(
        "fuzzing found something in `{}` ({status}): {said}\nThe input is {}; give it to the target to play it again, \
         and make a unit test of it. All it said is in {}.",
        target.name,
        input.unwrap_or("not written"),
        target.log.display()
    )
}
