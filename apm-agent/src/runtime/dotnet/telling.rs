//! What the events that [`super::asking`] asked for mean.

use std::collections::HashMap;

use super::{
    Event, Utf16,
    asking::{key, name},
    logged,
    payload::{Arguments, LogRecord, SourceEvent},
};
use crate::{
    bridge::{
        CallBegan, Context, RequestEnded, RequestFacts, Route, Said, SpanEnded, SpanKind, SpanStatus, Threw, Thrown,
    },
    build::route,
    correlate::{SpanId, TraceId, trace_context},
    exchange::{Nanos, TraceHeaders},
};

/// Characters kept of one value; statements are reported up to 10,000.
const LONGEST_VALUE: usize = 10_240;

/// Characters kept of an exception with its stack.
const LONGEST_EXCEPTION: usize = 65_536;

/// Commands under way that are remembered.
const MOST_COMMANDS: usize = 16_384;

/// Nanoseconds of a tick.
const TICK: u64 = 100;

/// Turns events into messages.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// SqlClient's commands under way, by operation.
    commands: HashMap<String, Command>,
    /// Commands not remembered because there were too many.
    pub lost: u64,
}

#[derive(Debug)]
struct Command {
    began: Nanos,
    /// Place of the activity it belongs to.
    within: Option<Context>,
    statement: String,
    server: String,
    database: String,
}

/// The values of one event.
struct Values<'a> {
    arguments: Arguments<'a>,
}

impl Values<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.capped(key, LONGEST_VALUE)
    }

    fn capped(&self, key: &str, most: usize) -> Option<String> {
        self.arguments.get(key).filter(|value| !value.is_empty()).map(|value| value.to_capped_string(most))
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }

    fn context(&self) -> Option<Context> {
        let parent = self.text(key::PARENT).and_then(|text| span_id(&text));
        Some(Context { parent, ..activity_id(&self.text(key::ID)?)? })
    }

    fn exception(&self) -> Option<Thrown> {
        Some(super::exception::read(&self.capped(key::EXCEPTION, LONGEST_EXCEPTION)?)?)
    }
}

impl Telling {
    /// What an event says.
    pub(super) fn told(&mut self, event: &Event<'_>) -> Option<Said> {
        // The other form a record may be told in has no arguments; it is not asked for.
        if let Some(record) = LogRecord::read(event).filter(|record| record.arguments_json.is_some()) {
            return Some(Said::Logged(Box::new(logged::logged(&record))));
        }
        let SourceEvent::Happened { told_as, source, name, arguments } = SourceEvent::read(event)? else {
            return None;
        };
        let values = Values { arguments };
        match told_as {
            "ActivityStart" if source == name::NPGSQL => call_began(event, &values),
            "ActivityStop" => span_ended(source, &values),
            "Event" if source == name::HOSTING => hosting(name, &values),
            "Event" if source == name::SQL_CLIENT => self.command(name, &values, event.time),
            _ => None,
        }
    }

    fn command(&mut self, name: Utf16<'_>, values: &Values<'_>, time: Nanos) -> Option<Said> {
        let operation = values.text(key::OPERATION)?;
        let name = name.to_string();
        if name.ends_with("Before") {
            if self.commands.len() >= MOST_COMMANDS {
                self.lost += 1;
                return None;
            }
            let command = Command {
                began: time,
                within: values.text(key::ID).and_then(|id| activity_id(&id)),
                statement: values.text(key::STATEMENT).unwrap_or_default(),
                server: values.text(key::SERVER).unwrap_or_default(),
                database: values.text(key::DATABASE).unwrap_or_default(),
            };
            self.commands.insert(operation, command);
            return None;
        }
        let command = self.commands.remove(&operation)?;
        Some(Said::SpanEnded(Box::new(command.ended(time, values.exception().is_some()))))
    }
}

