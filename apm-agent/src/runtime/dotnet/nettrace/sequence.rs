//! Lost events, from the numbers that events have in each thread.
//!
//! Every thread counts its events from 1, also those that did not fit into the buffer. A jump in the numbers, or a number
//! in a sequence point beyond the last one seen, is a loss. A 1 means that another thread has got the same id.

use std::collections::HashMap;

/// Threads whose numbers are kept at most.
const MOST_THREADS: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Sequences {
    /// Number of the last event by thread.
    last: HashMap<u64, u32>,
    lost: u64,
    untracked: u64,
}

impl Sequences {
    /// An event of this thread has this number.
    pub fn event(&mut self, thread: u64, number: u32) {
        if !self.has_room(thread) {
            return;
        }
        // A thread not seen before has had no event: numbers begin with 1.
        let before = self.last.insert(thread, number).filter(|_| number != 1).unwrap_or(0);
        self.add(before, number.wrapping_sub(1));
    }

    /// A sequence point: each thread that is there has had at least so many events, and no others are there. Returns how
    /// many there were.
    pub fn checkpoint(&mut self, threads: impl Iterator<Item = (u64, u32)>) -> u64 {
        let mut before = std::mem::take(&mut self.last);
        let mut count = 0;
        for (thread, number) in threads {
            count += 1;
            if !self.has_room(thread) {
                continue;
            }
            let last = before.remove(&thread).unwrap_or(0);
            self.add(last, number);
            // A lower bound: it may be behind what was seen.
            let newest = if number.wrapping_sub(last) < u32::MAX / 2 { number } else { last };
            self.last.insert(thread, newest);
        }
        count
    }

    /// Lost events since this was asked last.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Times that a thread did not fit.
    pub fn untracked(&self) -> u64 {
        self.untracked
    }

    /// `last` was seen, and everything up to `reached` was there.
    fn add(&mut self, last: u32, reached: u32) {
        let gap = reached.wrapping_sub(last);
        // Numbers that run backwards are no loss.
        if gap < u32::MAX / 2 {
            self.lost = self.lost.saturating_add(gap.into());
        }
    }

    fn has_room(&mut self, thread: u64) -> bool {
        let room = self.last.len() < MOST_THREADS || self.last.contains_key(&thread);
        self.untracked += u64::from(!room);
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(after: impl FnOnce(&mut Sequences)) -> u64 {
        let mut sequences = Sequences::default();
        after(&mut sequences);
        sequences.take_lost()
    }

    fn events(sequences: &mut Sequences, thread: u64, numbers: &[u32]) {
        numbers.iter().for_each(|number| sequences.event(thread, *number));
    }

    #[test]
    fn jumps_are_losses() {
        assert_eq!(lost(|sequences| events(sequences, 1, &[1, 2, 3])), 0);
        assert_eq!(lost(|sequences| events(sequences, 1, &[1, 2, 5])), 2);
        assert_eq!(lost(|sequences| events(sequences, 1, &[4])), 3, "from the beginning");
        assert_eq!(lost(|sequences| events(sequences, 1, &[1, 2, 1, 2])), 0, "another thread of the same id");
        assert_eq!(lost(|sequences| events(sequences, 1, &[2, 2, 1])), 1, "backwards");
    }

    #[test]
    fn sequence_points_show_losses_at_the_end() {
        let at = |point: Vec<(u64, u32)>| {
            lost(|sequences| {
                events(sequences, 1, &[1, 2]);
                assert_eq!(sequences.checkpoint(point.clone().into_iter()), point.len() as u64);
                events(sequences, 1, &[3]);
            })
        };
        assert_eq!(at(vec![(1, 2)]), 0);
        assert_eq!(at(vec![(1, 1)]), 0, "a lower bound");
        assert_eq!(at(vec![(1, 2), (9, 5)]), 5, "a thread of which nothing was seen");
        let ended = lost(|sequences| {
            events(sequences, 1, &[1, 2]);
            sequences.checkpoint([(1, 7)].into_iter());
            events(sequences, 1, &[8]);
        });
        assert_eq!(ended, 5, "told once");
    }

    #[test]
    fn threads_are_bounded() {
        let mut sequences = Sequences::default();
        (0..MOST_THREADS as u64 + 5).for_each(|thread| sequences.event(thread, 1));
        assert_eq!((sequences.untracked(), sequences.last.len(), sequences.take_lost()), (5, MOST_THREADS, 0));
    }
}
