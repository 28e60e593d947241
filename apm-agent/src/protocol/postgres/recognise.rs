//! Tells PostgreSQL from other protocols by its first bytes.

use super::message::{
    CANCEL_REQUEST, GSS_REQUEST, SSL_REQUEST, STARTUP_BYTES, VERSION_MAJOR, kept_bytes, number_at, read_text,
};
use super::seek::ends_with_answer;
use crate::exchange::Side;
use crate::protocol::{Evidence, Join, Verdict};

/// Bytes of one side after which a late connection without evidence is given up.
const PATIENCE_BYTES: usize = 16 * 1024;
/// Most messages looked at.
const MESSAGES: usize = 64;

pub(super) fn recognise(client: &[u8], server: &[u8], join: Join) -> Verdict {
    match join {
        Join::Start => judge_start(client, server),
        Join::Late => judge_late(client, server),
    }
}

fn judge_start(client: &[u8], server: &[u8]) -> Verdict {
    match (judge_startup(client), server.first()) {
        (Verdict::No, _) => Verdict::No,
        (verdict, None | Some(b'R' | b'E' | b'N' | b'S' | b'G' | b'v')) => verdict,
        _ => Verdict::No,
    }
}

/// A start-up packet: length, then a request code, or version 3.x and parameters. Kafka's Metadata request has the
/// same first eight bytes, so the first parameter's name is looked at too.
fn judge_startup(client: &[u8]) -> Verdict {
    let (Some(length), Some(code)) = (number_at(client, 0), number_at(client, 4)) else {
        return judge_startup_prefix(client);
    };
    match code {
        SSL_REQUEST | GSS_REQUEST => verdict(length == 8),
        CANCEL_REQUEST => verdict((16..=STARTUP_BYTES as u32).contains(&length)),
        version if version >> 16 == VERSION_MAJOR && (9..=STARTUP_BYTES as u32).contains(&length) => {
            let end = client.len().min(length as usize);
            judge_parameters(client.get(8..end).unwrap_or_default(), client.len() >= length as usize)
        }
        _ => Verdict::No,
    }
}

fn verdict(yes: bool) -> Verdict {
    if yes { Verdict::Yes } else { Verdict::No }
}

fn judge_startup_prefix(client: &[u8]) -> Verdict {
    let length_fits = client.iter().zip([0, 0, 0x27]).all(|(byte, most)| *byte <= most);
    let code = client.get(4..).unwrap_or_default();
    let codes = [&[0, 3][..], &[0x04, 0xd2, 0x16]];
    let code_fits = codes.iter().any(|known| code.iter().zip(*known).all(|(a, b)| a == b));
    if length_fits && code_fits { Verdict::Maybe } else { Verdict::No }
}

/// Names and values, each with NUL; every client sends `user`.
fn judge_parameters(parameters: &[u8], whole: bool) -> Verdict {
    let mut rest = parameters;
    let name = read_text(&mut rest).unwrap_or(parameters);
    let plausible = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte));
    if !plausible || (whole && (name.is_empty() || parameters.last() != Some(&0))) {
        return Verdict::No;
    }
    match name.len() {
        0..4 if !whole => Verdict::Maybe,
        _ => Verdict::Yes,
    }
}

fn judge_late(client: &[u8], server: &[u8]) -> Verdict {
    let (asked, answered) = (weigh_frontend(client), weigh_backend(server));
    if asked == Evidence::Strong && answered != Evidence::Against {
        return Verdict::Yes;
    }
    if answered == Evidence::Strong && (asked != Evidence::Against || client.is_empty()) {
        return Verdict::Yes;
    }
    if ends_with_answer(server) {
        // Joined amid rows, or amid a client's data.
        return Verdict::Yes;
    }
    let both = !client.is_empty() && !server.is_empty();
    let against = asked == Evidence::Against && answered == Evidence::Against;
    let one = asked == Evidence::Against || answered == Evidence::Against;
    if (both && against) || (one && !both) || client.len().max(server.len()) > PATIENCE_BYTES {
        return Verdict::No;
    }
    Verdict::Maybe
}

/// Messages from a boundary on. Strong: a whole query text, or a Sync after messages of the extended protocol.
pub(super) fn weigh_frontend(bytes: &[u8]) -> Evidence {
    let mut strong = false;
    let mut extended = false;
    let sound = walk(Side::Client, bytes, |kind, body| match kind {
        b'Q' => {
            strong |= is_text(body);
            is_text(body)
        }
        b'P' | b'B' | b'D' | b'E' | b'C' => {
            extended = true;
            body.contains(&0)
        }
        b'S' => {
            strong |= extended;
            true
        }
        _ => true,
    });
    grade(sound, strong)
}