impl Command {
    fn ended(self, time: Nanos, failed: bool) -> SpanEnded {
        let (server, port) = data_source(&self.server);
        let mut attributes = vec![
            ("db.system".to_owned(), "mssql".to_owned()),
            ("db.name".to_owned(), self.database),
            ("db.statement".to_owned(), self.statement),
            ("server.address".to_owned(), server),
        ];
        attributes.extend(port.map(|port| ("server.port".to_owned(), port)));
        let span = SpanId(fastrand::u64(1..));
        let context = match self.within {
            Some(within) => Context { span, parent: Some(within.span), ..within },
            None => Context { trace: TraceId(fastrand::u128(1..)), span, parent: None, sampled: true },
        };
        SpanEnded {
            source: "Microsoft.Data.SqlClient".into(),
            name: String::new(),
            context,
            remote_parent: false,
            duration: time.saturating_sub(self.began),
            kind: SpanKind::Client,
            status: if failed { SpanStatus::Error } else { SpanStatus::Unset },
            attributes,
        }
    }
}

/// `tcp:HOST,PORT`, `HOST\INSTANCE` (SqlConnection.ConnectionString, keyword Data Source).
fn data_source(text: &str) -> (String, Option<String>) {
    let text = text.trim().strip_prefix("tcp:").unwrap_or(text);
    let (server, port) = match text.split_once(',') {
        Some((server, port)) => (server, Some(port.trim().to_owned())),
        None => (text, None),
    };
    (server.split('\\').next().unwrap_or_default().to_owned(), port)
}

fn call_began(event: &Event<'_>, values: &Values<'_>) -> Option<Said> {
    let context = values.context()?;
    let tid = u32::try_from(event.thread).ok()?;
    Some(Said::CallBegan(CallBegan { tid, trace: context.trace, parent: context.parent, sampled: context.sampled }))
}

fn span_ended(source: Utf16<'_>, values: &Values<'_>) -> Option<Said> {
    let kind = match values.text(key::KIND).as_deref() {
        Some("Server") => SpanKind::Server,
        Some("Client") => SpanKind::Client,
        Some("Producer") => SpanKind::Producer,
        Some("Consumer") => SpanKind::Consumer,
        _ => SpanKind::Internal,
    };
    let status = match values.text(key::STATUS).as_deref() {
        Some("Ok") => SpanStatus::Ok,
        Some("Error") => SpanStatus::Error,
        _ => SpanStatus::Unset,
    };
    Some(Said::SpanEnded(Box::new(SpanEnded {
        source: source.to_capped_string(1024),
        name: values.capped(key::NAME, 1024).unwrap_or_default(),
        context: values.context()?,
        remote_parent: values.text(key::REMOTE_PARENT).as_deref() == Some("True"),
        duration: values.number(key::DURATION).unwrap_or(0).saturating_mul(TICK),
        kind,
        status,
        attributes: values.capped(key::TAGS, 4 * LONGEST_VALUE).map(|text| pairs(&text)).unwrap_or_default(),
    })))
}

fn hosting(name: Utf16<'_>, values: &Values<'_>) -> Option<Said> {
    let context = values.context();
    if name == name::PAGE_SHOWN || name == name::HANDLED {
        let thrown = values.exception()?;
        return Some(Said::Threw(Box::new(Threw { context, thrown, handled: name == name::HANDLED })));
    }
    Some(Said::RequestEnded(Box::new(RequestEnded {
        context,
        remote_port: values.number(key::PORT).and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        ordinal: values.text(key::IDENTIFIER).and_then(|text| ordinal(&text)),
        route: values.text(key::ROUTE).map(|text| name_route(pairs(&text))),
        facts: facts(values).map(Box::new),
        exception: values.exception().map(Box::new),
    })))
}

/// All of a request, where it was asked for.
fn facts(values: &Values<'_>) -> Option<RequestFacts> {
    let path = values.text(key::PATH).unwrap_or_default();
    Some(RequestFacts {
        method: values.text(key::METHOD)?,
        target: path + &values.text(key::QUERY).unwrap_or_default(),
        scheme: values.text(key::SCHEME).unwrap_or_default(),
        protocol: values.text(key::PROTOCOL).unwrap_or_default(),
        headers: values.capped(key::HEADERS, 4 * LONGEST_VALUE).map(|text| pairs(&text)).unwrap_or_default(),
        status: values.number(key::CODE).and_then(|code| u16::try_from(code).ok()),
        peer: values.text(key::PEER),
        began: values.number(key::BEGAN)?.checked_sub(TICKS_TO_1970)?.checked_mul(TICK)?,
    })
}

