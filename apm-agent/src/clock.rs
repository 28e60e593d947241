//! The one place where kernel time becomes wall time.

use rustix::time::{ClockId, clock_gettime};

use crate::{build::EpochMicros, exchange::Nanos};

/// Difference between the wall clock and `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds to add to monotonic time to get nanoseconds since 1970.
    pub offset: i64,
}

/// Nanoseconds that two readings of the clock lie apart at most when nothing came in between.
const UNDISTURBED: i64 = 2_000;

/// Most times the clocks are read.
const MOST_READINGS: u32 = 5;

impl Clock {
    /// Reads both clocks. The monotonic one is read before and after, and the middle is taken; again where something
    /// came in between, as what was read then may lie anywhere.
    pub fn now() -> Self {
        let (mut best, mut clock) = (i64::MAX, Self { offset: 0 });
        for _ in 0..MOST_READINGS {
            let before = nanos(ClockId::Monotonic);
            let wall = nanos(ClockId::Realtime);
            let between = nanos(ClockId::Monotonic) - before;
            if between < best {
                (best, clock) = (between, Self { offset: wall - before - between / 2 });
            }
            if best <= UNDISTURBED {
                break;
            }
        }
        clock
    }

    /// Wall time of a kernel time.
    pub fn epoch(self, time: Nanos) -> EpochMicros {
        let nanos = i64::try_from(time).unwrap_or(i64::MAX).saturating_add(self.offset);
        u64::try_from(nanos / 1000).unwrap_or(0)
    }

    /// Kernel time of a wall time in nanoseconds since 1970; `None`: before the machine started.
    pub fn kernel(self, wall: u64) -> Option<Nanos> {
        wall.checked_add_signed(self.offset.checked_neg()?)
    }
}

/// Kernel time now, the clock of all events.
pub fn monotonic() -> Nanos {
    u64::try_from(nanos(ClockId::Monotonic)).unwrap_or(0)
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_time_becomes_microseconds_since_1970() {
        let clock = Clock { offset: 1_700_000_000_000_000_000 };
        assert_eq!(clock.epoch(5_000_999), 1_700_000_000_005_000);
        assert_eq!(Clock { offset: -10 }.epoch(5), 0);
        assert_eq!(clock.kernel(1_700_000_000_005_000_999), Some(5_000_999));
        assert_eq!(clock.kernel(5), None);
        assert!(Clock::now().epoch(monotonic()) > 1_700_000_000_000_000);
    }
}
