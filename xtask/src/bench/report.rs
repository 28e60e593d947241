//! The results: a table for people, JSON for comparing.

use std::fmt;

use serde::Serialize;

use super::{
    pair::Pair,
    replay::Replay,
    scenario::{Load, Run, Scenario},
};

/// All results.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    rows: Vec<Row>,
    /// Replay throughput.
    pub replay: Option<Replay>,
}

/// One scenario under one load.
#[derive(Debug, Serialize)]
struct Row {
    scenario: String,
    load: String,
    pairs: usize,
    /// Requests per second, bare.
    bare_per_second: f64,
    /// µs, bare.
    bare_cpu_per_request: f64,
    /// Watched / bare.
    cpu_per_request: Spread,
    throughput: Spread,
    p50: Spread,
    p99: Spread,
    /// When the agent has gone / bare.
    after: Option<Compared>,
    /// With Elastic's agent / bare.
    elastic: Option<Compared>,
    /// ms of the agent.
    agent_cpu_per_1000_requests: Spread,
    /// MiB.
    agent_resident: Spread,
    /// MiB.
    kernel_maps: Spread,
    events_lost: u64,
    exchanges_lost: u64,
}

/// Another run of each pair, as ratios to the bare one.
#[derive(Clone, Copy, Debug, Serialize)]
struct Compared {
    cpu_per_request: Spread,
    throughput: Spread,
}

impl Compared {
    /// `runs` gives the bare run and the one that is compared with it.
    fn of(pairs: &[Pair], runs: fn(&Pair) -> Option<(Run, Run)>) -> Option<Self> {
        let runs: Vec<_> = pairs.iter().filter_map(runs).collect();
        let ratio = |figure: fn(&Run) -> f64| {
            Spread::of(runs.iter().map(move |(bare, run)| figure(run) / figure(bare).max(f64::MIN_POSITIVE)))
        };
        let compared =
            || Self { cpu_per_request: ratio(Run::cpu_per_request), throughput: ratio(|run| run.per_second) };
        (!runs.is_empty()).then(compared)
    }
}

/// Median of the pairs, with the smallest and the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let (middle, last) = (values.len() / 2, values.len().saturating_sub(1));
        let median = if values.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 };
        Self { median, least: at(0), most: at(last) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3} [{:.3}–{:.3}]", self.median, self.least, self.most)
    }
}

impl Report {
    /// Adds the pairs of a scenario under a load.
    pub fn add(&mut self, scenario: Scenario, load: Load, pairs: &[Pair]) {
        let ratio = |figure: fn(&Run) -> f64| {
            Spread::of(pairs.iter().map(move |pair| figure(&pair.watched) / figure(&pair.bare).max(f64::MIN_POSITIVE)))
        };
        let bare = |figure: fn(&Run) -> f64| Spread::of(pairs.iter().map(move |pair| figure(&pair.bare))).median;
        let of_agent = |figure: fn(&Pair) -> f64| Spread::of(pairs.iter().map(figure));
        self.rows.push(Row {
            scenario: scenario.name(),
            load: load.title(),
            pairs: pairs.len(),
            bare_per_second: bare(|run| run.per_second),
            bare_cpu_per_request: bare(Run::cpu_per_request),
            cpu_per_request: ratio(Run::cpu_per_request),
            throughput: ratio(|run| run.per_second),
            p50: ratio(|run| run.p50.as_secs_f64()),
            p99: ratio(|run| run.p99.as_secs_f64()),
            after: Compared::of(pairs, |pair| pair.after),
            elastic: Compared::of(pairs, |pair| Some((pair.bare, pair.elastic?))),
            agent_cpu_per_1000_requests: of_agent(|pair| {
                pair.agent.cpu.as_secs_f64() * 1e6 / pair.watched.requests.max(1) as f64
            }),
            agent_resident: of_agent(|pair| mebibytes(pair.agent.resident)),
            kernel_maps: of_agent(|pair| mebibytes(pair.agent.maps)),
            events_lost: pairs.iter().map(|pair| pair.agent.events_lost).sum(),
            exchanges_lost: pairs.iter().map(|pair| pair.agent.exchanges_lost).sum(),
        });
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(formatter, "{}, {} ({} pairs, median [least–most])", row.scenario, row.load, row.pairs)?;
            writeln!(
                formatter,
                "  bare: {:.0} requests/s, {:.2} µs CPU each",
                row.bare_per_second, row.bare_cpu_per_request
            )?;
            let lines = [
                ("CPU time per request of the target, watched / bare", row.cpu_per_request),
                ("throughput, watched / bare", row.throughput),
                ("p50, watched / bare", row.p50),
                ("p99, watched / bare", row.p99),
                ("agent CPU per 1,000 requests, ms", row.agent_cpu_per_1000_requests),
                ("agent resident memory, MiB", row.agent_resident),
                ("kernel memory of maps, MiB", row.kernel_maps),
            ];
            for (title, spread) in lines {
                writeln!(formatter, "  {title:<52} {spread}")?;
            }
            for (title, compared) in [("the agent gone", row.after), ("Elastic's agent in it", row.elastic)] {
                let Some(Compared { cpu_per_request, throughput }) = compared else { continue };
                writeln!(formatter, "  {:<52} {cpu_per_request}", format!("{title}: CPU time per request / bare"))?;
                writeln!(formatter, "  {:<52} {throughput}", format!("{title}: throughput / bare"))?;
            }
            writeln!(formatter, "  {:<52} {}", "events lost", row.events_lost)?;
            writeln!(formatter, "  {:<52} {}\n", "requests and calls lost, counted", row.exchanges_lost)?;
        }
        let Some(replay) = &self.replay else { return Ok(()) };
        let Replay { events, documents, seconds, events_per_second } = replay;
        write!(
            formatter,
            "replay on one core: {events} events to {documents} documents in {seconds:.2} s, {events_per_second:.0} events/s"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_has_median_and_ends() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0].into_iter()), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0].into_iter()), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(Spread::of(std::iter::empty()), Spread::default());
    }
}
