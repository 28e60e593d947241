//! W3C Trace Context: what an incoming request says about its trace, and how we say it ourselves.
//!
//! Sources: W3C Trace Context level 1 (`traceparent`, `tracestate`) and Elastic's agent specification (the `es` entry,
//! `elastic-apm-traceparent`, `trace_continuation_strategy`). Test vectors: the working group's, as kept by Elastic.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use super::{SpanId, TraceId};
use crate::{config::Continuation, exchange::TraceHeaders};

/// Characters of a `traceparent` of version 00.
const TRACEPARENT_LENGTH: usize = 55;

/// Most entries of a `tracestate` we take. The W3C speaks of 32, its own vectors have 33; this bounds our work.
const TRACESTATE_ENTRIES: usize = 64;

/// A valid incoming trace context.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// The trace.
    pub trace: TraceId,
    /// The caller's span.
    pub parent: SpanId,
    /// The caller records the trace.
    pub sampled: bool,
    /// `tracestate`, when it is valid and not blank.
    pub tracestate: Option<String>,
    /// Rate the trace was sampled with at its root: `s` of the `es` entry, 0..=1.
    pub sample_rate: Option<f64>,
}

/// How a request's trace begins, by `trace_continuation_strategy`.
#[derive(Clone, Debug, PartialEq)]
pub enum Beginning {
    /// The caller's trace goes on.
    Continued(Incoming),
    /// A new trace, with a link to the caller's span when there was one.
    New {
        /// The caller's trace and span.
        link: Option<(TraceId, SpanId)>,
    },
}

/// Reads the trace context of a request: `traceparent`, else `elastic-apm-traceparent`. `None`: there is none, or it is
/// invalid, and then `tracestate` counts for nothing either.
pub fn read(headers: &TraceHeaders) -> Option<Incoming> {
    if headers.traceparent_count > 1 {
        return None;
    }
    let text = headers.traceparent.as_deref().or(headers.elastic_traceparent.as_deref())?;
    let (trace, parent, sampled) = read_traceparent(text)?;
    let tracestate = headers.tracestate.as_deref().filter(|state| is_tracestate(state));
    let sample_rate = tracestate.and_then(sample_rate);
    Some(Incoming { trace, parent, sampled, tracestate: tracestate.map(str::to_owned), sample_rate })
}

/// Decides whether the caller's trace goes on.
pub fn begin(incoming: Option<Incoming>, strategy: Continuation) -> Beginning {
    let Some(incoming) = incoming else { return Beginning::New { link: None } };
    let restart = match strategy {
        Continuation::Continue => false,
        Continuation::Restart => true,
        Continuation::RestartExternal => !incoming.tracestate.as_deref().is_some_and(has_elastic_entry),
    };
    match restart {
        true => Beginning::New { link: Some((incoming.trace, incoming.parent)) },
        false => Beginning::Continued(incoming),
    }
}

/// The `traceparent` header for a call, always version 00.
pub fn format_traceparent(trace: TraceId, span: SpanId, sampled: bool) -> String {
    format!("00-{trace}-{span}-{:02x}", u8::from(sampled))
}

/// The `tracestate` header of a trace that starts here, sampled with `rate`.
pub fn format_tracestate(rate: f64) -> String {
    format!("es=s:{}", round_rate(rate))
}

/// Rounds a sample rate as agents do: to four decimals, and never a positive rate to zero.
pub fn round_rate(rate: f64) -> f64 {
    if rate > 0.0 && rate < 0.0001 {
        return 0.0001;
    }
    (rate.clamp(0.0, 1.0) * 10_000.0).round() / 10_000.0
}

