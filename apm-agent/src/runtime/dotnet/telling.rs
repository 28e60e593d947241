//! What the events that [`super::asking`] asked for mean.

use std::collections::HashMap;

use super::{
    Event, Utf16,
    asking::{key, name},
    command::{Begun, Commands, End, call},
    counters::Counters,
    logged,
    payload::{Arguments, LogRecord, SourceEvent},
};
use crate::{
    bridge::{
        CallBegan, Context, RequestEnded, RequestFacts, Route, Said, SpanEnded, SpanKind, SpanStatus, Threw, Thrown,
    },
    build::route,
    clock::Clock,
    correlate::{SpanId, trace_context},
    exchange::{Nanos, TraceHeaders},
};

/// Characters kept of one value; statements are reported up to 10,000.
const LONGEST_VALUE: usize = 10_240;

/// Characters kept of an exception with its stack.
const LONGEST_EXCEPTION: usize = 65_536;

/// Failed calls that are remembered.
const MOST_FAILED: usize = 1024;

/// Nanoseconds of a tick.
const TICK: u64 = 100;

/// Takes messages with their times.
type Say<'a> = &'a mut dyn FnMut(Nanos, Said);

/// Turns events into messages.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// SqlClient's commands under way.
    pub commands: Commands,
    /// Method and URL of calls that ended with an exception, until their span is told.
    failed: HashMap<SpanId, Vec<(String, String)>>,
    /// Counters of the interval that is being told.
    pub counters: Counters,
    /// The database inside the program.
    embedded: Option<&'static str>,
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
        let parent = self.parent().map(|parent| parent.span);
        Some(Context { parent, ..activity_id(&self.text(key::ID)?)? })
    }

    fn parent(&self) -> Option<Context> {
        activity_id(&self.text(key::PARENT)?)
    }

    fn exception(&self) -> Option<Thrown> {
        super::exception::read(&self.capped(key::EXCEPTION, LONGEST_EXCEPTION)?)
    }
}

impl Telling {
    /// Of a program with this database inside.
    pub(super) fn new(embedded: Option<&'static str>) -> Self {
        Self { embedded, ..Self::default() }
    }

    /// What an event says.
    pub(super) fn told(&mut self, event: &Event<'_>, say: Say<'_>) {
        if self.counters.hear(event) {
            return;
        }
        // The other form a record may be told in has no arguments; it is not asked for.
        if let Some(record) = LogRecord::read(event).filter(|record| record.arguments_json.is_some()) {
            return say(event.time, Said::Logged(Box::new(logged::logged(&record))));
        }
        let Some(SourceEvent::Happened { told_as, source, name, arguments }) = SourceEvent::read(event) else {
            return;
        };
        let values = Values { arguments };
        let said = match told_as {
            "ActivityStart" if source == name::NPGSQL => call_began(event, &values),
            "ActivityStop" => self.span_ended(source, &values),
            "Event" if source == name::HTTP_CLIENT => self.call_failed(&values),
            "Event" if source == name::HOSTING => hosting(name, &values),
            "Event" if source == name::ENTITY_FRAMEWORK => self.executed(name, &values),
            "Event" if source == name::SQL_CLIENT => {
                self.command(name, &values, event.time, say);
                None
            }
            _ => None,
        };
        if let Some(said) = said {
            say(event.time, said);
        }
    }

    /// Comes before the span's own end, on the same thread.
    fn call_failed(&mut self, values: &Values<'_>) -> Option<Said> {
        let context = values.context()?;
        if self.failed.len() >= MOST_FAILED {
            self.failed.clear();
        }
        let told = [("http.method", key::METHOD), ("http.url", key::URL)];
        let told = told.into_iter().filter_map(|(name, key)| Some((name.to_owned(), values.text(key)?)));
        self.failed.insert(context.span, told.collect());
        let thrown = values.exception()?;
        Some(Said::Threw(Box::new(Threw { context: Some(context), thrown, handled: false })))
    }

    fn span_ended(&mut self, source: Utf16<'_>, values: &Values<'_>) -> Option<Said> {
        let mut ended = span_ended(source, values)?;
        if let Some(failed) = self.failed.remove(&ended.context.span)
            && ended.attributes.is_empty()
        {
            (ended.attributes, ended.status) = (failed, SpanStatus::Error);
        }
        Some(Said::SpanEnded(Box::new(ended)))
    }

