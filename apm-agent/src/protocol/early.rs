//! Answers that come before their questions: different threads read and write a connection.

use crate::exchange::{Nanos, Stamp};

/// Most bytes of answers held until their question comes: more than the kernel captures of one turn.
const BYTES: usize = 32 * 1024;
/// Most pieces of them with stamps of their own.
const PIECES: usize = 256;
/// An answer that is older than its question by more than this is not its answer.
const NANOS: Nanos = 1_000_000_000;

/// Server bytes that came before what they answer.
#[derive(Default)]
pub(super) struct Early {
    bytes: Vec<u8>,
    pieces: Vec<(usize, Stamp)>,
}

impl Early {
    /// Nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes held.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The first byte held.
    pub(super) fn first(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    /// False: there is no room.
    pub(super) fn hold(&mut self, bytes: &[u8], at: Stamp) -> bool {
        if self.bytes.len() + bytes.len() > BYTES || self.pieces.len() >= PIECES {
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        match self.pieces.last_mut() {
            Some((length, stamp)) if *stamp == at => *length += bytes.len(),
            _ => self.pieces.push((bytes.len(), at)),
        }
        true
    }

    /// Too old to answer what the client says at `now`.
    pub(super) fn is_stale(&self, now: Stamp) -> bool {
        let first = self.pieces.first().map_or(now.time, |(_, stamp)| stamp.time);
        now.time.saturating_sub(first) > NANOS
    }

    /// What is held, piece by piece.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&[u8], Stamp)> {
        self.pieces.iter().scan(self.bytes.as_slice(), |rest, (length, stamp)| {
            let (piece, after) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
            *rest = after;
            Some((piece, *stamp))
        })
    }
}
