//! The one value every protocol parser yields: a request, its response, their times and how they ended.
//!
//! Knows bytes and time only: no process, no socket, no Elastic name.

/// `CLOCK_MONOTONIC` nanoseconds, taken in the kernel.
pub type Nanos = u64;

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The end that connected.
    Client,
    /// The end that accepted.
    Server,
}

impl Side {
    /// The other end.
    pub fn peer(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// When bytes passed, and an opaque mark their reader put on them. Parsers carry marks, they do not look at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stamp {
    /// When the bytes passed.
    pub time: Nanos,
    /// The caller's own note about these bytes (the thread that read them, the parent of the call).
    #[serde(skip)]
    pub mark: u64,
}

/// What a parser says while bytes pass.
#[derive(Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The first byte of a request passed. Every `Opened` is followed by exactly one `Done` with the same serial.
    Opened {
        /// Counts the requests of the connection from 0.
        serial: u64,
        /// When, and the mark of the chunk that held the first byte.
        at: Stamp,
    },
    /// A request's header or statement is complete: what is needed before the answer (trace context).
    Request {
        /// As in `Opened`.
        serial: u64,
        /// Values of the trace-context headers, in the order of [`TraceHeaders`].
        trace: TraceHeaders,
    },
    /// The exchange is over.
    Done(Box<Exchange>),
    /// Bytes that could not be understood were skipped.
    Resynchronised {
        /// How many.
        bytes: u64,
    },
    /// Requests may have passed unseen: the serials of those that follow are no longer their places on the connection.
    RequestsMissed,
    /// The connection speaks something else from here on (HTTP upgrade, TLS): nothing more will come.
    Opaque,
}

/// Trace-context headers of a request, as sent. Two `traceparent` headers make it invalid: `traceparent_count` says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TraceHeaders {
    /// `traceparent`
    pub traceparent: Option<String>,
    /// `elastic-apm-traceparent`
    pub elastic_traceparent: Option<String>,
    /// All `tracestate` headers, joined with commas in order.
    pub tracestate: Option<String>,
    /// Number of `traceparent` headers.
    pub traceparent_count: u32,
}

/// A request and what became of it.
#[derive(Debug, PartialEq, serde::Serialize)]
pub struct Exchange {
    /// Counts the requests of the connection from 0, as in [`Signal::Opened`].
    pub serial: u64,
    /// First byte of the request.
    pub opened: Stamp,
    /// Last byte of the request, when it was seen.
    pub request_end: Option<Nanos>,
    /// First byte of the (final) response, when one came.
    pub response_start: Option<Nanos>,
    /// When the exchange ended: last byte of the response, or the abort. After a loss: when it was noticed, or when the
    /// answer came that settled the doubt which answer is whose; the response itself may have ended before.
    pub closed: Stamp,
    /// How it ended.
    pub ending: Ending,
    /// What was said.
    pub payload: Payload,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Request and response are complete.
    Complete,
    /// One side closed or reset the connection before the response was complete.
    Aborted {
        /// Who closed, when it is known.
        by: Option<Side>,
    },
    /// Bytes were lost: what is known is right, the rest is unknown.
    Lost,
    /// The process ended, or the agent stopped watching, while the exchange was open.
    Unfinished,
}

/// What was said, by protocol.
#[derive(Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// HTTP/1.x
    Http(Http),
    /// PostgreSQL, MySQL, MariaDB.
    Sql(Sql),
    /// Redis, MongoDB, and other databases whose requests are commands.
    Command(Command),
}

/// An HTTP request and response.
#[derive(Debug, Default, PartialEq, serde::Serialize)]
pub struct Http {
    /// Method, as sent. Empty when the request's head was lost.
    pub method: String,
    /// Request target, as sent: origin form, absolute form, authority form or `*` (RFC 9112 section 3.2).
    pub target: String,
    /// Request's version: "1.0" or "1.1".
    pub version: &'static str,
    /// Request headers in order, names as sent. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub headers: Vec<(String, String)>,
    /// Status of the final response; `None`: unknown.
    pub status: Option<u16>,
    /// Response headers in order.
    pub response_headers: Vec<(String, String)>,
    /// The request's body has bytes (chunked or a length above 0).
    pub has_request_body: bool,
    /// Bytes of the response body on the wire without chunk framing, when it was followed to its end.
    pub response_body_bytes: Option<u64>,
    /// The connection changed its protocol after this exchange (101, or 2xx to CONNECT).
    pub upgraded: bool,
    /// What gRPC made of it, if it did.
    #[serde(skip)]
    pub grpc: Option<Grpc>,
}

/// How a method of gRPC ended; the target of the request names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grpc {
    /// `google.rpc.Code`, when it is known.
    pub code: Option<u32>,
}

/// A statement, or another round trip to a SQL database.
#[derive(Debug, PartialEq, serde::Serialize)]
pub struct Sql {
    /// `postgresql`, `mysql`, …: a subtype of Elastic's `db` spans.
    pub system: &'static str,
    /// What was asked for.
    pub operation: SqlOperation,
    /// Text of the statement (or several, sent as one text); `None`: unknown, for example prepared before we watched.
    pub statement: Option<String>,
    /// The statement's text is longer than what was captured.
    pub statement_cut: bool,
    /// Database the session uses, when it is known.
    pub database: Option<String>,
    /// Session user, when it is known.
    pub user: Option<String>,
    /// Rows from the command tag(s), or changed by the statements, summed.
    pub rows_affected: Option<u64>,
    /// Error the server answered.
    pub error: Option<SqlError>,
}

/// Kind of a database round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SqlOperation {
    /// Text executed at once, or a prepared statement executed.
    Query,
    /// Preparation without execution.
    Prepare,
    /// Session start up, with authentication.
    Connect,
    /// COPY data transfer.
    Copy,
    /// Nothing but whether the server is there.
    Ping,
    /// A function call message, or anything else that does work.
    Other,
}

/// A command to a database that knows no SQL.
#[derive(Debug, Default, PartialEq, serde::Serialize)]
pub struct Command {
    /// `redis`, `mongodb`: a subtype of Elastic's `db` spans.
    pub system: &'static str,
    /// Name of the command; empty: unknown.
    pub name: String,
    /// Database it is about, when the product has such and it is known.
    pub database: Option<String>,
    /// Collection it is about.
    pub collection: Option<String>,
    /// Text of the command, where it is told.
    pub statement: Option<String>,
    /// The text is longer than what was captured.
    pub statement_cut: bool,
    /// Error the server answered.
    pub error: Option<SqlError>,
}

/// An error answered by a database.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SqlError {
    /// SQLSTATE or the product's code.
    pub code: String,
    /// Message, primary text only.
    pub message: String,
    /// Severity as sent (`ERROR`, `FATAL`, …). MySQL has none, but numbers its errors: `1146`.
    pub severity: String,
}