    /// A command of Entity Framework on the database inside; those on others are told otherwise.
    fn executed(&self, name: Utf16<'_>, values: &Values<'_>) -> Option<Said> {
        let system = self.embedded?;
        values.text(key::CONNECTION).filter(|class| class.to_ascii_lowercase().contains(system))?;
        let attributes = vec![
            ("db.system".to_owned(), system.to_owned()),
            ("db.name".to_owned(), values.text(key::DATABASE).unwrap_or_default()),
            ("db.statement".to_owned(), values.text(key::STATEMENT)?),
        ];
        let within = values.text(key::ID).and_then(|id| activity_id(&id));
        let failed = name.to_string().ends_with("Error");
        let duration = values.number(key::DURATION).unwrap_or(0).saturating_mul(TICK);
        Some(Said::SpanEnded(Box::new(call(name::ENTITY_FRAMEWORK, within, duration, failed, attributes))))
    }

    fn command(&mut self, name: Utf16<'_>, values: &Values<'_>, time: Nanos, say: Say<'_>) -> Option<()> {
        let operation = values.text(key::OPERATION)?;
        let name = name.to_string();
        let (span, end) = if name.ends_with("Before") {
            let begun = Begun {
                began: time,
                within: values.text(key::ID).and_then(|id| activity_id(&id)),
                statement: values.text(key::STATEMENT).unwrap_or_default(),
                procedure: values.text(key::COMMAND_TYPE).as_deref() == Some("StoredProcedure"),
                server: values.text(key::SERVER).unwrap_or_default(),
                database: values.text(key::DATABASE).unwrap_or_default(),
            };
            self.commands.began(operation, begun)?
        } else {
            let end = End { time, failed: name.ends_with("Error"), exception: values.exception() };
            self.commands.ended(operation, end)?
        };
        if let Some(thrown) = end.exception {
            let context = Some(span.context);
            say(end.time, Said::Threw(Box::new(Threw { context, thrown, handled: false })));
        }
        say(end.time, Said::SpanEnded(Box::new(span)));
        Some(())
    }
}

fn call_began(event: &Event<'_>, values: &Values<'_>) -> Option<Said> {
    let tid = u32::try_from(event.thread).ok()?;
    Some(Said::CallBegan(CallBegan { tid, within: values.parent() }))
}

fn span_ended(source: Utf16<'_>, values: &Values<'_>) -> Option<SpanEnded> {
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
    Some(SpanEnded {
        source: source.to_capped_string(1024),
        name: values.capped(key::NAME, 1024).unwrap_or_default(),
        context: values.context()?,
        remote_parent: values.text(key::REMOTE_PARENT).as_deref() == Some("True"),
        duration: values.number(key::DURATION).unwrap_or(0).saturating_mul(TICK),
        kind,
        status,
        attributes: values.capped(key::TAGS, 4 * LONGEST_VALUE).map(|text| pairs(&text)).unwrap_or_default(),
    })
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
        began: began(values),
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
    })
}

/// When the request's activity began.
fn began(values: &Values<'_>) -> Option<Nanos> {
    let wall = values.number(key::BEGAN)?.checked_sub(TICKS_TO_1970)?.checked_mul(TICK)?;
    Clock::now().kernel(wall)
}

/// Ticks from the year 1 to 1970 (`DateTime.UnixEpoch.Ticks`).
const TICKS_TO_1970: u64 = 621_355_968_000_000_000;

/// Controllers and pages have names; of others the values are known.
fn name_route(values: Vec<(String, String)>) -> Route {
    route::mvc(&values).map_or(Route::Values(values), Route::Named)
}

/// `0HN7…:0000001A`: the connection, and the request's number on it in hexadecimal, from 1. The program may have put
/// there what it likes; Kestrel's own names of connections are 64 bits in base 32.
fn ordinal(text: &str) -> Option<(String, u64)> {
    let (connection, number) = text.rsplit_once(':')?;
    if connection.len() != 13 || !connection.bytes().all(|one| matches!(one, b'0'..=b'9' | b'A'..=b'V')) {
        return None;
    }
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
        assert_eq!(ordinal("0HNJ3TQ0V9I2C:0000001A"), Some(("0HNJ3TQ0V9I2C".to_owned(), 25)));
        for other in
            ["0HNJ3TQ0V9I2C:00000000", "my-own-id", "0HNJ3TQ0V9I2C:1", "shop:0000001A", "ordersservice:0000001A"]
        {
            assert_eq!(ordinal(other), None, "{other}");
        }
    }

    #[test]
    fn ids_are_of_the_w3c_form() {
        let id = activity_id("00-61133256ef40f1c2a376bcf311335ac6-30a0570573e5dacd-01").expect("an id");
        assert_eq!((id.span.0, id.sampled), (0x30a0_5705_73e5_dacd, true));
        assert_eq!(activity_id("|61133256ef40f1c2.1."), None);
        assert_eq!(span_id("0000000000000000"), None);
        assert_eq!(span_id("fe8d0321ade01ca7"), Some(SpanId(0xfe8d_0321_ade0_1ca7)));
    }
}
