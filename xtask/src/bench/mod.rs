//! `cargo xtask bench`: what watching costs. Runs with and without the agent alternate (bare, watched, bare, watched
//! …) on the same running target, so that what the machine does besides hits both alike; each pair gives ratios, and
//! their median is the result. Target and load share core 0, the agent has core 1.
//!
//! Where a run time compiles as it goes (Node.js), there is a twin of the target that is never watched: it is what "bare"
//! is, and the two take turns of a second while the agent is there, after as many requests as V8 takes to settle. So they
//! do once more when the agent has gone: two processes of which none is watched then.
//!
//! Absolute times are printed for orientation only: they are the machine's, the ratios are ours.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};

use crate::{debian, setup, shell, test};

mod pair;
mod replay;
mod report;
mod scenario;
mod shops;

use pair::{Pair, Side};
use report::Report;
use scenario::{Load, Scenario, Target};

/// Core of target and load.
const LOAD_CORE: usize = 0;

/// Length of a run that is thrown away.
const WARM_UP: Duration = Duration::from_secs(5);

/// Core of the agent.
const AGENT_CORE: usize = 1;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Also write the results to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Pairs of runs per scenario and load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Only the scenario of this name, or those whose names contain it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Runs the benchmarks.
///
/// # Errors
/// If something cannot be prepared or a run fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(debian::is_root(), "the benchmarks attach to processes, so they need root. Run them as root.");
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores >= 2, "the benchmarks need two cores, one for target and load, one for the agent; here is {cores}");
    setup::run()?;
    test::build_agent()?;
    let seconds = Duration::from_secs(arguments.seconds);
    let mut report = Report::default();
    let is_name = arguments.only.as_ref().is_some_and(|text| Scenario::ALL.iter().any(|one| one.name() == *text));
    for scenario in Scenario::ALL {
        let fits = |text: &String| if is_name { scenario.name() == *text } else { scenario.name().contains(text) };
        if arguments.only.as_ref().is_none_or(fits) {
            measure(scenario, arguments.pairs, seconds, &mut report)?;
        }
    }
    if arguments.only.as_ref().is_none_or(|text| "replay".contains(text.as_str())) {
        report.replay = Some(shell::step("replay of a recording on one core", || replay::measure(seconds))?);
    }
    println!("{report}");
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(path, text + "\n").with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

fn measure(scenario: Scenario, pairs: u32, duration: Duration, report: &mut Report) -> Result<()> {
    let target = shell::step(&format!("starting the target of {}", scenario.name()), || scenario.start())?;
    shell::step("warming up", || warm_up(scenario, &target))?;
    // Bare, and thrown away: it says what saturation is.
    let saturation = target.run(Side::Bare, Load::Saturating, duration)?.per_second;
    let loads = [Load::Fixed(saturation / 2.0), Load::Saturating];
    // Where settling takes long, it serves both loads.
    let together = if target.has_twin() { loads.len() } else { 1 };
    for loads in loads.chunks(together) {
        let names: Vec<_> = loads.iter().map(|load| load.title()).collect();
        let title = format!("{}, {}: {pairs} pairs of {} s", scenario.name(), names.join(" and "), duration.as_secs());
        let runs = || (0..pairs).map(|_| told(pair::run(&target, loads, duration)?)).collect::<Result<Vec<_>>>();
        let runs = shell::step(&title, runs)?;
        for (at, load) in loads.iter().enumerate() {
            let pairs: Vec<Pair> = runs.iter().filter_map(|pairs| pairs.get(at).copied()).collect();
            report.add(scenario, *load, &pairs);
        }
    }
    Ok(())
}

/// Says what pairs came to, for who waits.
fn told(pairs: Vec<Pair>) -> Result<Vec<Pair>> {
    let ratio = |pair: &Pair| pair.watched.cpu_per_request() / pair.bare.cpu_per_request().max(f64::MIN_POSITIVE);
    let ratios: Vec<_> = pairs.iter().map(|pair| format!("{:.3}", ratio(pair))).collect();
    eprintln!("    CPU time per request, watched / bare: {}", ratios.join(", "));
    Ok(pairs)
}

/// Runs thrown away: caches are warm after them, and what a run time compiles as it goes is compiled, both with the agent
/// and without.
fn warm_up(scenario: Scenario, target: &Target) -> Result<()> {
    for _ in 0..scenario.warm_up_pairs() {
        pair::run(target, &[Load::Saturating], WARM_UP)?;
    }
    Ok(())
}
