//! What a run time says about its own requests and calls, through a door of its own (.NET: EventPipe).
//!
//! Neutral of run time, and in kernel time: `correlate` joins it with what the wire shows. A bridge says only what it
//! knows for certain; what it does not say is taken from the wire, or left out.

use serde::{Deserialize, Serialize};

use crate::{
    correlate::{SpanId, TraceId},
    exchange::Nanos,
};

/// Something a run time said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Process that said it, by its number in our namespace.
    pub pid: u32,
    /// When it happened, `CLOCK_MONOTONIC`.
    pub time: Nanos,
    /// What.
    pub said: Said,
}

/// What a run time can say. All but the first two and the last come in the order of their times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Said {
    /// From now on it speaks: each request and call that begins later has its messages. Said again when what it tells
    /// changes.
    Began(Detail),
    /// It speaks no more: what is open is left to the wire.
    Ended,
    /// A request was served.
    RequestEnded(Box<RequestEnded>),
    /// A thread is about to make a call: the next one it begins.
    CallBegan(CallBegan),
    /// A span of the program, or of a library of it, ended.
    SpanEnded(Box<SpanEnded>),
    /// An exception was thrown, and it is worth a report: a request's error page shows it, or nobody caught it.
    Threw(Box<Threw>),
    /// A goroutine panicked, or an exception left a thread: what becomes of it is told later, or the process ends.
    Panicked(Box<Panicked>),
    /// A goroutine's last panic was recovered.
    Recovered(Recovered),
    /// The handler of a request gave an error back.
    Failed(Box<Failed>),
    /// A statement failed that no wire shows.
    StatementFailed(Box<StatementFailed>),
    /// The program logged something.
    Logged(Box<Logged>),
    /// Values the run time measured of itself, by the names and in the units of its Elastic agent.
    Metrics(Vec<(String, f64)>),
    /// Everything up to this message's time has been said.
    Heard,
    /// Messages were lost before this one.
    Lost {
        /// How many.
        messages: u64,
    },
}

/// How much a run time tells. What the wire shows is not asked for; what it cannot show (TLS, HTTP/2) is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Of requests all that a transaction needs: [`RequestEnded::facts`].
    pub requests: bool,
    /// Of database calls all that a span needs: [`Said::SpanEnded`] instead of [`Said::CallBegan`].
    pub statements: bool,
    /// Of each call the connection it was made on, or the span it carried. A call it does not tell of is of a library it
    /// does not know.
    #[serde(default)]
    pub connections: bool,
}

impl Detail {
    /// Both together.
    pub fn with(self, other: Self) -> Self {
        Self {
            requests: self.requests || other.requests,
            statements: self.statements || other.statements,
            connections: self.connections || other.connections,
        }
    }
}

/// Place in a trace, as the run time gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The span itself.
    pub span: SpanId,
    /// Its parent; `None` for the root of a trace.
    pub parent: Option<SpanId>,
    /// The trace is recorded.
    pub sampled: bool,
}

/// An exception that is worth a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threw {
    /// The request it hit.
    pub context: Option<Context>,
    /// The exception.
    pub thrown: Thrown,
    /// The program dealt with it.
    pub handled: bool,
}

/// A goroutine panicked, or an exception left a thread of another run time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panicked {
    /// Number of the goroutine, or of the thread.
    pub goroutine: u64,
    /// The request it handles, by the name its run time gave it; 0: none.
    pub request: u64,
    /// What it panicked with, and where.
    pub thrown: Thrown,
}

/// An error that the handler of a request gave back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// The request, by the name its run time gave it.
    pub request: u64,
    /// The error.
    pub thrown: Thrown,
}

/// A statement failed that no wire shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementFailed {
    /// Number of the goroutine that waited for it.
    pub goroutine: u64,
    /// The error.
    pub thrown: Thrown,
}

/// A panic was recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// Number of the goroutine.
    pub goroutine: u64,
    /// By whom.
    pub by: Recoverer,
}

/// Who recovers a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recoverer {
    /// The server, which gives up the connection: nobody else did.
    Server,
    /// A library of the language, which panicked for its own ends.
    Language,
    /// The program.
    Program,
}

/// A record of the program's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// The span it was logged in; `None`: in none, or the run time does not tell.
    pub context: Option<Context>,
    /// Its level says that something went wrong, and nothing else is told of that.
    pub is_error: bool,
    /// Level, in the log's words.
    pub level: String,
    /// Logger.
    pub logger: String,
    /// The text, its arguments in place.
    pub message: String,
    /// The text with places for its arguments.
    pub template: Option<String>,
    /// The exception that was logged.
    pub thrown: Option<Thrown>,
}

