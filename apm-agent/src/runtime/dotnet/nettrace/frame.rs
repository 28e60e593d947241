//! The outermost layer: magic, objects with their types, blocks with their sizes.
//!
//! ```text
//! object: 5 | type | fields | 6        type: 5 1 | version i32 | least reader i32 | name (length i32, bytes) | 6
//! block:  object whose fields are: size i32 | zeros up to a position divisible by 4 | `size` bytes
//! end:    1
//! ```

use super::{Cursor, LARGEST_BLOCK, NettraceError};

const NULL: u8 = 1;
const BEGIN: u8 = 5;
const END: u8 = 6;

/// `Nettrace`, and a text with its length.
const MAGIC: &[u8; 32] = b"Nettrace\x14\0\0\0!FastSerialization.1";

/// Length of the fields of a `Trace`, version 4.
const TRACE: usize = 48;

/// Longest name of a type; the longest known has 13 letters.
const LONGEST_NAME: u32 = 64;

/// The newest version that readers of version 4 can read.
const VERSION: u32 = 5;

/// What blocks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    Event,
    Metadata,
    SequencePoint,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Frame {
    #[default]
    Magic,
    /// Begin of an object, or end of the stream. The first object has to be the trace.
    Object { first: bool },
    /// Type of an object, up to its name.
    Type { first: bool },
    /// Name of the type, and the end of the type.
    Name { length: usize, first: bool },
    /// Fields of the `Trace`, and its end.
    Trace,
    /// Size of a block, and the zeros after it.
    Size { kind: Option<BlockKind> },
    /// A block, and its end.
    Block { kind: BlockKind, size: usize },
    /// End of an object whose fields were skipped.
    End,
    /// Nothing: the stream is at its end.
    Ended,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Nothing,
    /// The next bytes are of no interest.
    Skip(u64),
    /// As `Skip`: they would be, but are too many.
    TooLarge(u64),
    Trace(&'a [u8]),
    Block(BlockKind, &'a [u8]),
}

/// What follows an object.
const NEXT: Frame = Frame::Object { first: false };

impl Frame {
    /// Bytes that the next step takes at this position of the stream: never more than [`LARGEST_BLOCK`] and one.
    pub fn needed(self, position: u64) -> usize {
        match self {
            Self::Magic => MAGIC.len(),
            Self::Object { .. } | Self::End => 1,
            Self::Type { .. } => 14,
            Self::Name { length, .. } => length + 1,
            Self::Trace => TRACE + 1,
            // The position is taken modulo 4, and the size has 4 bytes itself.
            Self::Size { .. } => 4 + (4 - (position % 4) as usize) % 4,
            Self::Block { size, .. } => size + 1,
            Self::Ended => 0,
        }
    }

    /// Takes one step over exactly [`Self::needed`] bytes.
    pub fn step<'a>(&mut self, bytes: &'a [u8], position: u64) -> Result<Step<'a>, NettraceError> {
        if *self == Self::Magic {
            if bytes != MAGIC {
                return Err(NettraceError::NotNettrace);
            }
            *self = Self::Object { first: true };
            return Ok(Step::Nothing);
        }
        self.advance(bytes).unwrap_or(Err(NettraceError::Garbled { at: position }))
    }

    /// `None` where the bytes make no sense.
    fn advance<'a>(&mut self, bytes: &'a [u8]) -> Option<Result<Step<'a>, NettraceError>> {
        let mut cursor = Cursor::new(bytes);
        let mut step = Step::Nothing;
        *self = match *self {
            Self::Magic | Self::Ended => return None,
            Self::Object { first } => match cursor.u8()? {
                BEGIN => Self::Type { first },
                NULL if !first => Self::Ended,
                _ => return None,
            },
            Self::Type { first } => {
                (cursor.array()? == [BEGIN, NULL]).then_some(())?;
                let (_version, least, length) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
                if first && least > VERSION {
                    return Some(Err(NettraceError::Newer(least)));
                }
                Self::Name { length: usize::try_from(length).ok().filter(|_| length <= LONGEST_NAME)?, first }
            }
            Self::Name { length, first } => {
                let name = cursor.bytes(length)?;
                (cursor.u8()? == END).then_some(())?;
                match name {
                    b"Trace" if first => Self::Trace,
                    _ if first => return None,
                    b"EventBlock" => Self::Size { kind: Some(BlockKind::Event) },
                    b"MetadataBlock" => Self::Size { kind: Some(BlockKind::Metadata) },
                    b"SPBlock" => Self::Size { kind: Some(BlockKind::SequencePoint) },
                    _ => Self::Size { kind: None },
                }
            }
            Self::Trace => {
                step = Step::Trace(cursor.bytes(TRACE)?);
                (cursor.u8()? == END).then_some(NEXT)?
            }
            Self::Size { kind } => {
                let size = cursor.u32()?;
                i32::try_from(size).ok()?;
                let fits = usize::try_from(size).ok().filter(|size| *size <= LARGEST_BLOCK);
                match (kind, fits) {
                    (Some(kind), Some(size)) => Self::Block { kind, size },
                    (Some(_), None) => {
                        step = Step::TooLarge(size.into());
                        Self::End
                    }
                    (None, _) => {
                        step = Step::Skip(size.into());
                        Self::End
                    }
                }
            }
            Self::Block { kind, size } => {
                step = Step::Block(kind, cursor.bytes(size)?);
                (cursor.u8()? == END).then_some(NEXT)?
            }
            Self::End => (cursor.u8()? == END).then_some(NEXT)?,
        };
        Some(Ok(step))
    }
}
