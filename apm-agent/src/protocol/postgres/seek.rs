//! Finds the way back into a server's stream after lost bytes: a ReadyForQuery right after a message that can only
//! end a statement's answer.
//!
//! The kernel captures the first part of a server's turn and the last bytes of each further read, so an answer with
//! many rows ends, as far as we see, with `… C tag Z status`. Row data in between is not understood and not needed.

use std::collections::VecDeque;

use super::message::{TAG_BYTES, number_at};
use crate::exchange::Stamp;

/// Bytes looked at before a ReadyForQuery: an error with its fields fits.
const WINDOW_BYTES: usize = 512;
const READY: &[u8] = b"Z\0\0\0\x05";

/// What was found.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// Type and body of the message before the ReadyForQuery; `None`: it is not certain.
    pub(super) before: Option<(u8, Vec<u8>)>,
    /// When that message was complete.
    pub(super) answered: Stamp,
    /// When the ReadyForQuery was complete.
    pub(super) ready: Stamp,
}

/// Looks at bytes from an unknown place on. Holds at most two [`WINDOW_BYTES`] and as many stamps.
#[derive(Default)]
pub(super) struct Seek {
    window: Vec<u8>,
    /// Bytes fed up to each change of stamp, and the stamp; as far as the window reaches.
    stamps: VecDeque<(u64, Stamp)>,
    skipped: u64,
}

impl Seek {
    /// Bytes passed unseen.
    pub(super) fn forget(&mut self) {
        self.window.clear();
        self.stamps.clear();
    }

    /// Bytes looked at so far.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Looks for a certain end of an answer. On success `input` is what follows it.
    pub(super) fn search(&mut self, input: &mut &[u8], at: Stamp) -> Option<Found> {
        while !input.is_empty() {
            let size = input.len().min(WINDOW_BYTES);
            let (piece, rest) = input.split_at_checked(size).unwrap_or((input, &[]));
            let old = self.window.len();
            self.window.extend_from_slice(piece);
            self.stamp(size, at);
            if let Some((found, end)) = self.search_window(old) {
                let used = end - old;
                self.skipped += used as u64;
                *input = input.get(used..).unwrap_or_default();
                return Some(found);
            }
            self.skipped += size as u64;
            *input = rest;
            let excess = self.window.len().saturating_sub(WINDOW_BYTES);
            self.window.drain(..excess);
            let reach = self.skipped - self.window.len() as u64;
            while self.stamps.front().is_some_and(|(end, _)| *end <= reach) {
                self.stamps.pop_front();
            }
        }
        None
    }

    fn stamp(&mut self, size: usize, at: Stamp) {
        let end = self.skipped + size as u64;
        match self.stamps.back_mut() {
            Some((last, stamp)) if *stamp == at => *last = end,
            _ => self.stamps.push_back((end, at)),
        }
    }

    /// When the byte before a place in the window passed; `total`: bytes fed up to the window's end.
    fn stamp_before(&self, place: usize, total: u64) -> Stamp {
        let position = (total + place as u64).saturating_sub(self.window.len() as u64);
        self.stamps.iter().find(|(end, _)| *end >= position).map_or_else(Stamp::default, |(_, stamp)| *stamp)
    }

    /// First ReadyForQuery that ends after `old` and follows a known message; with the position after it.
    fn search_window(&self, old: usize) -> Option<(Found, usize)> {
        let from = old.saturating_sub(READY.len());
        let area = self.window.get(from..)?;
        memchr::memmem::find_iter(area, READY).find_map(|place| {
            let start = from + place;
            let end = start + READY.len() + 1;
            let status = self.window.get(end - 1)?;
            let known = end > old && matches!(status, b'I' | b'T' | b'E');
            let before = known.then(|| message_before(self.window.get(..start)?)).flatten()?;
            let total = self.skipped + (self.window.len() - old) as u64;
            let (answered, ready) = (self.stamp_before(start, total), self.stamp_before(end, total));
            Some((Found { before: Some(before), answered, ready }, end))
        })
    }

    /// The bytes so far end with a ReadyForQuery, whatever is before it. To be asked when the client speaks next.
    pub(super) fn ends_ready(&self) -> Option<Found> {
        match self.window.split_last() {
            Some((b'I' | b'T' | b'E', rest)) if rest.ends_with(READY) => {
                let ready = self.stamp_before(self.window.len(), self.skipped);
                Some(Found { before: None, answered: ready, ready })
            }
            _ => None,
        }
    }
}

