//! Log records: `MessageJson` and `FormattedMessage` of `Microsoft-Extensions-Logging` (dotnet/runtime,
//! LoggingEventSource.cs).

use super::{Value, fields};
use crate::runtime::dotnet::{Utf16, nettrace::Event};

const PROVIDER: &str = "Microsoft-Extensions-Logging";

/// `LogLevel` of Microsoft.Extensions.Logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Trace,
    Debug,
    Information,
    Warning,
    Error,
    Critical,
}

impl LogLevel {
    fn of(number: u64) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Information, Self::Warning, Self::Error, Self::Critical]
            .get(usize::try_from(number).ok()?)
            .copied()
    }
}

/// A log record. The same record may be told both ways: by the keywords asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord<'a> {
    /// How important.
    pub level: LogLevel,
    /// Category: name of the logger.
    pub logger: Utf16<'a>,
    /// `EventId.Id`.
    pub event_id: i64,
    /// `EventId.Name`; may be empty.
    pub event_name: Utf16<'a>,
    /// The message with its arguments in place. `None` where the run time does not tell it; .NET 8 and 10 do, in both.
    pub message: Option<Utf16<'a>>,
    /// Arguments of the message and its template (`{OriginalFormat}`), as a JSON object. Only `MessageJson`.
    pub arguments_json: Option<Utf16<'a>>,
    /// `TypeName`, `Message`, `HResult`, `VerboseMessage` of the exception, as a JSON object; empty (`{}`) without one.
    /// Only `MessageJson`.
    pub exception_json: Option<Utf16<'a>>,
    /// Trace of the current `Activity`, in hex. `None` where the run time does not tell it: .NET 10 does, .NET 8 does not.
    /// Empty where there is no activity.
    pub trace_id: Option<Utf16<'a>>,
    /// Span of the current `Activity`, in hex.
    pub span_id: Option<Utf16<'a>>,
    /// Its trace flags: `1` when recorded, else `0`.
    pub trace_flags: Option<Utf16<'a>>,
}

impl<'a> LogRecord<'a> {
    /// Reads one.
    pub fn read(event: &Event<'a>) -> Option<Self> {
        if event.provider != PROVIDER || !["MessageJson", "FormattedMessage"].contains(&event.name) {
            return None;
        }
        let (mut level, mut logger) = (None, None);
        let mut record = Self {
            level: LogLevel::Trace,
            logger: Utf16::default(),
            event_id: 0,
            event_name: Utf16::default(),
            message: None,
            arguments_json: None,
            exception_json: None,
            trace_id: None,
            span_id: None,
            trace_flags: None,
        };
        fields(event, |field, value| match (field, value) {
            ("Level", value) => level = value.unsigned().and_then(LogLevel::of),
            ("LoggerName", value) => logger = value.text(),
            ("EventId", Value::Signed(number)) => record.event_id = number,
            ("EventId", Value::Text(text)) => record.event_id = text.to_capped_string(20).parse().unwrap_or_default(),
            ("EventName", value) => record.event_name = value.text().unwrap_or_default(),
            ("FormattedMessage", value) => record.message = value.text(),
            ("ArgumentsJson", value) => record.arguments_json = value.text(),
            ("ExceptionJson", value) => record.exception_json = value.text(),
            ("ActivityTraceId", value) => record.trace_id = value.text(),
            ("ActivitySpanId", value) => record.span_id = value.text(),
            ("ActivityTraceFlags", value) => record.trace_flags = value.text(),
            _ => {}
        })?;
        Some(Self { level: level?, logger: logger?, ..record })
    }
}
