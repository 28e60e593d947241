//! Cuts one side's bytes into messages: parsed straight from the fed slice when a message is complete in it, else
//! only the part of the body that is wanted is kept and the rest is counted down.
//!
//! Source: PostgreSQL documentation, "Message Formats": a type byte and a length that counts itself; start-up packets
//! have no type byte.

use super::message::{STARTUP_BYTES, kept_bytes};
use crate::exchange::{Side, Stamp};

/// A message. `body` is as much of it as is wanted (see [`kept_bytes`]).
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    /// Type byte; 0 for a start-up packet.
    pub(super) kind: u8,
    /// First bytes of the body.
    pub(super) body: &'a [u8],
    /// The body goes on after `body`.
    pub(super) cut: bool,
    /// When its first byte passed.
    pub(super) began: Stamp,
}

/// Result of a step.
#[derive(Debug, PartialEq)]
pub(super) enum Step<'a> {
    /// A message is complete.
    Message(Message<'a>),
    /// The input is used up.
    More,
    /// What came is no message.
    Broken,
}

/// Where the framer stands in a message.
#[derive(Clone, Copy, Debug)]
enum State {
    /// In the header; at a boundary if none of it has come.
    Header,
    /// In the body: bytes of it still to keep, and still to pass (the kept ones included).
    Body { keep: usize, rest: u64 },
}

/// Follows the messages of one side. Holds at most one message's kept bytes.
pub(super) struct Framer {
    from: Side,
    typed: bool,
    state: State,
    header: [u8; 5],
    filled: usize,
    body: Vec<u8>,
    cut: bool,
    began: Stamp,
}

impl Framer {
    /// `typed`: messages have a type byte, as all but start-up packets do.
    pub(super) fn new(from: Side, typed: bool) -> Self {
        let began = Stamp::default();
        Framer { from, typed, state: State::Header, header: [0; 5], filled: 0, body: Vec::new(), cut: false, began }
    }

    /// Starts anew at a boundary of typed messages.
    pub(super) fn reset(&mut self) {
        *self = Framer::new(self.from, true);
    }

