//! Records as the script writes them (`script/record.js`): a batch is a head and records, all little-endian.
//!
//! | head | bytes |
//! |---|---|
//! | `APMN` | 4 |
//! | format, 1 | 1 |
//! | 0 | 1 |
//! | length of what follows the head | 2 |
//! | number of the first record, counted from 0 by each thread of JavaScript | 4 |
//! | thread of JavaScript, 0 for the main one | 4 |
//!
//! A record is its length in 2 bytes, its kind in one, and its fields. A text is its length in 2 bytes and UTF-8; a time
//! is nanoseconds of `CLOCK_MONOTONIC` as an IEEE 754 double; an id of zeros is none.

use crate::{
    bridge::Context,
    correlate::{SpanId, TraceId},
    exchange::Nanos,
};

/// Most bytes of a batch, its head included.
pub const LARGEST_BATCH: usize = 16_384;

/// Bytes of the head.
pub const HEAD: usize = 16;

const MAGIC: &[u8] = b"APMN";
const FORMAT: u8 = 1;

/// Names of attributes; a record holds the place in this list. The script is given the list.
pub const ATTRIBUTES: &[&str] = &[
    "http.request.method",
    "url.full",
    "http.response.status_code",
    "network.local.port",
    "db.system.name",
    "db.query.text",
    "db.namespace",
    "db.user",
    "db.operation.name",
    "server.address",
    "server.port",
    "rpc.method",
    "aws.s3.bucket",
    "messaging.destination.name",
    "messaging.system",
];

/// What one call of write(2) brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Thread of JavaScript.
    pub thread: u32,
    /// Number of its first record.
    pub first: u32,
    records: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads a batch; `None` when it is none, or none of this format.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(..bytes.len().min(LARGEST_BATCH))?);
        if fields.bytes(MAGIC.len())? != MAGIC || fields.byte()? != FORMAT {
            return None;
        }
        fields.byte()?;
        let length = usize::from(fields.short()?);
        let (first, thread) = (fields.int()?, fields.int()?);
        Some(Self { thread, first, records: fields.bytes(length)? })
    }

    /// The records, in order. One that makes no sense is `None`: it counts.
    pub fn records(&self) -> impl Iterator<Item = Option<Record<'a>>> + use<'a> {
        let mut fields = Fields(self.records);
        std::iter::from_fn(move || {
            if fields.0.is_empty() {
                return None;
            }
            let record = fields.short().and_then(|length| fields.bytes(usize::from(length)));
            if record.is_none() {
                // What the length of one is not true of cannot be cut into others.
                fields.0 = &[];
            }
            Some(record.and_then(Record::read))
        })
    }
}

/// Something the script told.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<'a> {
    /// A request was served.
    Request(Request<'a>),
    /// A call was made.
    Span(Span<'a>),
    /// An error was thrown.
    Error(Failure<'a>),
    /// Values the run time measured.
    Metrics {
        /// When.
        time: Nanos,
        /// By name.
        samples: Vec<(&'a str, f64)>,
    },
}

/// A request that was served.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// When it ended.
    pub ended: Nanos,
    /// When it began.
    pub began: Nanos,
    /// Its place in the trace.
    pub context: Context,
    /// The peer's port; 0: it has none.
    pub port: u16,
    /// The script's number of the connection, and the request's number on it; `None`: it was there before the script.
    pub ordinal: Option<(u32, u32)>,
    /// Route, without the method; empty: not known.
    pub route: &'a str,
    /// `route` is none: it names the GraphQL operation that was asked for.
    pub is_operation: bool,
    /// What the wire does not show of it.
    pub facts: Option<Facts<'a>>,
}

/// What was asked and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Method.
    pub method: &'a str,
    /// `https` or `http`.
    pub scheme: &'a str,
    /// `HTTP/1.1`.
    pub protocol: &'a str,
    /// Address of the peer.
    pub peer: &'a str,
    /// Path with query.
    pub target: &'a str,
    /// Status; 0: none was sent.
    pub status: u16,
    /// Request headers.
    pub headers: Vec<(&'a str, &'a str)>,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Span<'a> {
    /// When it ended.
    pub ended: Nanos,
    /// When it began.
    pub began: Nanos,
    /// Its place in the trace.
    pub context: Context,
    /// It failed.
    pub failed: bool,
    /// It is no call: messages were received, and the parent sent them.
    pub received: bool,
    /// The library that made it.
    pub library: &'a str,
    /// Its name, where the attributes say nothing better.
    pub name: &'a str,
    /// Attributes.
    pub attributes: Vec<(&'static str, &'a str)>,
}

/// An error that was thrown.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure<'a> {
    /// When it was seen.
    pub time: Nanos,
    /// The request or call it happened in.
    pub context: Option<Context>,
    /// Somebody dealt with it.
    pub handled: bool,
    /// Name of its class.
    pub kind: &'a str,
    /// Its code; empty: it has none.
    pub code: &'a str,
    /// Its message.
    pub message: &'a str,
    /// Its stack, as V8 writes it.
    pub stack: &'a str,
}

