//! What `/proc` says of a process and of those it forked.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use crate::{postgres::complete, wait};

/// The process and all it forked that still run.
pub fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(children(parent));
        next += 1;
    }
    family
}

fn children(pid: u32) -> BTreeSet<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// CPU time (user and system) of a process and its family, to the nanosecond, from each thread's `schedstat`.
/// Threads that have ended are not in it.
pub fn cpu_time(pid: u32) -> Duration {
    let nanoseconds = family(pid).into_iter().map(|member| {
        let tasks = fs::read_dir(format!("/proc/{member}/task")).into_iter().flatten().flatten();
        let times = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
        let living = times.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum::<u64>();
        // Threads that have ended are in the process's own figure only, which is coarser.
        living.max(ticks(member).unwrap_or(0) * TICK_NANOSECONDS)
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Nanoseconds of a tick (`USER_HZ` is 100 everywhere).
const TICK_NANOSECONDS: u64 = 10_000_000;

/// User and system time of a process with all its threads, the ended ones too, in ticks (proc_pid_stat(5)).
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let times = rest.split_whitespace().skip(11).take(2);
    times.map(|time| time.parse::<u64>().ok()).sum()
}

/// Waits until a process has ended but was not yet waited for, and returns its CPU time. Exact for a program of one
/// thread; of others, that of the first thread.
///
/// # Errors
/// If it has not ended when `limit` passes.
pub fn cpu_time_at_end(pid: u32, limit: Duration) -> Result<Duration> {
    let ended = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    wait::until("a process to end", limit, || ended().then_some(()))?;
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanoseconds = text.split(' ').next().context("schedstat begins with the time")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Lets a process and all its threads run on one core only.
///
/// # Errors
/// If `taskset` fails.
pub fn pin(pid: u32, core: usize) -> Result<()> {
    complete("taskset", Command::new("taskset").args(["-a", "-p", "-c", &core.to_string(), &pid.to_string()]))
        .map(|_| ())
}

/// Resident memory of a process, bytes.
///
/// # Errors
/// If it is gone.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("a process has VmRSS")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).context("VmRSS is a number")?.parse()?;
    Ok(kibibytes * 1024)
}

/// Open file descriptors: number and what they are, sorted.
///
/// # Errors
/// If the process is gone.
pub fn descriptors(pid: u32) -> Result<Vec<(u32, String)>> {
    let mut list = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // One may close while the folder is read.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let number = entry.file_name().to_string_lossy().parse()?;
        list.push((number, target.display().to_string()));
    }
    list.sort();
    Ok(list)
}

/// Signals pending, blocked, ignored and caught, as `/proc/PID/status` prints them.
///
/// # Errors
/// If the process is gone.
pub fn signals(pid: u32) -> Result<Vec<String>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let wanted = |line: &&str| line.starts_with("Sig") && !line.starts_with("SigQ") || line.starts_with("ShdPnd");
    Ok(status.lines().filter(wanted).map(str::to_owned).collect())
}

/// Who traces the process with ptrace; 0 for nobody.
///
/// # Errors
/// If the process is gone.
pub fn tracer(pid: u32) -> Result<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("TracerPid:")).context("a process has TracerPid")?;
    Ok(line.split_whitespace().nth(1).unwrap_or("0").parse()?)
}
