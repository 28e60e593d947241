//! What measuring real processes costs the agent: `cargo bench -p apm-agent --bench metrics`.
//!
//! CPU time of this thread, kernel included, from `/proc` to the line. Medians, so that a busy neighbour does not count.

use std::{
    collections::HashMap,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

use apm_agent::{build::Document, config::Metrics, intake, metadata::ServiceInstance, metric::Collector, send::Output};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 201;

fn main() {
    for count in [1, 50] {
        measure(count);
    }
}

/// A process that is ended with the value.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes lines, as every output does.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    sets: usize,
}

impl Output for Lines {
    fn publish(&mut self, _instance: &Arc<ServiceInstance>, document: &Document) {
        self.sets += 1;
        let _ = intake::write_document(document, &mut self.bytes);
    }

    fn finish(&mut self) {}
}

/// So many instances of one process each.
fn measure(count: usize) {
    let start = || Sleeper(Command::new("sleep").arg("600").spawn().expect("sleep can be started"));
    let processes: Vec<Sleeper> = (0..count).map(|_| start()).collect();
    let instance = |number: usize| ServiceInstance { name: format!("shop-{number}"), ..ServiceInstance::default() };
    let services: HashMap<u32, Arc<ServiceInstance>> =
        processes.iter().enumerate().map(|(number, process)| (process.0.id(), Arc::new(instance(number)))).collect();
    let interval = Duration::from_secs(30);
    let mut collector = Collector::new(&Metrics { interval, ..Metrics::default() });
    let mut lines = Lines::default();
    let mut now = Instant::now();
    collector.tick(now, &services, &mut lines);
    let (mut reports, mut ticks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        lines.bytes.clear();
        now += interval;
        reports.push(cpu_time(|| collector.tick(now, &services, &mut lines)));
        ticks.push(cpu_time(|| collector.tick(now, &services, &mut lines)));
    }
    assert_eq!(lines.sets, ROUNDS * count, "a set for each instance and round");
    println!(
        "{count:>3} instances: {:>7.1} µs a collection ({:.1} µs an instance, {} bytes), {:.2} µs a tick between",
        median(&mut reports),
        median(&mut reports) / count as f64,
        lines.bytes.len(),
        median(&mut ticks),
    );
}

/// CPU time of this thread, µs.
fn cpu_time(action: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    };
    let before = now();
    action();
    now() - before
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
