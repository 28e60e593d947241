//! Is this HTTP/1.x? Judged by the first line of either side.

use crate::protocol::{Join, Verdict};

/// Longest method taken for one: `BASELINE-CONTROL` and `UPDATEREDIRECTREF` (RFC 3253, 4437) are the longest registered.
const METHOD_BYTES: usize = 24;

/// Judges the first bytes of both sides.
pub fn judge(client: &[u8], server: &[u8], join: Join) -> Verdict {
    let (question, answer) = (judge_client(client), judge_server(server));
    match join {
        Join::Start => match (question, answer) {
            (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
            (question, _) => question,
        },
        // What passes now may be the middle of a body, so only evidence for HTTP counts, until both sides speak otherwise.
        Join::Late => match (question, answer) {
            (Verdict::Yes, _) | (_, Verdict::Yes) => Verdict::Yes,
            (Verdict::No, Verdict::No) => Verdict::No,
            _ => Verdict::Maybe,
        },
    }
}

/// Judges what may be the beginning of a request: method, target and ` HTTP/1.` of RFC 9112 section 3.
pub fn judge_client(bytes: &[u8]) -> Verdict {
    let line = skip_empty_lines(bytes);
    let method = line.iter().take_while(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')).count();
    if method > METHOD_BYTES {
        return Verdict::No;
    }
    match line.get(method) {
        None => return Verdict::Maybe,
        Some(b' ') if method > 0 => {}
        Some(_) => return Verdict::No,
    }
    let after_method = line.get(method + 1..).unwrap_or_default();
    let target = after_method.iter().take_while(|byte| **byte > b' ' && **byte != 0x7f).count();
    match after_method.get(target) {
        None => Verdict::Maybe,
        Some(b' ') if target > 0 => judge_prefix(after_method.get(target + 1..).unwrap_or_default()),
        Some(_) => Verdict::No,
    }
}

/// Methods a request may have where its beginning is only guessed: after a gap, `ET` is rather a piece of `GET`. None of
/// them is the end of another.
const METHODS: &[&str] = &[
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "HEAD",
    "PATCH",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "REPORT",
    "SEARCH",
];

/// What begins with this method is no accident.
pub fn is_common(method: &str) -> bool {
    METHODS.contains(&method)
}

/// Judges what may be the beginning of a response.
pub fn judge_server(bytes: &[u8]) -> Verdict {
    judge_prefix(skip_empty_lines(bytes))
}

fn judge_prefix(bytes: &[u8]) -> Verdict {
    const VERSION: &[u8] = b"HTTP/1.";
    if bytes.starts_with(VERSION) {
        Verdict::Yes
    } else if VERSION.starts_with(bytes) {
        Verdict::Maybe
    } else {
        Verdict::No
    }
}

/// Empty lines before a message are ignored (RFC 9112 section 2.2).
pub fn skip_empty_lines(bytes: &[u8]) -> &[u8] {
    let skipped = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes.get(skipped..).unwrap_or_default()
}