    /// The next byte is the first of a message.
    pub(super) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Header) && self.filled == 0
    }

    fn header_bytes(&self) -> usize {
        if self.typed { 5 } else { 4 }
    }

    /// Type, wanted bytes and length of the body, from a header.
    fn read_header(&self, header: &[u8]) -> Option<(u8, usize, u64)> {
        let (kind, length) = if self.typed { header.split_first()? } else { (&0, header) };
        let length = u32::from_be_bytes(length.first_chunk().copied()?);
        let keep = match self.typed {
            true => kept_bytes(self.from, *kind, length)?,
            false if (8..=STARTUP_BYTES as u32).contains(&length) => STARTUP_BYTES,
            false => return None,
        };
        Some((*kind, keep, u64::from(length.checked_sub(4)?)))
    }

    /// Takes the next message off `input`.
    pub(super) fn step<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8], at: Stamp) -> Step<'a> {
        if self.at_boundary() {
            self.began = at;
            let bytes = *input;
            if let Some((header, after)) = bytes.split_at_checked(self.header_bytes()) {
                let Some((kind, keep, length)) = self.read_header(header) else { return Step::Broken };
                if let Some((body, rest)) = usize::try_from(length).ok().and_then(|n| after.split_at_checked(n)) {
                    *input = rest;
                    let kept = body.get(..keep).unwrap_or(body);
                    return Step::Message(Message { kind, body: kept, cut: kept.len() < body.len(), began: at });
                }
            }
        }
        self.step_slowly(input)
    }

    /// A message in pieces.
    fn step_slowly<'a>(&'a mut self, input: &mut &[u8]) -> Step<'a> {
        if matches!(self.state, State::Header) {
            let need = self.header_bytes();
            while self.filled < need {
                let Some((&byte, rest)) = input.split_first() else { return Step::More };
                *input = rest;
                if let Some(slot) = self.header.get_mut(self.filled) {
                    *slot = byte;
                }
                self.filled += 1;
            }
            let header = self.header;
            let Some((_, keep, length)) = self.read_header(header.get(..need).unwrap_or_default()) else {
                return Step::Broken;
            };
            self.body.clear();
            self.cut = length > keep as u64;
            self.state = State::Body { keep: keep.min(usize::try_from(length).unwrap_or(keep)), rest: length };
        }
        self.pass_body(input);
        self.complete()
    }

    fn pass_body(&mut self, input: &mut &[u8]) {
        let State::Body { keep, rest } = &mut self.state else { return };
        let passed = usize::try_from(*rest).unwrap_or(usize::MAX).min(input.len());
        let (bytes, after) = input.split_at_checked(passed).unwrap_or((input, &[]));
        let kept = bytes.get(..*keep).unwrap_or(bytes);
        self.body.extend_from_slice(kept);
        *keep -= kept.len();
        *rest -= passed as u64;
        *input = after;
    }

    fn complete(&mut self) -> Step<'_> {
        if !matches!(self.state, State::Body { rest: 0, .. }) {
            return Step::More;
        }
        self.state = State::Header;
        self.filled = 0;
        let [first, ..] = self.header;
        let kind = if self.typed { first } else { 0 };
        Step::Message(Message { kind, body: &self.body, cut: self.cut, began: self.began })
    }

    /// Bytes passed unseen. True: they lie inside the message, and its end is still known (it may be complete now:
    /// take a step with no input).
    pub(super) fn skip(&mut self, length: u64) -> bool {
        match &mut self.state {
            State::Body { keep, rest } if length <= *rest => {
                self.cut |= *keep > 0;
                *keep = 0;
                *rest -= length;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(framer: &mut Framer, mut input: &[u8]) -> Vec<(u8, Vec<u8>, bool)> {
        let mut messages = Vec::new();
        loop {
            match framer.step(&mut input, Stamp::default()) {
                Step::Message(m) => messages.push((m.kind, m.body.to_vec(), m.cut)),
                Step::More => return messages,
                Step::Broken => {
                    messages.push((b'!', Vec::new(), false));
                    return messages;
                }
            }
        }
    }

    #[test]
    fn frames_alike_whole_and_in_pieces() {
        let bytes = b"Q\0\0\0\x0dSELECT 1\0S\0\0\0\x04d\0\0\0\x08abcdX\0\0\0\x04";
        let whole = all(&mut Framer::new(Side::Client, true), bytes);
        let kinds: Vec<u8> = whole.iter().map(|m| m.0).collect();
        assert_eq!(kinds, b"QSdX");
        assert_eq!(whole.first().expect("Q").1, b"SELECT 1\0");
        for size in 1..bytes.len() {
            let mut framer = Framer::new(Side::Client, true);
            let pieces: Vec<_> = bytes.chunks(size).flat_map(|piece| all(&mut framer, piece)).collect();
            assert_eq!(pieces, whole, "pieces of {size}");
        }
    }

    #[test]
    fn counts_down_a_gap_inside_a_message() {
        let mut framer = Framer::new(Side::Client, true);
        assert_eq!(all(&mut framer, b"Q\0\0\0\x0dSEL"), []);
        assert!(framer.skip(6));
        assert_eq!(all(&mut framer, b""), [(b'Q', b"SEL".to_vec(), true)]);
        assert!(!framer.skip(1), "a gap at a boundary loses the place");
    }

    #[test]
    fn says_what_is_no_message() {
        let mut framer = Framer::new(Side::Client, true);
        assert_eq!(all(&mut framer, b"GET / HTTP/1.1\r\n"), [(b'!', Vec::new(), false)]);
        let mut startup = Framer::new(Side::Client, false);
        assert_eq!(all(&mut startup, b"\x16\x03\x01\x02"), [(b'!', Vec::new(), false)]);
    }

    #[test]
    fn keeps_nothing_of_rows() {
        let mut framer = Framer::new(Side::Server, true);
        assert_eq!(all(&mut framer, b"D\0\0\x10\x04"), []);
        assert_eq!(all(&mut framer, &[7; 4096]), [(b'D', Vec::new(), true)]);
        assert_eq!(framer.body.capacity(), 0);
    }
}
