//! Load: wrk at full speed, and a generator of our own that keeps a rate.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{http::Connection, postgres::complete};

/// What wrk measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Answers it got.
    pub requests: u64,
    /// Answers per second.
    pub per_second: f64,
    /// Median time to an answer.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
}

/// Runs wrk with one thread. `prefix` goes before the command, such as `["taskset", "-c", "0"]`.
///
/// # Errors
/// If wrk fails or prints what we do not know.
pub fn wrk(prefix: &[&str], connections: u32, duration: Duration, url: &str) -> Result<Measured> {
    let mut words = prefix.iter().copied().chain(["wrk"]);
    let mut command = Command::new(words.next().context("a command has a first word")?);
    command.args(words).arg("-t1").arg(format!("-c{connections}")).arg(format!("-d{}s", duration.as_secs().max(1)));
    read_wrk(&complete("wrk", command.arg("--latency").arg(url))?)
}

fn read_wrk(text: &str) -> Result<Measured> {
    let word_after = |marker: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(marker));
        line.and_then(|line| line.split_whitespace().nth(1)).with_context(|| format!("wrk prints `{marker}`:\n{text}"))
    };
    let requests = text.lines().find(|line| line.contains(" requests in "));
    let requests = requests.and_then(|line| line.split_whitespace().next()).context("wrk counts requests")?;
    Ok(Measured {
        requests: requests.parse()?,
        per_second: word_after("Requests/sec:")?.parse()?,
        p50: read_duration(word_after("50%")?)?,
        p99: read_duration(word_after("99%")?)?,
    })
}

/// `1.20ms`, `850.00us`, `1.05s`, `2.00m`
fn read_duration(text: &str) -> Result<Duration> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let unit = units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?.parse::<f64>().ok()?, scale)));
    let (number, scale) = unit.with_context(|| format!("not a duration of wrk: {text}"))?;
    Ok(Duration::from_secs_f64(number * scale))
}

/// A load that keeps a rate whatever the answers take.
#[derive(Clone, Copy, Debug)]
pub struct Steady<'a> {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// What is asked for.
    pub path: &'a str,
    /// Connections at once.
    pub connections: u32,
    /// False: a connection for each request, as for a server that closes.
    pub keep_alive: bool,
    /// Requests per second of all connections together.
    pub per_second: f64,
    /// How long.
    pub duration: Duration,
    /// Run on this core only.
    pub core: Option<usize>,
}

impl Steady<'_> {
    /// Runs it; every request must be answered with 200. Each connection has its own timetable, and one that is late
    /// skips no request.
    ///
    /// # Errors
    /// If a connection fails or an answer is not 200.
    pub fn run(&self) -> Result<Measured> {
        let start = Instant::now();
        let mut times = thread::scope(|scope| -> Result<Vec<Duration>> {
            let threads: Vec<_> = (0..self.connections).map(|_| scope.spawn(|| self.run_one())).collect();
            let mut times = Vec::new();
            for thread in threads {
                times.extend(thread.join().map_err(|_| anyhow!("a connection of the load panicked"))??);
            }
            Ok(times)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        times.sort_unstable();
        Ok(Measured {
            requests: times.len() as u64,
            per_second: times.len() as f64 / seconds,
            p50: percentile(&times, 50),
            p99: percentile(&times, 99),
        })
    }

    fn run_one(&self) -> Result<Vec<Duration>> {
        if let Some(core) = self.core {
            let mut cores = CpuSet::new();
            cores.set(core);
            sched_setaffinity(None, &cores)?;
        }
        let gap = Duration::from_secs_f64(f64::from(self.connections) / self.per_second);
        let count = (self.duration.as_secs_f64() / gap.as_secs_f64()) as u32;
        let start = Instant::now();
        let mut times = Vec::new();
        let mut kept = None;
        for number in 0..count {
            let due = gap * number;
            thread::sleep(due.saturating_sub(start.elapsed()));
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(self.port)?,
            };
            let status = connection.get(self.path, &[])?.status;
            ensure!(status == 200, "{} was answered with {status}", self.path);
            kept = self.keep_alive.then_some(connection);
            times.push(start.elapsed().saturating_sub(due));
        }
        Ok(times)
    }
}

/// Value below which `percent` of the sorted times lie; zero for none.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_prints() {
        let text = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 2 connections\n  Latency Distribution\n     \
                    50%  850.00us\n     99%    1.05s \n  26 requests in 1.00s, 2KB read\nRequests/sec:     25.81\n";
        let measured = read_wrk(text).unwrap();
        assert_eq!((measured.requests, measured.per_second), (26, 25.81));
        assert_eq!((measured.p50, measured.p99), (Duration::from_micros(850), Duration::from_millis(1050)));
    }
}