fn read_traceparent(text: &str) -> Option<(TraceId, SpanId, bool)> {
    let text = text.trim_matches([' ', '\t']);
    let version = lower_hex(text.get(0..2)?)?;
    let known_length = match version {
        0xff => return None,
        0 => text.len() == TRACEPARENT_LENGTH,
        _ => text.len() == TRACEPARENT_LENGTH || text.as_bytes().get(TRACEPARENT_LENGTH) == Some(&b'-'),
    };
    let dashes = [2, 35, 52].iter().all(|&at| text.as_bytes().get(at) == Some(&b'-'));
    if !known_length || !dashes {
        return None;
    }
    let trace = lower_hex(text.get(3..35)?)?;
    let span = lower_hex(text.get(36..52)?)?;
    let flags = lower_hex(text.get(53..55)?)?;
    (trace != 0 && span != 0).then_some((TraceId(trace), SpanId(u64::try_from(span).ok()?), flags & 1 == 1))
}

/// Parses hexadecimal digits in lower case only, as the specification wants them.
fn lower_hex(digits: &str) -> Option<u128> {
    let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !lower {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

fn entries(tracestate: &str) -> impl Iterator<Item = &str> {
    tracestate.split(',').map(|entry| entry.trim_matches([' ', '\t'])).filter(|entry| !entry.is_empty())
}

/// Judges a whole `tracestate`. One without any entry is not worth passing on and counts as invalid.
fn is_tracestate(tracestate: &str) -> bool {
    let mut keys = Vec::new();
    for entry in entries(tracestate) {
        let Some((key, value)) = entry.split_once('=') else { return false };
        if keys.len() == TRACESTATE_ENTRIES || !is_key(key) || !is_value(value) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    !keys.is_empty()
}

fn is_key(key: &str) -> bool {
    match key.split_once('@') {
        Some((tenant, system)) => {
            tenant.len() <= 241
                && system.len() <= 14
                && is_key_text(tenant, |first| matches!(first, b'a'..=b'z' | b'0'..=b'9'))
                && is_key_text(system, |first| first.is_ascii_lowercase())
        }
        None => key.len() <= 256 && is_key_text(key, |first| first.is_ascii_lowercase()),
    }
}

fn is_key_text(text: &str, first: impl Fn(u8) -> bool) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    text.bytes().next().is_some_and(first) && text.bytes().all(allowed)
}

fn is_value(value: &str) -> bool {
    let printable = value.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'=');
    !value.is_empty() && value.len() <= 256 && printable
}

fn has_elastic_entry(tracestate: &str) -> bool {
    entries(tracestate).any(|entry| entry.starts_with("es="))
}

fn sample_rate(tracestate: &str) -> Option<f64> {
    let elastic = entries(tracestate).find_map(|entry| entry.strip_prefix("es="))?;
    let rate = elastic.split(';').find_map(|pair| pair.strip_prefix("s:"))?;
    rate.parse().ok().filter(|rate| (0.0..=1.0).contains(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-12345678901234567890123456789012-1234567890123456-01";

    #[derive(serde::Deserialize)]
    struct Vector {
        headers: Vec<(String, String)>,
        is_traceparent_valid: bool,
        is_tracestate_valid: Option<bool>,
    }

    fn headers(list: &[(String, String)]) -> TraceHeaders {
        let values = |wanted: &str| -> Vec<&str> {
            list.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str()).collect()
        };
        let parents = values("traceparent");
        let states = values("tracestate");
        TraceHeaders {
            traceparent: parents.first().map(|text| text.to_string()),
            elastic_traceparent: None,
            tracestate: (!states.is_empty()).then(|| states.join(",")),
            traceparent_count: parents.len() as u32,
        }
    }

    #[test]
    fn agrees_with_the_w3c_vectors() {
        let text = include_str!("../../tests/data/vectors/json-specs/w3c_distributed_tracing.json");
        let json: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let vectors: Vec<Vector> = serde_json::from_str(&json).unwrap();
        assert_eq!(vectors.len(), 82);
        for vector in vectors {
            let incoming = read(&headers(&vector.headers));
            assert_eq!(incoming.is_some(), vector.is_traceparent_valid, "{:?}", vector.headers);
            if let (Some(incoming), Some(valid)) = (incoming, vector.is_tracestate_valid) {
                assert_eq!(incoming.tracestate.is_some(), valid, "{:?}", vector.headers);
            }
        }
    }

    fn incoming(tracestate: Option<&str>) -> Option<Incoming> {
        read(&TraceHeaders {
            traceparent: Some(VALID.into()),
            tracestate: tracestate.map(Into::into),
            traceparent_count: 1,
            ..TraceHeaders::default()
        })
    }

    #[test]
    fn reads_the_sample_rate_of_the_elastic_entry() {
        let rate = |state| incoming(Some(state)).unwrap().sample_rate;
        assert_eq!(rate("es=s:0.25"), Some(0.25));
        assert_eq!(rate("foo=1, es=x:1;s:0.5"), Some(0.5));
        assert_eq!(rate("es=s:2"), None);
        assert_eq!(rate("es=s:none"), None);
        assert_eq!(rate("foo=1"), None);
    }

    #[test]
    fn falls_back_to_the_elastic_header_only_without_traceparent() {
        let elastic = |traceparent: Option<&str>| TraceHeaders {
            traceparent: traceparent.map(Into::into),
            elastic_traceparent: Some(VALID.into()),
            tracestate: None,
            traceparent_count: traceparent.iter().count() as u32,
        };
        assert_eq!(read(&elastic(None)).unwrap().parent, SpanId(0x1234567890123456));
        assert_eq!(read(&elastic(Some("nonsense"))), None);
    }

    #[test]
    fn begins_by_the_continuation_strategy() {
        let linked = |beginning| matches!(beginning, Beginning::New { link: Some(_) });
        let begun = |state, strategy| begin(incoming(state), strategy);
        assert!(matches!(begun(None, Continuation::Continue), Beginning::Continued(_)));
        assert!(linked(begun(Some("es=s:1"), Continuation::Restart)));
        assert!(linked(begun(None, Continuation::RestartExternal)));
        assert!(linked(begun(Some("foo=1"), Continuation::RestartExternal)));
        assert!(matches!(begun(Some("es=s:1"), Continuation::RestartExternal), Beginning::Continued(_)));
        assert_eq!(begin(None, Continuation::Restart), Beginning::New { link: None });
    }

    #[test]
    fn formats_what_it_reads() {
        let text = format_traceparent(TraceId(0xabc), SpanId(0xdef), true);
        assert_eq!(text, "00-00000000000000000000000000000abc-0000000000000def-01");
        assert_eq!(read_traceparent(&text), Some((TraceId(0xabc), SpanId(0xdef), true)));
        assert!(format_traceparent(TraceId(1), SpanId(1), false).ends_with("-00"));
        assert_eq!(format_tracestate(1.0), "es=s:1");
        assert_eq!(format_tracestate(0.123456), "es=s:0.1235");
        assert_eq!(format_tracestate(0.00001), "es=s:0.0001");
    }

    #[test]
    fn survives_multibyte_text_at_every_offset() {
        for at in 0..VALID.len() {
            let mut text = VALID.to_owned();
            text.replace_range(at..=at, "é");
            assert_eq!(read_traceparent(&text), None);
        }
    }

    proptest::proptest! {
        /// Any bytes in any header: no panic, and what is taken can be sent on.
        #[test]
        fn takes_any_header(parent in "(00|cc)-[0-9a-f]{31,33}-[0-9a-f]{16}-0[01].{0,3}|.{0,60}", state in ".{0,80}|(es=s:[0-9.]{0,5},?){0,3}") {
            let headers = TraceHeaders {
                traceparent: Some(parent),
                elastic_traceparent: None,
                tracestate: Some(state),
                traceparent_count: 1,
            };
            if let Some(incoming) = read(&headers) {
                let again = format_traceparent(incoming.trace, incoming.parent, incoming.sampled);
                assert_eq!(read_traceparent(&again), Some((incoming.trace, incoming.parent, incoming.sampled)));
            }
        }
    }
}