const SAMPLED: u8 = 1;
const FACTS: u8 = 2;
const OPERATION: u8 = 4;
const FAILED: u8 = 1;
const UNRECORDED: u8 = 2;
const RECEIVED: u8 = 4;
const HANDLED: u8 = 1;
const IN_REQUEST: u8 = 2;

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        match fields.byte()? {
            1 => Request::read(&mut fields).map(Self::Request),
            2 => Span::read(&mut fields).map(Self::Span),
            3 => Failure::read(&mut fields).map(Self::Error),
            4 => {
                let time = fields.time()?;
                let count = fields.byte()?;
                let samples = (0..count).map(|_| Some((fields.text()?, fields.number()?))).collect::<Option<_>>()?;
                Some(Self::Metrics { time, samples })
            }
            _ => None,
        }
    }
}

impl<'a> Request<'a> {
    fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let (ended, began) = (fields.time()?, fields.time()?);
        let (trace, span, parent) = (fields.trace()?, fields.span()?, fields.span()?);
        let flags = fields.byte()?;
        let context = Context { trace: trace?, span: span?, parent, sampled: flags & SAMPLED != 0 };
        let port = fields.short()?;
        let (connection, number) = (fields.int()?, fields.int()?);
        let ordinal = (connection != 0).then_some((connection, number));
        let route = fields.text()?;
        let facts = if flags & FACTS != 0 { Some(Facts::read(fields)?) } else { None };
        let is_operation = flags & OPERATION != 0;
        Some(Self { ended, began, context, port, ordinal, route, is_operation, facts })
    }
}

impl<'a> Facts<'a> {
    fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let (method, scheme, protocol) = (fields.text()?, fields.text()?, fields.text()?);
        let (peer, target, status) = (fields.text()?, fields.text()?, fields.short()?);
        let count = fields.byte()?;
        let headers = (0..count).map(|_| Some((fields.text()?, fields.text()?))).collect::<Option<_>>()?;
        Some(Self { method, scheme, protocol, peer, target, status, headers })
    }
}

impl<'a> Span<'a> {
    fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let (ended, began) = (fields.time()?, fields.time()?);
        let (trace, span, parent) = (fields.trace()?, fields.span()?, fields.span()?);
        let flags = fields.byte()?;
        let context = Context { trace: trace?, span: span?, parent, sampled: flags & UNRECORDED == 0 };
        let (library, name) = (fields.text()?, fields.text()?);
        let count = fields.byte()?;
        let mut attribute = || Some((*ATTRIBUTES.get(usize::from(fields.byte()?))?, fields.text()?));
        let attributes = (0..count).map(|_| attribute()).collect::<Option<_>>()?;
        let (failed, received) = (flags & FAILED != 0, flags & RECEIVED != 0);
        Some(Self { ended, began, context, failed, received, library, name, attributes })
    }
}

impl<'a> Failure<'a> {
    fn read(fields: &mut Fields<'a>) -> Option<Self> {
        let time = fields.time()?;
        let flags = fields.byte()?;
        let (trace, span, parent) = (fields.trace()?, fields.span()?, fields.span()?);
        let context = trace.zip(span).filter(|_| flags & IN_REQUEST != 0);
        let context = context.map(|(trace, span)| Context { trace, span, parent, sampled: true });
        let (kind, code, message, stack) = (fields.text()?, fields.text()?, fields.text()?, fields.text()?);
        Some(Self { time, context, handled: flags & HANDLED != 0, kind, code, message, stack })
    }
}

/// The bytes of a record that are not read yet. What is not there is `None`.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn int(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn number(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes).filter(|number| number.is_finite())
    }

    fn time(&mut self) -> Option<Nanos> {
        // A cast of a double to an integer saturates.
        self.number().filter(|number| *number >= 0.0).map(|number| number as Nanos)
    }

    /// Ids are written as their digits stand: highest byte first.
    fn trace(&mut self) -> Option<Option<TraceId>> {
        let id = self.array().map(u128::from_be_bytes)?;
        Some((id != 0).then_some(TraceId(id)))
    }

    fn span(&mut self) -> Option<Option<SpanId>> {
        let id = self.array().map(u64::from_be_bytes)?;
        Some((id != 0).then_some(SpanId(id)))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.short()?);
        std::str::from_utf8(self.bytes(length)?).ok()
    }
}

#[cfg(test)]
pub(super) mod tests;
