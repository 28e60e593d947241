//! One direction's place in its stream.

/// What an event means for its direction.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// The bytes come next.
    Next(&'a [u8]),
    /// So many bytes before these were not seen.
    AfterGap(u64, &'a [u8]),
    /// Nothing new: the bytes lie before what has already passed.
    Old,
}

/// Counts how far a direction has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Direction {
    expected: u64,
}

impl Direction {
    /// A direction of which `position` bytes have passed unseen.
    pub fn joined_at(position: u64) -> Self {
        Self { expected: position }
    }

    /// Places `bytes`, the first of which is at `position`.
    pub fn arrive<'a>(&mut self, position: u64, bytes: &'a [u8]) -> Arrival<'a> {
        let missing = position.saturating_sub(self.expected);
        if position < self.expected {
            return Arrival::Old;
        }
        self.expected = position.saturating_add(bytes.len() as u64);
        if missing > 0 { Arrival::AfterGap(missing, bytes) } else { Arrival::Next(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_gaps_and_repeats() {
        let mut direction = Direction::default();
        assert_eq!(direction.arrive(0, b"abc"), Arrival::Next(b"abc"));
        assert_eq!(direction.arrive(3, b""), Arrival::Next(b""));
        assert_eq!(direction.arrive(10, b"x"), Arrival::AfterGap(7, b"x"));
        assert_eq!(direction.arrive(3, b"late"), Arrival::Old);
        assert_eq!(direction.arrive(11, b"y"), Arrival::Next(b"y"));
        assert_eq!(direction.arrive(u64::MAX, b"far"), Arrival::AfterGap(u64::MAX - 12, b"far"));
    }
}
