//! What a program logs (`ILogger`).

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Utf16,
    asking::SILENCED,
    exception,
    payload::{LogLevel, LogRecord},
    telling::span_id,
};
use crate::{
    bridge::{Context, Logged, Thrown},
    correlate::TraceId,
};

/// Characters kept of a text; messages are reported up to 10,000.
const LONGEST: usize = 10_240;

/// Characters read of a JSON text; an event holds no more.
const LONGEST_JSON: usize = 65_536;

/// Arguments of a message; all but its template is passed over.
#[derive(Deserialize)]
struct Arguments {
    #[serde(rename = "{OriginalFormat}")]
    template: Option<String>,
}

/// An exception; all is missing where there is none.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exception {
    type_name: Option<String>,
    message: Option<String>,
    /// `Exception.ToString()`
    verbose_message: Option<String>,
}

/// A record in the bridge's words.
pub(super) fn logged(record: &LogRecord<'_>) -> Logged {
    let message = record.message.unwrap_or_default().to_capped_string(LONGEST);
    let logger = record.logger.to_capped_string(LONGEST);
    let arguments: Option<Arguments> = parse(record.arguments_json);
    let template = arguments.and_then(|arguments| arguments.template).map(|text| text.chars().take(LONGEST).collect());
    Logged {
        context: context(record),
        is_error: record.level >= LogLevel::Error && !SILENCED.iter().any(|silenced| logger.starts_with(silenced)),
        level: format!("{:?}", record.level),
        logger,
        message,
        template,
        thrown: parse(record.exception_json).and_then(thrown),
    }
}

fn parse<T: DeserializeOwned>(text: Option<Utf16<'_>>) -> Option<T> {
    serde_json::from_str(&text?.to_capped_string(LONGEST_JSON)).ok()
}

fn thrown(told: Exception) -> Option<Thrown> {
    let kind = told.type_name?;
    let message = told.message.unwrap_or_default();
    let read = told.verbose_message.as_deref().and_then(exception::read);
    Some(Thrown { kind, message, ..read.unwrap_or_default() })
}

/// The span it was logged in. .NET 8 does not tell.
fn context(record: &LogRecord<'_>) -> Option<Context> {
    let trace = record.trace_id.filter(|text| text.units() == 32)?.to_string();
    let trace = u128::from_str_radix(&trace, 16).ok().filter(|id| *id != 0).map(TraceId)?;
    let span = span_id(&record.span_id.filter(|text| text.units() == 16)?.to_string())?;
    Some(Context { trace, span, parent: None, sampled: record.trace_flags.is_some_and(|flags| flags == "1") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::dotnet::{Item, Reader, nettrace::tests::recorded};

    fn told(name: &str) -> Vec<Logged> {
        let mut all = Vec::new();
        let hear = |item: Item<'_>| {
            if let Item::Event(event) = item {
                all.extend(LogRecord::read(&event).map(|record| logged(&record)));
            }
        };
        Reader::new().feed(&recorded(name), hear).expect("readable");
        all
    }

    #[test]
    fn an_error_with_its_template_and_exception() {
        for (name, is_linked) in [("dotnet10.nettrace", true), ("dotnet8.nettrace", false)] {
            let records = told(name);
            let error = records.iter().find(|record| record.is_error && record.template.is_some()).expect(name);
            assert_eq!((error.level.as_str(), error.logger.as_str()), ("Error", "ntapp"), "{name}");
            assert_eq!(error.message, "Could not do it", "{name}");
            assert_eq!(error.template.as_deref(), Some("Could not do {What}"), "{name}");
            let thrown = error.thrown.as_ref().expect("an exception");
            assert_eq!((thrown.kind.as_str(), thrown.message.as_str()), ("System.TimeoutException", "too late"));
            assert_eq!(thrown.frames.first().and_then(|frame| frame.line), Some(9), "{name}");
            assert_eq!(error.context.is_some_and(|context| context.sampled), is_linked, "{name}");
            assert!(records.iter().any(|record| !record.is_error && record.thrown.is_none()), "{name}");
        }
    }

    #[test]
    fn exceptions_without_their_text_and_texts_that_are_cut() {
        let told = |json: &str| serde_json::from_str(json).ok().and_then(thrown);
        let read = told(r#"{"TypeName":"A.B","Message":"m","HResult":"-1"}"#).expect("an exception");
        assert_eq!((read.kind.as_str(), read.message.as_str(), read.frames.len()), ("A.B", "m", 0));
        assert_eq!((told("{}"), told(r#"{"TypeName":"A.B","Mess"#)), (None, None));
    }
}
