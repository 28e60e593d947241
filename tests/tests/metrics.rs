//! CPU and memory of real processes, as Elastic's decoder stores them, against what `/proc` says.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    child::Child,
    documents::{Documents, field, text},
    process,
    turn::{Need, Turn},
    wait,
    watch::{Seen, Watch},
};
use serde_json::Value;

const PYTHON: &str = "/usr/bin/python3";
/// Keeps one core busy and holds 64 MiB.
const BUSY: &str = "held = bytearray(b'x') * (64 << 20)\nprint('busy', flush=True)\nwhile True: pass";
/// Holds 64 MiB and sleeps.
const IDLE: &str = "import time\nheld = bytearray(b'x') * (64 << 20)\nprint('idle', flush=True)\ntime.sleep(600)";
/// A master, which sleeps, and two busy workers.
const WORKERS: &str = "import os\nfor _ in range(2):\n  if os.fork() == 0:\n    while True: pass\n\
                       print('forked', flush=True)\nos.wait()";

fn python(script: &str, word: &str) -> Result<Child> {
    let mut child = Child::start("python", Command::new(PYTHON).args(["-c", script]))?;
    child.wait_for_line(word, wait::PATIENCE)?;
    Ok(child)
}

fn watch(pid: u32, more: &[&str]) -> Result<Watch> {
    let pid = pid.to_string();
    Watch::start(&[&["--pid", &pid, "--metrics-interval", "1s", "--api-request-time", "100ms"], more].concat())
}

/// Values of a metric in the order in which they were measured.
fn values(documents: &Documents, name: &str) -> Vec<f64> {
    documents.metrics().filter_map(|set| sample(set, name)).collect()
}

fn sample(set: &Value, name: &str) -> Option<f64> {
    let all = field(set, "metricset.samples")?.as_array()?;
    all.iter().find(|sample| text(sample, "name") == name)?.get("value")?.as_f64()
}

/// Waits until so many sets are decoded, and ends the agent. With them the share of all cores the process and what it
/// forked really got meanwhile, on a machine where others want the cores too.
fn sets(watch: Watch, pid: u32, count: usize) -> Result<(Documents, f64)> {
    let (before, start) = (process::cpu_time(pid), Instant::now());
    wait::until("metrics", wait::PATIENCE, || (watch.documents().ok()?.metrics().count() >= count).then_some(()))?;
    let share = (process::cpu_time(pid) - before).as_secs_f64() / start.elapsed().as_secs_f64() / cores()?;
    Ok((watch.finish()?.documents, share))
}

/// The process's shares of the CPU: their mean is what `/proc` says, and none is more than that of the whole machine.
fn check_shares(documents: &Documents, expected: f64) -> Result<()> {
    let shares = values(documents, "system.process.cpu.total.norm.pct");
    let all = values(documents, "system.cpu.total.norm.pct");
    ensure!(shares.len() >= 3 && all.len() == shares.len(), "{shares:?} {all:?}");
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    ensure!((mean - expected).abs() < 0.1, "{shares:?}, /proc says {expected}");
    ensure!(expected > 0.1, "a busy loop is busy: {expected}");
    ensure!(all.iter().zip(&shares).all(|(all, own)| *all <= 1.0 && *own <= all + 0.1), "{all:?} {shares:?}");
    Ok(())
}

/// What the machine has, bytes.
fn memory_total() -> Result<f64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kibibytes = text.split_whitespace().nth(1).context("MemTotal")?.parse::<f64>()?;
    Ok(kibibytes * 1024.0)
}

fn cores() -> Result<f64> {
    Ok(fs::read_to_string("/proc/stat")?.lines().filter(|line| line.starts_with("cpu")).count() as f64 - 1.0)
}

#[test]
fn busy_process() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::File(PYTHON)]) else { return Ok(()) };
    let target = python(BUSY, "busy")?;
    let watch = watch(target.pid(), &[])?;
    let (documents, share) = sets(watch, target.pid(), 3)?;
    let resident = process::resident_bytes(target.pid())? as f64;
    for set in documents.metrics() {
        ensure!(!text(set, "service.name").is_empty() && !text(set, "@timestamp").is_empty(), "{set}");
        let memory = sample(set, "system.process.memory.rss.bytes").context("resident memory")?;
        ensure!((memory / resident - 1.0).abs() < 0.2, "{memory} of {resident} bytes");
        ensure!(sample(set, "system.process.memory.size") > Some(memory), "{set}");
        ensure!(sample(set, "system.memory.total") == Some(memory_total()?), "{set}");
        let free = sample(set, "system.memory.actual.free").context("free memory")?;
        ensure!(free > 0.0 && free < memory_total()?, "{set}");
    }
    check_shares(&documents, share)
}