/// A request that was served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestEnded {
    /// Its place in the trace; `None`: the run time gave it none.
    pub context: Option<Context>,
    /// Port of the peer: one half of the connection's identity.
    pub remote_port: u16,
    /// Name the server gave the connection, and the request's number on it, from 0 at the connection's beginning.
    pub ordinal: Option<(String, u64)>,
    /// When the program began with it, where that is told.
    pub began: Option<Nanos>,
    /// Name of the route, as the run time's Elastic agent names it, without the method: `Orders/Get {id}`.
    pub route: Option<Route>,
    /// Exception that ended it.
    pub exception: Option<Box<Thrown>>,
    /// What was asked and answered, where the wire may not show it.
    pub facts: Option<Box<RequestFacts>>,
}

/// An HTTP request by the run time's word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFacts {
    /// Method.
    pub method: String,
    /// Path with query.
    pub target: String,
    /// `https` or `http`.
    pub scheme: String,
    /// `HTTP/2`.
    pub protocol: String,
    /// Request headers.
    pub headers: Vec<(String, String)>,
    /// Status answered.
    pub status: Option<u16>,
    /// Address of the peer, without port.
    pub peer: Option<String>,
}

/// What is known of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Route {
    /// Its name.
    Named(String),
    /// There is none that says more than what was asked for: the name of a GraphQL operation, as the run time's Elastic
    /// agent has it, is the request's whole name.
    Operation(String),
    /// Values of its parameters by name, in order: each stands in the path where it was matched.
    Values(Vec<(String, String)>),
}

/// A call that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBegan {
    /// Thread, by its number in our namespace.
    pub tid: u32,
    /// The span, or the transaction, that makes it; `None`: it is made in no context.
    pub within: Option<Context>,
}

/// A span that ended: an activity in .NET's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanEnded {
    /// Library or part of the program that made it (.NET: the name of the `ActivitySource`).
    pub source: String,
    /// Name for people.
    pub name: String,
    /// Place in the trace.
    pub context: Context,
    /// The parent is in another process.
    pub remote_parent: bool,
    /// Duration in nanoseconds; the message's time is its end.
    pub duration: u64,
    /// OpenTelemetry's span kind.
    pub kind: SpanKind,
    /// OpenTelemetry's span status.
    pub status: SpanStatus,
    /// Attributes, in order.
    pub attributes: Vec<(String, String)>,
}

impl SpanEnded {
    /// The last attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// OpenTelemetry's span kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpanKind {
    /// Inside the program.
    #[default]
    Internal,
    /// A request served.
    Server,
    /// A call made.
    Client,
    /// A message sent.
    Producer,
    /// A message received.
    Consumer,
}

/// OpenTelemetry's span status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpanStatus {
    /// Nobody said.
    #[default]
    Unset,
    /// It worked.
    Ok,
    /// It failed.
    Error,
}

/// An exception.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thrown {
    /// Full name of its class.
    pub kind: String,
    /// Its message.
    pub message: String,
    /// Its code, where the run time's errors have one.
    #[serde(default)]
    pub code: Option<String>,
    /// Where to look first, by the rule of the run time's Elastic agent; empty: nowhere. `None`: by the frames' classes.
    #[serde(default)]
    pub culprit: Option<String>,
    /// Package it comes from, where the run time's Elastic agent tells of it.
    #[serde(default)]
    pub module: Option<String>,
    /// The stack where it was thrown, innermost frame first.
    pub frames: Vec<Frame>,
    /// The exceptions it came from (inner exceptions).
    pub causes: Vec<Thrown>,
}

/// A frame of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Full name of the class, where there are classes.
    pub class: Option<String>,
    /// Function.
    pub function: String,
    /// Package, assembly or module.
    pub module: Option<String>,
    /// Source file as the binary names it.
    pub file: Option<String>,
    /// The file as people call it, where that is not the same: below the folder the program works in.
    #[serde(default)]
    pub short_file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    #[serde(default)]
    pub column: Option<u32>,
    /// Not the user's own code.
    pub library: bool,
    /// What stands there, where the file could be read.
    #[serde(default)]
    pub source: Option<Box<Source>>,
}

/// Lines of a source file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Those before it, in order.
    pub before: Vec<String>,
    /// The line itself.
    pub line: String,
    /// Those after it, in order.
    pub after: Vec<String>,
}
