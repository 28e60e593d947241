//! A pair of runs, one bare, one watched; and what is compared with them.

use std::time::{Duration, Instant};

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

/// How long a side runs at a time where sides take turns.
const SLICE: Duration = Duration::from_secs(1);

/// On a machine that is too busy for as many requests as it takes to settle.
const LONGEST_SETTLING: Duration = Duration::from_secs(30);

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
    /// When it has gone; bare, in turns with it, and the one that was watched.
    pub after: Option<(Run, Run)>,
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

/// A pair of runs under each of the loads: bare, then watched; or both in turns, where there is a process for each.
///
/// # Errors
/// If a run or the agent fails.
pub fn run(target: &Target, loads: &[Load], duration: Duration) -> Result<Vec<Pair>> {
    let unwatched = |side, there: bool| -> Result<Vec<Option<Run>>> {
        loads.iter().map(|load| there.then(|| target.run(side, *load, duration)).transpose()).collect()
    };
    let alone = unwatched(Side::Bare, !target.has_twin())?;
    let elastic = unwatched(Side::Elastic, !target.has_twin() && target.has_elastic())?;
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
    let mut pairs = Vec::new();
    for (load, (bare, elastic)) in loads.iter().zip(alone.into_iter().zip(elastic)) {
        pairs.push(while_watched(target, *load, duration, &agent, (bare, elastic))?);
    }
    let stats = agent.stop()?.stats;
    let maps = stats.get("kernel.map_bytes");
    let (events_lost, exchanges_lost) = (stats.get("kernel.events.lost"), stats.lost_exchanges());
    // Told with the heaviest load, though they may have been lost under another.
    if let Some(last) = pairs.last_mut() {
        (last.agent.events_lost, last.agent.exchanges_lost) = (events_lost, exchanges_lost);
    }
    if target.has_twin() {
        settle(target)?;
    }
    for (load, pair) in loads.iter().zip(&mut pairs) {
        pair.agent.maps = maps;
        if target.has_twin() {
            let runs = in_turns(target, &[Side::Bare, Side::Watched], *load, duration)?;
            pair.after = Some((runs[0], runs[1]));
        }
    }
    Ok(pairs)
}

/// What runs while the agent watches, under one load, and what it takes of the agent. `alone`: what ran before.
fn while_watched(
    target: &Target,
    load: Load,
    duration: Duration,
    agent: &Agent,
    alone: (Option<Run>, Option<Run>),
) -> Result<Pair> {
    let before = process::cpu_time(agent.pid());
    let (bare, watched, elastic) = match alone {
        (Some(bare), elastic) => (bare, target.run(Side::Watched, load, duration)?, elastic),
        (None, _) => {
            let sides = [Side::Bare, Side::Watched, Side::Elastic];
            let sides = &sides[..if target.has_elastic() { 3 } else { 2 }];
            let runs = in_turns(target, sides, load, duration)?;
            (runs[0], runs[1], runs.get(2).copied())
        }
    };
    wait_until_idle(agent.pid())?;
    let cpu = process::cpu_time(agent.pid()).saturating_sub(before);
    let resident = process::resident_bytes(agent.pid())?;
    let agent = Cost { cpu, resident, maps: 0, events_lost: 0, exchanges_lost: 0 };
    Ok(Pair { bare, watched, after: None, elastic, agent })
}

/// One run of each side, cut into slices that take turns: what the machine does besides changes from second to second,
/// and so hits all alike.
fn in_turns(target: &Target, sides: &[Side], load: Load, duration: Duration) -> Result<Vec<Run>> {
    let mut slices = vec![Vec::new(); sides.len()];
    for turn in 0..(duration.as_secs() / SLICE.as_secs()).max(1) as usize {
        // Each goes first as often as the others.
        for place in 0..sides.len() {
            let at = (turn + place) % sides.len();
            slices[at].push(target.run(sides[at], load, SLICE)?);
        }
    }
    Ok(slices.iter().map(|slices| Run::joined(slices)).collect())
}

/// Puts the one that is watched, or was, under load until what its run time compiles is compiled. That takes requests, not
/// time.
fn settle(target: &Target) -> Result<()> {
    let begun = Instant::now();
    let mut answered = 0;
    while target.settling().is_some_and(|requests| answered < requests) && begun.elapsed() < LONGEST_SETTLING {
        answered += target.run(Side::Watched, Load::Saturating, SLICE)?.requests;
    }
    Ok(())
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
