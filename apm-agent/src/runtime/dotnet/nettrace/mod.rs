//! The `Nettrace` format, version 4, in which an EventPipe session tells its events (microsoft/perfview,
//! src/TraceEvent/EventPipe/NetTraceFormat_v5.md; version 5 adds to what describes events, and is read, too).
//!
//! ```text
//! "Nettrace" | "!FastSerialization.1" | object Trace | objects EventBlock, MetadataBlock, StackBlock, SPBlock … | end
//! ```
//!
//! A push parser without I/O: [`Reader::feed`] takes the bytes as they come. Each of its steps waits for a number of bytes
//! known beforehand, so nothing is read twice and memory is what the largest block takes. Stacks are skipped, and so is
//! every block of an unknown kind.
//!
//! Bounds: one block of [`LARGEST_BLOCK`], the descriptions of events ([`metadata`]) and a number for each thread
//! ([`sequence`]). What does not fit is counted in [`Dropped`]. After a [`NettraceError`] the reader is silent.

use super::cursor::Cursor;

mod block;
mod event;
mod frame;
pub mod metadata;
mod sequence;
mod trace;

use block::Blocks;
pub use event::{Event, Level};
use frame::{Frame, Step};
pub use metadata::{Field, Kind};
pub use trace::Trace;

/// Largest block that is read, in bytes; the run time makes a new one after 100 KiB, and an event has 64 KiB at most.
pub const LARGEST_BLOCK: usize = 1 << 20;

/// What a stream tells.
#[derive(Debug, PartialEq)]
pub enum Item<'a> {
    /// The first one: the process and its clock.
    Trace(Trace),
    /// An event.
    Event(Event<'a>),
    /// So many events were lost in the process, because its buffer was full, since this was told last.
    Lost(u64),
}

/// Why a stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NettraceError {
    /// It does not begin as a stream of versions 4 and 5 does.
    #[error("the event stream is not in the format Nettrace 4")]
    NotNettrace,
    /// It asks for a newer reader.
    #[error("the event stream asks for a reader of version {0}; this one is of version 4")]
    Newer(u32),
    /// Something in it makes no sense.
    #[error("the event stream makes no sense at byte {at}")]
    Garbled {
        /// Bytes before the part that was being read.
        at: u64,
    },
    /// It ended before its end.
    #[error("the event stream was cut off after {at} bytes")]
    Truncated {
        /// Bytes there were.
        at: u64,
    },
}

/// What was not read, since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Blocks larger than [`LARGEST_BLOCK`].
    pub large_blocks: u64,
    /// Blocks that ended in the middle of an event, or had none of the shape they should have: the rest of each.
    pub garbled_blocks: u64,
    /// Descriptions of events that did not fit ([`metadata::MOST_ENTRIES`], [`metadata::MOST_BYTES`]) or made no sense.
    pub descriptions: u64,
    /// Events without a description, for one of the reasons above.
    pub undescribed_events: u64,
    /// Threads whose lost events are not counted, for there are too many of them.
    pub threads: u64,
}

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Reader {
    frame: Frame,
    blocks: Blocks,
    /// Bytes of the step under way that came earlier.
    pending: Vec<u8>,
    /// Bytes to be skipped.
    skip: u64,
    /// Bytes before the step under way.
    position: u64,
    failed: bool,
}

impl Reader {
    /// At the first byte of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next bytes; `sink` gets what they tell, in order of the stream. Events of one thread come in order of
    /// time, those of different threads may not.
    ///
    /// # Errors
    /// Once, when the stream cannot be read any further; what comes after is ignored.
    pub fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(Item<'_>)) -> Result<(), NettraceError> {
        while !self.failed && !self.has_ended() {
            bytes = self.skipped(bytes);
            let needed = self.frame.needed(self.position);
            let step = if self.skip > 0 {
                return Ok(());
            } else if self.pending.is_empty() && bytes.len() >= needed {
                let (step, rest) = bytes.split_at_checked(needed).unwrap_or_default();
                bytes = rest;
                self.step(step, &mut sink)
            } else {
                let missing = needed.saturating_sub(self.pending.len()).min(bytes.len());
                let (more, rest) = bytes.split_at_checked(missing).unwrap_or_default();
                bytes = rest;
                self.pending.extend_from_slice(more);
                if self.pending.len() < needed {
                    return Ok(());
                }
                let step = std::mem::take(&mut self.pending);
                let result = self.step(&step, &mut sink);
                self.pending = step;
                self.pending.clear();
                result
            };
            if let Err(error) = step {
                self.failed = true;
                return Err(error);
            }
        }
        Ok(())
    }

    /// No more bytes come.
    ///
    /// # Errors
    /// [`NettraceError::Truncated`] when the stream has not said that it is at its end, unless another error was told.
    pub fn finish(&mut self) -> Result<(), NettraceError> {
        if self.failed || self.has_ended() {
            return Ok(());
        }
        self.failed = true;
        Err(NettraceError::Truncated { at: self.position + self.pending.len() as u64 })
    }

    /// The stream has said that it is at its end.
    pub fn has_ended(&self) -> bool {
        self.frame == Frame::Ended
    }

    /// What was not read so far.
    pub fn dropped(&self) -> Dropped {
        self.blocks.dropped
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position + self.pending.len() as u64
    }

    fn step(&mut self, bytes: &[u8], sink: &mut impl FnMut(Item<'_>)) -> Result<(), NettraceError> {
        let at = self.position;
        self.position += bytes.len() as u64;
        match self.frame.step(bytes, at)? {
            Step::Nothing => {}
            Step::Skip(count) => self.skip = count,
            Step::TooLarge(count) => {
                self.skip = count;
                self.blocks.dropped.large_blocks += 1;
            }
            Step::Trace(body) => {
                let trace = Trace::read(&mut Cursor::new(body)).ok_or(NettraceError::Garbled { at })?;
                self.blocks.begin(trace);
                sink(Item::Trace(trace));
            }
            Step::Block(kind, body) => self.blocks.read(kind, body, sink),
        }
        Ok(())
    }

    /// The bytes after those to be skipped.
    fn skipped<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let count = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        self.skip -= count as u64;
        self.position += count as u64;
        bytes.get(count..).unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests;