#[test]
fn idle_process_and_its_cgroup() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::File(PYTHON)]) else { return Ok(()) };
    let target = python(IDLE, "idle")?;
    let watch = watch(target.pid(), &["--disable-metrics", "system.memory.*"])?;
    let (documents, _) = sets(watch, target.pid(), 2)?;
    ensure!(values(&documents, "system.process.cpu.total.norm.pct").iter().all(|share| *share < 0.05));
    ensure!(values(&documents, "system.memory.total").is_empty() && !documents.is_empty());
    let usage = values(&documents, "system.process.cgroup.memory.mem.usage.bytes");
    let limit = values(&documents, "system.process.cgroup.memory.mem.limit.bytes");
    match cgroup_usage(target.pid())? {
        Some(now) => {
            ensure!(!usage.is_empty() && usage.iter().all(|usage| (usage / now - 1.0).abs() < 0.5), "{usage:?}")
        }
        None => ensure!(usage.is_empty(), "{usage:?}"),
    }
    ensure!(limit.iter().all(|limit| *limit > 0.0 && *limit < 9.0e18), "{limit:?}");
    Ok(())
}

/// The usage the kernel tells of the memory cgroup of a process, where cgroups are mounted at the usual places.
fn cgroup_usage(pid: u32) -> Result<Option<f64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let first = text.lines().find_map(|line| line.split_once(":memory:"));
    let file = match (first, text.lines().find_map(|line| line.strip_prefix("0::"))) {
        (Some((_, path)), _) => format!("/sys/fs/cgroup/memory{path}/memory.usage_in_bytes"),
        (None, Some(path)) => format!("/sys/fs/cgroup{path}/memory.current"),
        (None, None) => return Ok(None),
    };
    Ok(fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()))
}

#[test]
fn workers_are_one_instance() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::File(PYTHON)]) else { return Ok(()) };
    let target = python(WORKERS, "forked")?;
    let watch = watch(target.pid(), &[])?;
    let (documents, share) = sets(watch, target.pid(), 3)?;
    let family = process::family(target.pid());
    ensure!(family.len() == 3, "{family:?}");
    let resident: u64 = family.iter().map(|pid| process::resident_bytes(*pid)).sum::<Result<_>>()?;
    let sums = values(&documents, "system.process.memory.rss.bytes");
    ensure!(sums.iter().all(|sum| (sum / resident as f64 - 1.0).abs() < 0.2), "{sums:?}, {resident}");
    check_shares(&documents, share)
}

#[test]
fn last_metrics_come_at_the_end_of_the_process_and_of_the_agent() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::File(PYTHON)]) else { return Ok(()) };
    for (interval, expected) in [("30s", 1), ("0s", 0)] {
        let (ends, stays) = (python(IDLE, "idle")?, python(IDLE, "idle")?);
        let pids = [ends.pid(), stays.pid()].map(|pid| pid.to_string());
        let watch = Watch::start(&["--pid", &pids[0], "--pid", &pids[1], "--metrics-interval", interval])?;
        // A share of the CPU is not told of less than a second.
        thread::sleep(Duration::from_millis(1500));
        drop(ends);
        if expected > 0 {
            let come = || (watch.documents().ok()?.metrics().count() == expected).then_some(());
            wait::until("the last metrics of the process", wait::PATIENCE, come)?;
        }
        let Seen { documents, agent } = watch.finish()?;
        ensure!(documents.metrics().count() == 2 * expected, "{}", documents.summary());
        ensure!(agent.stats.get("metrics.sets") == 2 * expected as u64, "{:?}", agent.stats);
        for set in documents.metrics() {
            ensure!(sample(set, "system.cpu.total.norm.pct").is_some(), "{set}");
            ensure!(sample(set, "system.process.memory.rss.bytes") != Some(0.0), "{set}");
        }
    }
    Ok(())
}