/// Ticks from the year 1 to 1970 (`DateTime.UnixEpoch.Ticks`).
const TICKS_TO_1970: u64 = 621_355_968_000_000_000;

/// Controllers and pages have names; of others the values are known.
fn name_route(values: Vec<(String, String)>) -> Route {
    route::mvc(&values).map_or(Route::Values(values), Route::Named)
}

/// `0HN7…:0000001A`: the connection, and the request's number on it in hexadecimal, from 1.
fn ordinal(text: &str) -> Option<(String, u64)> {
    let (connection, number) = text.rsplit_once(':')?;
    let number = u64::from_str_radix(number, 16).ok().filter(|_| number.len() == 8)?;
    Some((connection.to_owned(), number.checked_sub(1)?))
}

/// An activity's id in W3C form; ids of the older, hierarchical form are none to us.
fn activity_id(text: &str) -> Option<Context> {
    let headers = TraceHeaders { traceparent: Some(text.to_owned()), traceparent_count: 1, ..TraceHeaders::default() };
    let id = trace_context::read(&headers)?;
    Some(Context { trace: id.trace, span: id.parent, parent: None, sampled: id.sampled })
}

/// 16 hexadecimal digits, not all zero.
pub(super) fn span_id(text: &str) -> Option<SpanId> {
    u64::from_str_radix(text, 16).ok().filter(|id| *id != 0 && text.len() == 16).map(SpanId)
}

/// `[name, value],[name, value]`, as `*Enumerate` writes pairs. A value may hold anything, so that only what looks like
/// the beginning of a pair ends one.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    for piece in inner.split("],[") {
        match (piece.split_once(", "), pairs.last_mut()) {
            (Some((name, value)), _) if is_name(name) => pairs.push((name.to_owned(), value.to_owned())),
            (_, Some((_, value))) => {
                value.push_str("],[");
                value.push_str(piece);
            }
            (_, None) => {}
        }
    }
    pairs
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '.' | '_' | '-' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_may_hold_what_separates_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("[id, 7]"), [pair("id", "7")]);
        assert_eq!(
            pairs("[controller, Orders],[action, Get],[id, a, b]"),
            [pair("controller", "Orders"), pair("action", "Get"), pair("id", "a, b")]
        );
        assert_eq!(
            pairs("[db.statement, SELECT [a],[b] FROM [t]],[db.name, x]"),
            [pair("db.statement", "SELECT [a],[b] FROM [t]"), pair("db.name", "x")]
        );
        assert!(pairs("").is_empty() && pairs("[]").is_empty());
    }

    #[test]
    fn request_numbers_are_hexadecimal_and_begin_at_one() {
        assert_eq!(ordinal("0HNABC:0000001A"), Some(("0HNABC".to_owned(), 25)));
        assert_eq!(ordinal("0HNABC:00000000"), None);
        assert_eq!(ordinal("my-own-id"), None);
        assert_eq!(ordinal("a:1"), None);
    }

    #[test]
    fn ids_are_of_the_w3c_form() {
        let id = activity_id("00-61133256ef40f1c2a376bcf311335ac6-30a0570573e5dacd-01").expect("an id");
        assert_eq!((id.span.0, id.sampled), (0x30a0_5705_73e5_dacd, true));
        assert_eq!(activity_id("|61133256ef40f1c2.1."), None);
        assert_eq!(span_id("0000000000000000"), None);
        assert_eq!(span_id("fe8d0321ade01ca7"), Some(SpanId(0xfe8d_0321_ade0_1ca7)));
    }

    #[test]
    fn data_sources_have_hosts_and_ports() {
        assert_eq!(data_source("tcp:db.example,1433"), ("db.example".to_owned(), Some("1433".to_owned())));
        assert_eq!(data_source("db\\SQLEXPRESS"), ("db".to_owned(), None));
    }
}
