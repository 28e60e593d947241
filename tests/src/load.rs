//! Load: wrk at full speed, and a generator of our own that keeps a rate.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};

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

/// Sends `per_second` requests over `connections` kept-alive connections for `duration`; returns how many were
/// answered with 200. Each connection has its own timetable; one that is late does not skip a request.
///
/// # Errors
/// If a connection fails.
pub fn steady(port: u16, path: &str, connections: u32, per_second: f64, duration: Duration) -> Result<u64> {
    let gap = Duration::from_secs_f64(f64::from(connections) / per_second);
    let each = (duration.as_secs_f64() / gap.as_secs_f64()) as u32;
    let one = move || -> Result<u64> {
        let mut connection = Connection::open(port)?;
        let start = Instant::now();
        let mut answered = 0;
        for number in 0..each {
            thread::sleep((gap * number).saturating_sub(start.elapsed()));
            answered += u64::from(connection.get(path, &[])?.status == 200);
        }
        Ok(answered)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<u64>>| {
            thread.join().map_err(|_| anyhow!("a connection of the load panicked"))?
        };
        threads.into_iter().map(join).sum()
    })
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
