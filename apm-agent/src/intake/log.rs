//! `log`: events that servers from 8.6 on take. The keys are those of ECS, with their dots.

use std::{borrow::Cow, fmt::Write as _};

use serde::Serialize;

use super::{Detail, field::Text, keyword};
use crate::{
    bridge::{Frame, Thrown},
    build::LogEvent,
    correlate::{SpanId, TraceId},
};

#[derive(Serialize)]
pub(super) struct LogFields<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: u64,
    message: Cow<'a, str>,
    #[serde(rename = "log.level")]
    level: Cow<'a, str>,
    #[serde(rename = "log.logger")]
    logger: Cow<'a, str>,
    #[serde(rename = "trace.id", skip_serializing_if = "Option::is_none")]
    trace: Option<Text<TraceId>>,
    #[serde(rename = "span.id", skip_serializing_if = "Option::is_none")]
    span: Option<Text<SpanId>>,
    #[serde(rename = "error.type", skip_serializing_if = "Option::is_none")]
    error_type: Option<Cow<'a, str>>,
    #[serde(rename = "error.message", skip_serializing_if = "Option::is_none")]
    error_message: Option<Cow<'a, str>>,
    #[serde(rename = "error.stack_trace", skip_serializing_if = "Option::is_none")]
    stack_trace: Option<String>,
}

pub(super) fn fields(log: &LogEvent, detail: Detail) -> LogFields<'_> {
    let thrown = log.thrown.as_ref();
    LogFields {
        timestamp: log.time,
        message: detail.long(&log.message),
        level: keyword(&log.level),
        logger: keyword(&log.logger),
        trace: log.within.map(|(trace, _)| Text(trace)),
        span: log.within.map(|(_, span)| Text(span)),
        error_type: thrown.map(|thrown| keyword(&thrown.kind)),
        error_message: thrown.map(|thrown| detail.long(&thrown.message)),
        stack_trace: thrown.filter(|thrown| detail.has_headers() && !thrown.frames.is_empty()).map(stack_trace),
    }
}

/// One frame a line, innermost first.
fn stack_trace(thrown: &Thrown) -> String {
    let mut text = String::new();
    for Frame { class, function, file, line, .. } in &thrown.frames {
        let (class, dot) = class.as_deref().map_or(("", ""), |class| (class, "."));
        let _ = write!(text, "   at {class}{dot}{function}");
        if let (Some(file), Some(line)) = (file, line) {
            let _ = write!(text, " in {file}:line {line}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        build::{Document, sample},
        intake::write_document,
    };

    fn line(log: LogEvent) -> Value {
        let mut out = Vec::new();
        write_document(&Document::Log(log), &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn keys_are_those_of_ecs() {
        let log = LogEvent {
            time: 7,
            within: Some((TraceId(0xabc), SpanId(0xd))),
            level: "Warning".into(),
            logger: "Shop".into(),
            message: "no order".into(),
            thrown: None,
        };
        let bare = line(LogEvent { within: None, ..log.clone() });
        let expected = json!({"@timestamp": 7, "message": "no order", "log.level": "Warning", "log.logger": "Shop"});
        assert_eq!(bare, json!({ "log": expected }));
        let whole = line(LogEvent { thrown: Some(sample::thrown()), ..log });
        let whole = &whole["log"];
        assert_eq!(whole["trace.id"], "00000000000000000000000000000abc");
        assert_eq!((&whole["span.id"], &whole["error.type"]), (&json!("000000000000000d"), &json!("Shop.Broken")));
        let stack = whole["error.stack_trace"].as_str().unwrap();
        assert_eq!(stack.lines().count(), sample::thrown().frames.len());
        assert!(stack.starts_with("   at ") && stack.contains(":line "), "{stack}");
    }
}
