//! Heads of messages: the first line and the headers, up to and with the empty line (RFC 9112 section 2 to 6).

use super::body::{Body, Chunks};
use crate::exchange::TraceHeaders;
use httparse::{EMPTY_HEADER, Error, Header, ParserConfig, Status};

/// Headers kept of one head; more are read for framing, but not reported.
const HEADERS: usize = 128;

/// A request's head.
pub struct RequestHead {
    pub method: String,
    pub target: String,
    pub version: &'static str,
    pub headers: Vec<(String, String)>,
    pub trace: TraceHeaders,
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Asks for another protocol: CONNECT, or `Upgrade`.
    pub asks_upgrade: bool,
}

/// A response's head.
pub struct ResponseHead {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub framing: Framing,
}

/// What the headers say about the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Neither `Content-Length` nor `Transfer-Encoding`.
    Unsaid,
    /// `Content-Length`
    Length(u64),
    /// `Transfer-Encoding` that ends with `chunked`.
    Chunked,
    /// Headers that contradict each other, or a transfer coding that ends with the connection.
    Unclear,
}

impl Framing {
    /// The body of a response that has one (RFC 9112 section 6.3, rules 4 to 8).
    pub fn response_body(self) -> Body {
        match self {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunks(Chunks::default()),
            Framing::Unsaid | Framing::Unclear => Body::UntilClose,
        }
    }
}

/// Parses a complete head of a request. `None`: it is none.
pub fn read_request(bytes: &[u8]) -> Option<RequestHead> {
    with_headers(bytes, |config, bytes, slots| {
        let mut request = httparse::Request::new(slots);
        match config.parse_request(&mut request, bytes)? {
            Status::Complete(_) => Ok(own_request(&request)),
            Status::Partial => Ok(None),
        }
    })
}

/// Parses a complete head of a response. `None`: it is none.
pub fn read_response(bytes: &[u8]) -> Option<ResponseHead> {
    with_headers(bytes, |config, bytes, slots| {
        let mut response = httparse::Response::new(slots);
        match config.parse_response(&mut response, bytes)? {
            Status::Complete(_) => Ok(response.code.map(|status| ResponseHead {
                status,
                headers: own_headers(response.headers),
                framing: framing_of(response.headers),
            })),
            Status::Partial => Ok(None),
        }
    })
}

/// Parses strictly, and where that fails tolerantly: with folded lines joined, bad header lines left out, and room for
/// as many headers as there are lines (bounded by the cap on a head).
fn with_headers<T>(
    bytes: &[u8],
    parse: impl for<'a> Fn(&ParserConfig, &'a [u8], &mut [Header<'a>]) -> Result<Option<T>, Error>,
) -> Option<T> {
    // Not `[EMPTY_HEADER; HEADERS]` alone: most heads have few headers, and 128 slots are 4 KiB to clear.
    let mut slots = [EMPTY_HEADER; 32];
    let strict = ParserConfig::default();
    if let Ok(head) = parse(&strict, bytes, &mut slots) {
        return head;
    }
    let joined = join_folded_lines(bytes);
    let mut many = vec![EMPTY_HEADER; joined.iter().filter(|byte| **byte == b'\n').count()];
    if let Ok(head) = parse(&strict, &joined, &mut many) {
        return head;
    }
    let mut tolerant = ParserConfig::default();
    tolerant.allow_spaces_after_header_name_in_responses(true);
    tolerant.ignore_invalid_headers_in_requests(true);
    tolerant.ignore_invalid_headers_in_responses(true);
    parse(&tolerant, &joined, &mut many).ok().flatten()
}

/// Replaces the line end before a continuation line by spaces (RFC 9112 section 5.2).
fn join_folded_lines(bytes: &[u8]) -> Vec<u8> {
    let mut joined = bytes.to_vec();
    for index in 0..bytes.len() {
        let is_fold = bytes.get(index) == Some(&b'\n') && matches!(bytes.get(index + 1), Some(b' ' | b'\t'));
        if !is_fold {
            continue;
        }
        if let Some(end) = joined.get_mut(index) {
            *end = b' ';
        }
        if let Some(end @ b'\r') = index.checked_sub(1).and_then(|before| joined.get_mut(before)) {
            *end = b' ';
        }
    }
    joined
}

fn own_request(request: &httparse::Request) -> Option<RequestHead> {
    let headers = &*request.headers;
    let method = request.method?;
    let has = |name: &str| headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    let expects = |header: &&Header| header.name.eq_ignore_ascii_case("expect");
    Some(RequestHead {
        method: method.to_owned(),
        target: request.path?.to_owned(),
        version: if request.version? == 0 { "1.0" } else { "1.1" },
        headers: own_headers(headers),
        trace: trace_of(headers),
        framing: framing_of(headers),
        expects_continue: headers
            .iter()
            .find(expects)
            .is_some_and(|header| header.value.eq_ignore_ascii_case(b"100-continue")),
        asks_upgrade: method == "CONNECT" || has("upgrade"),
    })
}

fn own_headers(headers: &[Header]) -> Vec<(String, String)> {
    headers.iter().take(HEADERS).map(|header| (header.name.to_owned(), own_value(header.value))).collect()
}

fn own_value(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(value).into_owned(),
    }
}

fn trace_of(headers: &[Header]) -> TraceHeaders {
    let mut trace = TraceHeaders::default();
    for Header { name, value } in headers {
        // One comparison for the many other headers.
        if !matches!(name.len(), 10 | 11 | 23) {
            continue;
        }
        if name.eq_ignore_ascii_case("traceparent") {
            trace.traceparent_count += 1;
            trace.traceparent.get_or_insert_with(|| own_value(value));
        } else if name.eq_ignore_ascii_case("elastic-apm-traceparent") {
            trace.elastic_traceparent.get_or_insert_with(|| own_value(value));
        } else if name.eq_ignore_ascii_case("tracestate") {
            match &mut trace.tracestate {
                Some(state) => {
                    state.push(',');
                    state.push_str(&own_value(value));
                }
                None => trace.tracestate = Some(own_value(value)),
            }
        }
    }
    trace
}

/// RFC 9112 section 6.3: a transfer coding overrides a length; lengths that differ are an error.
fn framing_of(headers: &[Header]) -> Framing {
    let mut framing = Framing::Unsaid;
    let mut last_coding: Option<&[u8]> = None;
    for Header { name, value } in headers {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            last_coding = value.rsplit(|byte| *byte == b',').next();
        } else if name.eq_ignore_ascii_case("content-length") {
            for part in value.split(|byte| *byte == b',') {
                framing = match (framing, read_length(part)) {
                    (Framing::Unsaid, Some(length)) => Framing::Length(length),
                    (Framing::Length(before), Some(length)) if before == length => Framing::Length(length),
                    _ => Framing::Unclear,
                };
            }
        }
    }
    match last_coding {
        None => framing,
        Some(coding) if coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        Some(_) => Framing::Unclear,
    }
}

fn read_length(text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text.trim_ascii()).ok()?;
    // `parse` alone would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