/// Messages from a boundary on. Strong: they come to a ReadyForQuery after an answer.
fn weigh_backend(bytes: &[u8]) -> Evidence {
    let mut strong = false;
    let mut answers = false;
    let sound = walk(Side::Server, bytes, |kind, body| match kind {
        b'C' => {
            answers = true;
            body.first().is_some_and(u8::is_ascii_uppercase) && body.last() == Some(&0)
        }
        b'E' => {
            answers = true;
            body.first() == Some(&b'S') && body.last() == Some(&0)
        }
        b'1' | b'2' | b'3' | b'I' | b's' => {
            answers = true;
            true
        }
        b'Z' => {
            strong |= answers;
            matches!(body, b"I" | b"T" | b"E")
        }
        _ => true,
    });
    grade(sound, strong)
}

fn grade(sound: bool, strong: bool) -> Evidence {
    match (sound, strong) {
        (false, _) => Evidence::Against,
        (true, true) => Evidence::Strong,
        (true, false) => Evidence::Weak,
    }
}

/// Shows each whole message to `check`; false as soon as something is no message.
fn walk(from: Side, bytes: &[u8], mut check: impl FnMut(u8, &[u8]) -> bool) -> bool {
    let mut rest = bytes;
    for _ in 0..MESSAGES {
        let Some((&kind, after)) = rest.split_first() else { return true };
        let Some(length) = number_at(after, 0) else {
            // Part of a header: lengths begin with a small byte.
            let type_known = (4..64).any(|length| kept_bytes(from, kind, length).is_some());
            return type_known && after.first().is_none_or(|byte| *byte <= 0x40);
        };
        if kept_bytes(from, kind, length).is_none() {
            return false;
        }
        let Some((message, next)) = after.split_at_checked(length as usize) else { return true };
        if !check(kind, message.get(4..).unwrap_or_default()) {
            return false;
        }
        rest = next;
    }
    true
}

/// Text that ends with the only NUL and has no control characters but white space.
fn is_text(body: &[u8]) -> bool {
    let Some((0, text)) = body.split_last() else { return false };
    text.iter().all(|byte| *byte >= b' ' || matches!(byte, b'\t'..=b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTUP: &[u8] = b"\0\0\0\x23\0\x03\0\0user\0ann\0database\0shop\0\0\0\0\0\0";
    const QUERY: &[u8] = b"Q\0\0\0\x0dSELECT 1\0";
    const ANSWER: &[u8] = b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";

    #[test]
    fn judges_the_start() {
        for (client, server, expected) in [
            (STARTUP, &b""[..], Verdict::Yes),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", b"N", Verdict::Yes),
            (b"\0\0\0\x08\x04\xd2\x16\x30", b"", Verdict::Yes),
            (b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02", b"", Verdict::Yes),
            (b"", b"", Verdict::Maybe),
            (b"\0\0\0", b"", Verdict::Maybe),
            (b"\0\0\0\x23\0\x03\0\0u", b"", Verdict::Maybe),
            (b"\0\0\0\x23\0\x03\0\0us\0", b"R", Verdict::Maybe),
            (STARTUP, b"HTTP", Verdict::No),
            (b"\0\0\0\x09\x04\xd2\x16\x2f", b"", Verdict::No),
            // Kafka: Metadata version 0, correlation id 1.
            (b"\0\0\0\x15\0\x03\0\0\0\0\0\x01\0\x07rdkafka\0\0\0\0", b"", Verdict::No),
            (b"GET / HTTP/1.1\r\n", b"", Verdict::No),
            (b"\x16\x03\x01", b"", Verdict::No),
            (QUERY, b"", Verdict::No),
        ] {
            assert_eq!(recognise(client, server, Join::Start), expected, "{client:?} {server:?}");
        }
    }

    #[test]
    fn judges_late_joins() {
        let extended = b"P\0\0\0\x10\0SELECT 1\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";
        let rows = [&b"amid rows"[..], ANSWER].concat();
        for (client, server, expected) in [
            (QUERY, &b""[..], Verdict::Yes),
            (extended, b"", Verdict::Yes),
            (b"", ANSWER, Verdict::Yes),
            (b"", &rows, Verdict::Yes),
            (b"", b"", Verdict::Maybe),
            (b"Q", b"", Verdict::Maybe),
            (b"Q\0\0\x10\0SELECT", b"", Verdict::Maybe),
            (b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", Verdict::No),
            (b"GET / HTTP/1.1\r\n", b"", Verdict::No),
            (QUERY, b"HTTP/1.1 200 OK\r\n", Verdict::Maybe),
            (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n", Verdict::No),
            (b"Q\0\0\0\x0dSELE\x01T 1\0", b"", Verdict::No),
        ] {
            assert_eq!(recognise(client, server, Join::Late), expected, "{client:?} {server:?}");
        }
    }
}
