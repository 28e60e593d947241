//! Cuts one side's bytes into messages, of which the first part is kept.
//!
//! Source: MongoDB manual, "MongoDB Wire Protocol".

use super::bson::int;
use crate::exchange::Stamp;
use crate::protocol::statement::STATEMENT_BYTES;

/// Bytes of a message's header: length, number, number of what it answers, operation.
pub(super) const HEADER_BYTES: usize = 16;
/// Longest message a server takes (`maxMessageSizeBytes`), with room.
const MESSAGE_BYTES: i32 = 64 * 1024 * 1024;
/// Most bytes kept of a body.
const KEPT_BYTES: usize = STATEMENT_BYTES + 1024;

/// Operations.
pub(super) mod operation {
    pub(in super::super) const REPLY: i32 = 1;
    pub(in super::super) const QUERY: i32 = 2004;
    pub(in super::super) const GET_MORE: i32 = 2005;
    pub(in super::super) const COMPRESSED: i32 = 2012;
    pub(in super::super) const MSG: i32 = 2013;
    /// Of old; not answered.
    pub(in super::super) const UNANSWERED: [i32; 4] = [2001, 2002, 2006, 2007];
}

/// A message's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Of header and body.
    pub(super) length: i32,
    pub(super) number: i32,
    pub(super) answers: i32,
    pub(super) operation: i32,
}

impl Header {
    /// `None`: it is none, or not whole.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut input = bytes;
        let mut next = || int(&mut input);
        let header = Header { length: next()?, number: next()?, answers: next()?, operation: next()? };
        let known = matches!(
            header.operation,
            operation::REPLY | operation::QUERY | operation::GET_MORE | operation::COMPRESSED | operation::MSG
        ) || operation::UNANSWERED.contains(&header.operation);
        (known && (HEADER_BYTES as i32 + 5..=MESSAGE_BYTES).contains(&header.length)).then_some(header)
    }
}

/// A message.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) header: Header,
    /// First bytes of the body.
    pub(super) body: &'a [u8],
    /// The body goes on.
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

/// Follows the messages of one side. Holds at most one message's kept bytes.
#[derive(Default)]
pub(super) struct Framer {
    head: Vec<u8>,
    header: Header,
    /// In the body: bytes of it still to pass.
    rest: Option<usize>,
    body: Vec<u8>,
    /// Bytes of the body passed unseen, or there is enough.
    full: bool,
    began: Stamp,
}

impl Framer {
    /// Takes the next message off `input`.
    pub(super) fn step<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8], at: Stamp) -> Step<'a> {
        if self.rest.is_none() {
            if self.head.is_empty() {
                self.began = at;
            }
            let wanted = (HEADER_BYTES - self.head.len()).min(input.len());
            let (piece, after) = input.split_at_checked(wanted).unwrap_or((input, &[]));
            self.head.extend_from_slice(piece);
            *input = after;
            if self.head.len() < HEADER_BYTES {
                return Step::More;
            }
            let Some(header) = Header::read(&self.head) else { return Step::Broken };
            self.header = header;
            self.head.clear();
            self.body.clear();
            self.full = false;
            self.rest = Some(header.length as usize - HEADER_BYTES);
        }
        self.pass(input)
    }

    fn pass<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Step<'a> {
        let Some(rest) = self.rest else { return Step::More };
        let (piece, after) = input.split_at_checked(rest.min(input.len())).unwrap_or((input, &[]));
        *input = after;
        let left = rest - piece.len();
        let (header, began) = (self.header, self.began);
        if left == 0 && self.body.is_empty() && !self.full {
            // It is whole in the input.
            self.rest = None;
            let body = piece.get(..KEPT_BYTES).unwrap_or(piece);
            return Step::Message(Message { header, body, cut: body.len() < piece.len(), began });
        }
        if !self.full {
            let room = KEPT_BYTES.saturating_sub(self.body.len());
            self.body.extend_from_slice(piece.get(..room).unwrap_or(piece));
            self.full = piece.len() > room;
        }
        self.rest = (left > 0).then_some(left);
        match left {
            0 => Step::Message(Message { header, body: &self.body, cut: self.full, began }),
            _ => Step::More,
        }
    }

    /// Bytes passed unseen. True: they lie inside of a body, and its end is still known (it may be complete now: take a step
    /// with no input).
    pub(super) fn skip(&mut self, length: u64) -> bool {
        match &mut self.rest {
            Some(rest) if length <= *rest as u64 => {
                *rest -= length as usize;
                self.full = true;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: i32, body: &[u8]) -> Vec<u8> {
        let length = (HEADER_BYTES + body.len()) as i32;
        let head = [length, number, 0, operation::MSG].map(i32::to_le_bytes).concat();
        [&head, body].concat()
    }

    fn all(framer: &mut Framer, mut input: &[u8]) -> Vec<(i32, Vec<u8>, bool)> {
        let mut messages = Vec::new();
        loop {
            match framer.step(&mut input, Stamp::default()) {
                Step::Message(message) => messages.push((message.header.number, message.body.to_vec(), message.cut)),
                Step::More => return messages,
                Step::Broken => {
                    messages.push((-1, Vec::new(), false));
                    return messages;
                }
            }
        }
    }

    #[test]
    fn frames_alike_whole_and_in_pieces() {
        let bytes = [message(1, b"first"), message(2, &[7; 100])].concat();
        let whole = all(&mut Framer::default(), &bytes);
        assert_eq!(whole, [(1, b"first".to_vec(), false), (2, vec![7; 100], false)]);
        for size in 1..bytes.len() {
            let mut framer = Framer::default();
            let pieces: Vec<_> = bytes.chunks(size).flat_map(|piece| all(&mut framer, piece)).collect();
            assert_eq!(pieces, whole, "pieces of {size}");
        }
    }

    #[test]
    fn keeps_the_beginning_and_counts_down_gaps() {
        let bytes = message(1, &[b'x'; 100_000]);
        let whole = all(&mut Framer::default(), &bytes);
        assert!(whole[0].2 && whole[0].1.len() == KEPT_BYTES);
        let mut framer = Framer::default();
        assert_eq!(all(&mut framer, &bytes[..50]), []);
        assert!(framer.skip(99_960));
        assert_eq!(all(&mut framer, b"xxxxxx"), [(1, vec![b'x'; 34], true)]);
        assert!(!framer.skip(1), "a gap at a boundary loses the place");
        assert_eq!(all(&mut framer, &bytes[..50]), []);
        assert!(framer.skip(99_966));
        assert_eq!(all(&mut framer, b"").len(), 1);
    }

    #[test]
    fn says_what_is_no_message() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], &[0; 16], &message(1, b"")] {
            assert_eq!(all(&mut Framer::default(), bytes), [(-1, Vec::new(), false)]);
        }
    }
}
