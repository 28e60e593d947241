//! Tells Redis from other protocols by its first bytes.

use super::line::number;
use super::reply;
use super::request::command_name;
use crate::exchange::Stamp;
use crate::protocol::{Join, Verdict};

/// Bytes of a server after which a late connection whose client is silent is given up.
const PATIENCE_BYTES: usize = 4096;
/// Longest inline command that is recognised.
const INLINE_BYTES: usize = 256;

/// Commands that may come inline first. Those of other protocols of lines (QUIT, AUTH, LIST) are none.
const INLINE: [&str; 12] =
    ["COMMAND", "CONFIG", "DBSIZE", "DEL", "ECHO", "EXISTS", "GET", "HELLO", "INCR", "INFO", "PING", "SET"];

pub(super) fn recognise(client: &[u8], server: &[u8], join: Join) -> Verdict {
    match judge_array(client) {
        Verdict::Yes => Verdict::Yes,
        Verdict::Maybe => match judge_server(server) {
            // The middle of an answer: the client's next command will tell.
            Verdict::No if join == Join::Late && client.is_empty() && server.len() <= PATIENCE_BYTES => Verdict::Maybe,
            Verdict::No => Verdict::No,
            _ => Verdict::Maybe,
        },
        Verdict::No => match judge_inline(client) {
            Verdict::Yes => judge_server(server),
            verdict => verdict,
        },
    }
}

/// The client begins with a command: `*3`, `$3`, its name.
fn judge_array(client: &[u8]) -> Verdict {
    let mut rest = client;
    for (kind, most) in [(b'*', 1 << 24), (b'$', 64)] {
        let Some((&first, after)) = rest.split_first() else { return Verdict::Maybe };
        if first != kind {
            return Verdict::No;
        }
        let Some(end) = memchr::memchr(b'\n', after) else {
            let digits = after.strip_suffix(b"\r").unwrap_or(after);
            let open = digits.len() <= 8 && digits.iter().all(u8::is_ascii_digit);
            return if open { Verdict::Maybe } else { Verdict::No };
        };
        let (line, next) = after.split_at_checked(end).unwrap_or((after, &[]));
        let count = line.strip_suffix(b"\r").and_then(number);
        if !count.is_some_and(|count| (1..=most).contains(&count)) {
            return Verdict::No;
        }
        rest = next.get(1..).unwrap_or_default();
    }
    match memchr::memchr(b'\r', rest) {
        Some(end) if command_name(rest.get(..end).unwrap_or_default()).is_some() => Verdict::Yes,
        Some(_) => Verdict::No,
        None if rest.is_empty() || command_name(rest).is_some() => Verdict::Maybe,
        None => Verdict::No,
    }
}

/// The bytes begin with a command as programs send them.
pub(super) fn begins_command(bytes: &[u8]) -> bool {
    judge_array(bytes) != Verdict::No
}

/// The client begins with a line: certain with the answer to it.
fn judge_inline(client: &[u8]) -> Verdict {
    let end = memchr::memchr(b'\n', client);
    let line = client.get(..end.unwrap_or(client.len())).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let printable = line.iter().all(|byte| (b' '..=b'~').contains(byte)) && line.len() <= INLINE_BYTES;
    let whole = end.is_some() || word.len() < line.len();
    let known = INLINE.iter().any(|name| match whole {
        true => name.as_bytes().eq_ignore_ascii_case(word),
        false => name.as_bytes().get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word)),
    });
    match printable && known {
        false => Verdict::No,
        true if end.is_some() => Verdict::Yes,
        true => Verdict::Maybe,
    }
}

/// The server begins with a value.
fn judge_server(server: &[u8]) -> Verdict {
    if server.is_empty() {
        return Verdict::Maybe;
    }
    match reply::Reader::default().step(&mut { server }, Stamp::default()) {
        reply::Step::Value(_) => Verdict::Yes,
        reply::Step::More if b"+-:$*_#,(!=%~>|".contains(server.first().unwrap_or(&0)) => Verdict::Maybe,
        _ => Verdict::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges() {
        let get = &b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"[..];
        for (client, server, join, expected) in [
            (get, &b""[..], Join::Start, Verdict::Yes),
            (get, b"amid a value", Join::Late, Verdict::Yes),
            (b"*1\r\n$4\r\nPI", b"", Join::Start, Verdict::Maybe),
            (b"*", b"", Join::Late, Verdict::Maybe),
            (b"", b"", Join::Start, Verdict::Maybe),
            (b"", b"amid a value", Join::Late, Verdict::Maybe),
            (b"", b"*3\r\n$7\r\nmessage\r\n", Join::Late, Verdict::Maybe),
            (b"*1\r\n$4\r\n\x00\x01\x02\x03\r\n", b"", Join::Start, Verdict::No),
            (b"*1\r\n:4\r\n", b"", Join::Start, Verdict::No),
            (b"*999999999\r\n", b"", Join::Start, Verdict::No),
            (b"PING\r\n", b"", Join::Start, Verdict::Maybe),
            (b"PING\r\n", b"+PONG\r\n", Join::Start, Verdict::Yes),
            (b"ping\n", b"-NOAUTH Authentication required.\r\n", Join::Start, Verdict::Yes),
            (b"get key\r\n", b"END\r\n", Join::Start, Verdict::No),
            (b"QUIT\r\n", b"+OK bye\r\n", Join::Start, Verdict::No),
            (b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", Join::Start, Verdict::No),
            (b"\x16\x03\x01\x02", b"", Join::Start, Verdict::No),
            (b"", b"220 mail.example\r\n", Join::Start, Verdict::No),
        ] {
            assert_eq!(recognise(client, server, join), expected, "{client:?} {server:?} {join:?}");
        }
    }
}
