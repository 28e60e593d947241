//! One direction of a connection: where in its messages it is, and a head that arrives in pieces.

use super::body::Body;
use crate::exchange::Stamp;
use memchr::memchr;

/// Largest head, in bytes: servers allow 8 to 16 KiB, some 32.
const HEAD_BYTES: usize = 32 * 1024;

/// Room kept for the next head that arrives in pieces, in bytes.
const KEPT_BYTES: usize = 4096;

/// A direction.
pub struct Direction {
    pub position: Position,
    pub head: HeadBuffer,
    /// Bytes skipped and not yet reported.
    pub skipped: u64,
    /// The side will send no more since then.
    pub closed: Option<Stamp>,
}

/// Where in its messages a direction is.
#[derive(Debug, PartialEq)]
pub enum Position {
    /// Before or in a head. `guessed`: it is one only if it parses.
    Head { guessed: bool },
    /// In a body.
    Body(Body),
    /// In a chunked body whose framing is lost.
    LostBody,
    /// Unknown: waiting for a write that begins like a message.
    Searching,
}

impl Direction {
    pub fn new(position: Position) -> Self {
        Direction { position, head: HeadBuffer::default(), skipped: 0, closed: None }
    }

    /// Before a message, none of whose bytes was seen yet.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.position, Position::Head { .. }) && self.head.is_empty()
    }

    /// Gives up what was collected of a head, and waits for a certain beginning.
    pub fn search(&mut self, skipped: usize) {
        self.skipped += (self.head.length() + skipped) as u64;
        self.head.clear();
        self.position = Position::Searching;
    }
}

/// Collects a head until it is complete.
#[derive(Default)]
pub struct HeadBuffer {
    bytes: Vec<u8>,
    line: Line,
    /// When its first byte passed.
    pub began: Stamp,
}

/// Where in its lines a head is.
#[derive(Clone, Copy, Default, PartialEq)]
enum Line {
    #[default]
    Text,
    /// After a line feed.
    Start,
    /// After a carriage return that follows a line feed.
    StartReturn,
}

/// A step towards a complete head.
pub enum HeadStep<T> {
    /// It is complete and takes so many bytes of those given. `None`: it makes no sense.
    Complete(Option<T>, usize),
    /// More bytes are needed; those given were kept.
    Partial,
    /// It is longer than the cap.
    TooLong,
}

impl HeadBuffer {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// What was collected.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.line = Line::Text;
    }

    /// Takes bytes up to the end of the head, and parses it as soon as it is complete: in place when it came in one piece.
    pub fn take<T>(&mut self, bytes: &[u8], parse: fn(&[u8]) -> Option<T>) -> HeadStep<T> {
        let end = self.find_end(bytes);
        let mine = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        if self.bytes.len() + mine.len() > HEAD_BYTES {
            return HeadStep::TooLong;
        }
        let Some(end) = end else {
            self.bytes.extend_from_slice(mine);
            return HeadStep::Partial;
        };
        let parsed = if self.bytes.is_empty() {
            parse(mine)
        } else {
            self.bytes.extend_from_slice(mine);
            parse(&self.bytes)
        };
        self.clear();
        HeadStep::Complete(parsed, end)
    }

    /// Length up to and with the empty line that ends the head. Remembers where it is between calls.
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut index = 0;
        while let Some(byte) = bytes.get(index) {
            index += 1;
            self.line = match (self.line, byte) {
                (Line::Start | Line::StartReturn, b'\n') => return Some(index),
                (Line::Start, b'\r') => Line::StartReturn,
                (_, b'\n') => Line::Start,
                _ => {
                    // To the next line feed, which is then looked at above.
                    index += memchr(b'\n', bytes.get(index..)?).unwrap_or(bytes.len() - index);
                    Line::Text
                }
            };
        }
        None
    }
}
