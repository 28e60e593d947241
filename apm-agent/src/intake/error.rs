//! `error`

use std::borrow::Cow;

use serde::Serialize;

use super::{
    Detail,
    field::Text,
    keyword,
    request::{self, Context},
};
use crate::{
    bridge::{Frame, Thrown},
    build::{ErrorEvent, ErrorLog, ErrorPlace},
    correlate::{SpanId, TraceId},
};

/// Frames of each stack in a line that would be too long with all of them; as many as `stack_trace_limit` is anyhow.
const MAX_FRAMES: usize = 50;

/// Causes in such a line.
const MAX_CAUSES: usize = 10;

/// File of a frame of which neither file nor class is known, as Elastic's .NET agent has it.
const UNKNOWN_FILE: &str = "n/a";

/// Inside a trace `trace_id` and `parent_id` are there, and `transaction_id` where it is known; outside none: the server
/// refuses anything between.
#[derive(Serialize)]
pub(super) struct ErrorFields<'a> {
    id: Text<TraceId>,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Text<TraceId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<Text<SpanId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<Text<SpanId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<TransactionCopy<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    culprit: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<Exception<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Log<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
}

#[derive(Serialize)]
struct TransactionCopy<'a> {
    sampled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

#[derive(Serialize)]
struct Exception<'a> {
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    kind: Cow<'a, str>,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<Cow<'a, str>>,
    /// Of the outermost exception only: the others ended in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    handled: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stacktrace: Vec<StackFrame<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cause: Vec<Exception<'a>>,
}

#[derive(Serialize)]
struct StackFrame<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    classname: Option<Cow<'a, str>>,
    function: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    abs_path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lineno: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pre_context: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    context_line: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    post_context: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    library_frame: bool,
}

#[derive(Serialize)]
struct Log<'a> {
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    param_message: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logger_name: Option<Cow<'a, str>>,
}

pub(super) fn fields(error: &ErrorEvent, detail: Detail) -> ErrorFields<'_> {
    let within = error.within.as_ref();
    ErrorFields {
        id: Text(error.id),
        timestamp: error.time,
        trace_id: within.map(|place| Text(place.trace)),
        transaction_id: within.and_then(|place| place.transaction).map(Text),
        parent_id: within.map(|place| Text(place.parent)),
        transaction: within.filter(|place| place.transaction.is_some()).map(transaction),
        culprit: error.culprit.as_deref().map(keyword),
        exception: exception(error, detail),
        log: error.log.as_ref().map(|log| self::log(log, detail)),
        context: error.http.as_ref().map(|http| request::context(http, detail)),
    }
}

/// The server wants an exception or a log line; what says nothing is left out for the other.
fn exception(error: &ErrorEvent, detail: Detail) -> Option<Exception<'_>> {
    if error.log.is_some() && error.kind.is_empty() && error.message.is_empty() {
        return None;
    }
    Some(Exception {
        kind: keyword(&error.kind),
        message: message(&error.message, detail),
        code: error.code.as_deref().map(keyword),
        module: error.module.as_deref().map(keyword),
        handled: Some(error.handled),
        stacktrace: stacktrace(&error.frames, detail),
        cause: causes(&error.causes, detail),
    })
}

/// Without a type the server wants a message.
fn message(message: &str, detail: Detail) -> Cow<'_, str> {
    match message.is_empty() {
        true => Cow::Borrowed("[EMPTY]"),
        false => detail.long(message),
    }
}

/// Every cause below, in one list with the nearest first, as Elastic's .NET agent sends inner exceptions.
fn causes(causes: &[Thrown], detail: Detail) -> Vec<Exception<'_>> {
    let mut written = Vec::new();
    let mut waiting: Vec<&Thrown> = causes.iter().rev().collect();
    let most = most(detail, MAX_CAUSES);
    while let Some(cause) = waiting.pop().filter(|_| written.len() < most) {
        waiting.extend(cause.causes.iter().rev());
        written.push(Exception {
            kind: keyword(&cause.kind),
            message: message(&cause.message, detail),
            code: None,
            module: None,
            handled: None,
            stacktrace: stacktrace(&cause.frames, detail),
            cause: Vec::new(),
        });
    }
    written
}

fn stacktrace(frames: &[Frame], detail: Detail) -> Vec<StackFrame<'_>> {
    frames.iter().take(most(detail, MAX_FRAMES)).map(stack_frame).collect()
}

/// How much of a list is written: all, its beginning when the line got too long, and at last nothing.
fn most(detail: Detail, some: usize) -> usize {
    match detail {
        Detail::Full => usize::MAX,
        Detail::NoHeaders => some,
        Detail::Short => 0,
    }
}

/// Both names of the file are the path the compiler wrote down, where it has no shorter one; the server wants a class or a
/// file of each frame.
fn stack_frame(frame: &Frame) -> StackFrame<'_> {
    let source = frame.source.as_deref();
    let path = frame.file.as_deref().map(keyword);
    let name = frame.short_file.as_deref().map(keyword).or_else(|| path.clone());
    StackFrame {
        classname: frame.class.as_deref().map(keyword),
        function: keyword(&frame.function),
        module: frame.module.as_deref().map(keyword),
        filename: name.or_else(|| frame.class.is_none().then_some(Cow::Borrowed(UNKNOWN_FILE))),
        abs_path: path,
        lineno: frame.line,
        pre_context: source.map_or(&[], |source| &source.before),
        context_line: source.map(|source| source.line.as_str()),
        post_context: source.map_or(&[], |source| &source.after),
        library_frame: frame.library,
    }
}

fn log(log: &ErrorLog, detail: Detail) -> Log<'_> {
    Log {
        message: message(&log.message, detail),
        param_message: log.param_message.as_deref().map(keyword),
        level: log.level.as_deref().map(keyword),
        logger_name: log.logger_name.as_deref().map(keyword),
    }
}

fn transaction(place: &ErrorPlace) -> TransactionCopy<'_> {
    TransactionCopy {
        sampled: place.sampled,
        name: place.transaction_name.as_deref().map(keyword),
        kind: place.transaction_type,
    }
}