/// The message that ends exactly at the end of `bytes` and ends an answer.
fn message_before(bytes: &[u8]) -> Option<(u8, Vec<u8>)> {
    let farthest = bytes.len().min(WINDOW_BYTES - READY.len() - 1);
    (5..=farthest).find_map(|distance| {
        let message = bytes.get(bytes.len() - distance..)?;
        let (&kind, rest) = message.split_first()?;
        let body = rest.get(4..)?;
        let exact = number_at(rest, 0)? as usize == distance - 1;
        (exact && ends_answer(kind, body)).then(|| (kind, body.to_vec()))
    })
}

fn ends_answer(kind: u8, body: &[u8]) -> bool {
    match kind {
        b'C' => is_tag(body),
        b'E' => body.starts_with(b"S") && body.ends_with(b"\0\0") && body.len() >= 12,
        b'I' | b's' | b'1' | b'2' | b'3' | b'n' => body.is_empty(),
        _ => false,
    }
}

/// An upper-case word, then words and numbers, then NUL.
fn is_tag(body: &[u8]) -> bool {
    let Some((0, text)) = body.split_last() else { return false };
    body.len() <= TAG_BYTES
        && text.first().is_some_and(u8::is_ascii_uppercase)
        && text.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ')
}

/// The bytes end with a certain end of an answer.
pub(super) fn ends_with_answer(bytes: &[u8]) -> bool {
    let Some((before, ready)) = bytes.len().checked_sub(READY.len() + 1).and_then(|at| bytes.split_at_checked(at))
    else {
        return false;
    };
    ready.starts_with(READY) && matches!(ready.last(), Some(b'I' | b'T' | b'E')) && message_before(before).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &[u8] = b"garbage\0\0C\0\0\0\x0eSELECT 50\0Z\0\0\0\x05I";

    #[test]
    fn finds_the_end_of_an_answer_however_it_is_split() {
        for size in 1..=TAIL.len() {
            let mut seek = Seek::default();
            let mut found = None;
            for piece in TAIL.chunks(size) {
                let mut input = piece;
                found = seek.search(&mut input, Stamp::default()).or(found);
            }
            let found = found.expect("an end");
            assert_eq!(found.before, Some((b'C', b"SELECT 50\0".to_vec())));
            assert_eq!(seek.skipped(), TAIL.len() as u64);
        }
    }

    #[test]
    fn knows_when_the_answer_and_the_ready_came() {
        let stamp = |time| Stamp { time, mark: 0 };
        let (answer, ready) = TAIL.split_at(TAIL.len() - 6);
        let mut seek = Seek::default();
        assert_eq!(seek.search(&mut [b'x'; 2000].as_slice(), stamp(1)), None);
        assert_eq!(seek.search(&mut { answer }, stamp(2)), None);
        let found = seek.search(&mut { ready }, stamp(3)).expect("an end");
        assert_eq!((found.answered, found.ready), (stamp(2), stamp(3)));
    }

    #[test]
    fn leaves_what_follows() {
        let bytes = [TAIL, b"rest"].concat();
        let mut input = bytes.as_slice();
        assert!(Seek::default().search(&mut input, Stamp::default()).is_some());
        assert_eq!(input, b"rest");
    }

    #[test]
    fn is_not_taken_in_by_row_data() {
        for bytes in [
            b"xxZ\0\0\0\x05I".as_slice(),
            b"C\0\0\0\x0dSELECT 50\0Z\0\0\0\x05I",
            b"C\0\0\0\x08\x01\x02\x03\0Z\0\0\0\x05I",
        ] {
            let mut seek = Seek::default();
            assert_eq!(seek.search(&mut { bytes }, Stamp::default()), None);
            assert!(seek.ends_ready().is_some());
            assert!(!ends_with_answer(bytes));
        }
        assert!(ends_with_answer(TAIL));
    }

    #[test]
    fn holds_little() {
        let mut seek = Seek::default();
        assert_eq!(seek.search(&mut vec![b'Z'; 100_000].as_slice(), Stamp::default()), None);
        assert!(seek.window.len() <= WINDOW_BYTES);
        assert!(seek.window.capacity() <= 4 * WINDOW_BYTES);
    }
}
