//! How long to wait after failures (Elastic's agent specification, transport): 0, 1, 4, 9, 16, 25, 36, 36 … seconds,
//! give or take a tenth.

use std::time::Duration;

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    /// What one second of the specification takes; tests need less.
    second: Duration,
    random: fastrand::Rng,
}

impl Backoff {
    pub fn new(second: Duration) -> Self {
        Self { failures: 0, second, random: fastrand::Rng::new() }
    }

    /// A request failed: the time to wait before the next.
    pub fn fail(&mut self) -> Duration {
        let seconds = self.failures.min(6).pow(2);
        self.failures += 1;
        self.second.mul_f64(f64::from(seconds) * (0.9 + 0.2 * self.random.f64()))
    }

    /// A request went well.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_specification() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        for _ in 0..2 {
            for seconds in [0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 36.0, 36.0] {
                let delay = backoff.fail().as_secs_f64();
                assert!((seconds * 0.9..=seconds * 1.1).contains(&delay), "{delay} for {seconds}");
            }
            backoff.succeed();
        }
    }

    #[test]
    fn does_not_beat_with_others() {
        let delay = |_| {
            let mut backoff = Backoff::new(Duration::from_secs(1));
            (0..5).map(|_| backoff.fail()).max()
        };
        let delays: std::collections::HashSet<_> = (0..10).map(delay).collect();
        assert!(delays.len() > 1);
    }
}
