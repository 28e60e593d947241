//! The first object: the process, and how its clock relates to the day.

use super::Cursor;

const NANOSECONDS: u128 = 1_000_000_000;

/// The process and its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Milliseconds since the epoch, when the session began.
    pub wall_time_ms: i64,
    /// The same moment by the clock of the events, in nanoseconds. On Linux that is `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Ticks a second of the clock of the events; never 0.
    pub frequency: u64,
    /// Bytes of a pointer: 4 or 8.
    pub pointer_size: u32,
    /// Process id in its own pid namespace.
    pub pid: u32,
    /// Processors it sees.
    pub processors: u32,
}

impl Trace {
    /// Reads the fields; `None` when they make no sense.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut date = [0_u16; 8];
        for part in &mut date {
            *part = cursor.u16()?;
        }
        let (ticks, frequency) = (cursor.u64()?, cursor.u64()?);
        let mut trace = Self {
            wall_time_ms: wall_time(date),
            time: 0,
            frequency: (frequency > 0).then_some(frequency)?,
            pointer_size: cursor.u32().filter(|size| [4, 8].contains(size))?,
            pid: cursor.u32()?,
            processors: cursor.u32()?,
        };
        trace.time = trace.nanoseconds(ticks);
        Some(trace)
    }

    /// Ticks as nanoseconds; the largest number where there is none.
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        if u128::from(self.frequency) == NANOSECONDS || self.frequency == 0 {
            return ticks;
        }
        (u128::from(ticks) * NANOSECONDS / u128::from(self.frequency)).try_into().unwrap_or(u64::MAX)
    }
}

/// Windows' `SYSTEMTIME`: year, month, day of the week, day, hour, minute, second, millisecond; in UTC.
fn wall_time(date: [u16; 8]) -> i64 {
    let [year, month, _, day, hour, minute, second, millisecond] = date.map(i64::from);
    // Days since 1970 with years that begin in March, so that the leap day is the last of the year.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + millisecond
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        // As `date -u -d … +%s` says.
        assert_eq!(wall_time([1970, 1, 4, 1, 0, 0, 0, 0]), 0);
        assert_eq!(wall_time([2024, 2, 4, 29, 23, 59, 59, 999]), 1_709_251_199_999);
        assert_eq!(wall_time([2026, 11, 6, 21, 10, 39, 51, 7]), 1_795_257_591_007);
    }

    #[test]
    fn ticks() {
        let trace = |frequency| Trace { frequency, ..Trace::default() };
        assert_eq!(trace(1_000_000_000).nanoseconds(7), 7);
        assert_eq!(trace(10_000_000).nanoseconds(7), 700);
        assert_eq!(trace(1).nanoseconds(u64::MAX), u64::MAX);
    }
}
