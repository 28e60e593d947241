//! `Microsoft-Diagnostics-DiagnosticSource`: what libraries tell of their work through `DiagnosticListener` and
//! `ActivitySource` (dotnet/runtime, DiagnosticSourceEventSource.cs).

use super::{Array, Value, fields};
use crate::runtime::dotnet::{Utf16, nettrace::Event};

/// Name of the provider.
const PROVIDER: &str = "Microsoft-Diagnostics-DiagnosticSource";

/// What it tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SourceEvent<'a> {
    /// Something happened in a library that was asked for.
    Happened {
        /// Under which name the specification had it told: `Event`, `Activity1Start`, `Activity2Stop` …, and
        /// `ActivityStart` and `ActivityStop` for `[AS]`.
        told_as: &'a str,
        /// Name of the `DiagnosticListener` or `ActivitySource`.
        source: Utf16<'a>,
        /// Name of the event or `Activity`.
        name: Utf16<'a>,
        /// What was asked to be told with it.
        arguments: Arguments<'a>,
    },
    /// There is a `DiagnosticListener` of this name.
    NewListener(Utf16<'a>),
    /// It tells of itself: which specifications it took, and errors in them.
    Message(Utf16<'a>),
}

impl<'a> SourceEvent<'a> {
    /// Reads an event of this provider.
    pub fn read(event: &Event<'a>) -> Option<Self> {
        if event.provider != PROVIDER {
            return None;
        }
        let (mut source, mut name, mut message, mut arguments) = (None, None, None, None);
        fields(event, |field, value| match (field, value) {
            ("SourceName", Value::Text(text)) => source = Some(text),
            ("EventName" | "ActivityName", Value::Text(text)) => name = Some(text),
            ("Message", Value::Text(text)) => message = Some(text),
            ("Arguments", Value::Array(array)) => arguments = Some(Arguments { array }),
            _ => {}
        })?;
        match (event.name, source, name, arguments) {
            ("Message", ..) => message.map(Self::Message),
            ("NewDiagnosticListener", Some(source), ..) => Some(Self::NewListener(source)),
            (told_as, Some(source), Some(name), Some(arguments)) => {
                Some(Self::Happened { told_as, source, name, arguments })
            }
            _ => None,
        }
    }
}

/// Names and values, in the order of the specification. A value that was null is empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arguments<'a> {
    array: Array<'a>,
}

impl<'a> Arguments<'a> {
    /// Calls `each` with every name and value.
    pub fn each(&self, mut each: impl FnMut(Utf16<'a>, Utf16<'a>)) {
        let mut key = None;
        self.array.each(|field, value| match (field, value) {
            ("Key", Value::Text(text)) => key = Some(text),
            ("Value", Value::Text(text)) => {
                if let Some(key) = key.take() {
                    each(key, text);
                }
            }
            _ => {}
        });
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<Utf16<'a>> {
        let mut found = None;
        self.each(|key, value| {
            if found.is_none() && key == name {
                found = Some(value);
            }
        });
        found
    }
}
