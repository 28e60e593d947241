//! A pair of runs, one bare, one watched; and what is compared with them.

use std::time::Duration;

use anyhow::Result;
use apm_tests::{agent::Agent, process, wait};
use tempfile::TempDir;

use super::{
    AGENT_CORE,
    scenario::{Load, Run, Target},
};

/// Agent's CPU time between two looks below which it has nothing left to do, and the time between the looks.
const IDLE: Duration = Duration::from_millis(1);
const LOOKS: u32 = 20;

/// Whose run it is. Where a target has no process for it, it is the one that is watched at other times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A process that no agent is in.
    Bare,
    /// The one that the agent watches, watched, or has watched.
    Watched,
    /// One with Elastic's agent in it.
    Elastic,
}

/// What a pair gave.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Without the agent.
    pub bare: Run,
    /// With it.
    pub watched: Run,
    /// When it has gone.
    pub after: Option<Run>,
    /// With Elastic's agent instead.
    pub elastic: Option<Run>,
    /// What the agent itself took.
    pub agent: Cost,
}

/// What the agent took for a run.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// CPU time, from the first request until it had nothing left to do.
    pub cpu: Duration,
    /// Resident memory after the run, bytes.
    pub resident: u64,
    /// Kernel memory of its maps, bytes.
    pub maps: u64,
    /// Events that did not fit into the ring buffer.
    pub events_lost: u64,
    /// Requests and calls counted instead of reported.
    pub exchanges_lost: u64,
}

/// Runs bare, then watched.
///
/// # Errors
/// If a run or the agent fails.
pub fn run(target: &Target, load: Load, duration: Duration) -> Result<Pair> {
    let bare = target.run(Side::Bare, load, duration)?;
    let elastic = target.has_elastic().then(|| target.run(Side::Elastic, load, duration)).transpose()?;
    let folder = TempDir::new()?;
    let mut arguments = target.selection();
    arguments.extend(["--file".to_owned(), folder.path().join("documents.ndjson").display().to_string()]);
    let mut agent = Agent::run(&arguments)?;
    if let Some(line) = target.ready() {
        agent.wait_for_line(line)?;
    }
    process::pin(agent.pid(), AGENT_CORE)?;
    settle(target)?;
    wait_until_idle(agent.pid())?;
    let before = process::cpu_time(agent.pid());
    let watched = target.run(Side::Watched, load, duration)?;
    wait_until_idle(agent.pid())?;
    let cpu = process::cpu_time(agent.pid()).saturating_sub(before);
    let resident = process::resident_bytes(agent.pid())?;
    let stats = agent.stop()?.stats;
    let maps = stats.get("kernel.map_bytes");
    let (events_lost, exchanges_lost) = (stats.get("kernel.events.lost"), stats.lost_exchanges());
    let after = target.has_twin().then(|| settle(target).and_then(|()| target.run(Side::Watched, load, duration)));
    let agent = Cost { cpu, resident, maps, events_lost, exchanges_lost };
    Ok(Pair { bare, watched, after: after.transpose()?, elastic, agent })
}

fn settle(target: &Target) -> Result<()> {
    let run = target.settling().map(|duration| target.run(Side::Watched, Load::Saturating, duration));
    run.transpose().map(|_| ())
}

fn wait_until_idle(pid: u32) -> Result<()> {
    let mut last = process::cpu_time(pid);
    let mut looks = 0;
    wait::until("the agent to have nothing left to do", wait::PATIENCE, || {
        looks += 1;
        if looks % LOOKS != 0 {
            return None;
        }
        let now = process::cpu_time(pid);
        let idle = now.saturating_sub(last) < IDLE;
        last = now;
        idle.then_some(())
    })
}
