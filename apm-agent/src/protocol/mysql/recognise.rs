//! Tells MySQL from other protocols by its first bytes.

use super::answer::{is_definition, is_error};
use super::command::{is_plausible, read};
use super::greeting::{VERSION, VERSION_BYTES, capability};
use super::packet::{Framer, Packet, read_header};
use super::reply::{LOCAL_INFILE, OK, read_ok};
use crate::exchange::Stamp;
use crate::protocol::{Evidence, Join, Verdict};

/// Bytes of a server after which a late connection whose client is silent is given up.
const PATIENCE_BYTES: usize = 4096;
/// Most packets looked at.
const PACKETS: usize = 64;
/// Longest greeting and longest answer to it that are believed.
const GREETING_BYTES: u32 = 1024;
const RESPONSE_BYTES: u32 = 0x1_0000;
/// Zeros in that answer; MariaDB has capabilities of its own behind them.
const RESERVE: std::ops::Range<usize> = 9..28;

/// What statements begin with.
const VERBS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "CHECK",
    "COMMIT",
    "CREATE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DO",
    "DROP",
    "EXECUTE",
    "EXPLAIN",
    "FLUSH",
    "GRANT",
    "HANDLER",
    "INSERT",
    "KILL",
    "LOAD",
    "LOCK",
    "OPTIMIZE",
    "PREPARE",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UNLOCK",
    "UPDATE",
    "USE",
    "VALUES",
    "WITH",
    "XA",
];

pub(super) fn recognise(client: &[u8], server: &[u8], join: Join) -> Verdict {
    match join {
        Join::Start => judge_start(client, server),
        Join::Late => judge_late(client, server),
    }
}

fn judge_start(client: &[u8], server: &[u8]) -> Verdict {
    match judge_sealed(client) {
        Verdict::No => {}
        verdict if server.is_empty() => return verdict,
        _ => {}
    }
    match judge_greeting(server) {
        Verdict::Yes | Verdict::Maybe if !is_response(client) => Verdict::No,
        verdict => verdict,
    }
}

/// Protocol, version, thread, scramble, and a NUL.
fn judge_greeting(server: &[u8]) -> Verdict {
    if server.is_empty() {
        return Verdict::Maybe;
    }
    let length = server.iter().take(3).rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    let header_known = server.len() >= 3;
    let fits = length < GREETING_BYTES && (!header_known || length >= 40);
    if !fits || server.get(3).is_some_and(|sequence| *sequence != 0) {
        return Verdict::No;
    }
    let Some((version, rest)) = server.get(4..).and_then(<[u8]>::split_first) else { return Verdict::Maybe };
    let end = memchr::memchr(0, rest);
    let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let printable = text.iter().all(|byte| (b' '..=b'~').contains(byte)) && text.len() <= VERSION_BYTES;
    let numbered = text.first().is_none_or(u8::is_ascii_digit) && end != Some(0);
    if *version != VERSION || !printable || !numbered {
        return Verdict::No;
    }
    match end.map(|end| rest.get(end + 1 + 4 + 8)) {
        Some(Some(0)) => Verdict::Yes,
        Some(Some(_)) => Verdict::No,
        Some(None) | None => Verdict::Maybe,
    }
}

/// The beginning of an answer to a greeting that came before all was said over TLS: the client asked for that in its first
/// packet.
pub(super) fn judge_sealed(client: &[u8]) -> Verdict {
    let Some((length, sequence)) = read_header(client) else { return Verdict::No };
    if sequence != 2 || !(33..RESPONSE_BYTES).contains(&length) {
        return Verdict::No;
    }
    let Some(body) = client.get(4..4 + RESERVE.end) else { return Verdict::Maybe };
    let asks = |capability: u64| {
        body.first_chunk().is_some_and(|word| u64::from(u32::from_le_bytes(*word)) & capability == capability)
    };
    let is_filled = body.get(RESERVE).is_none_or(|reserve| reserve.iter().any(|byte| *byte != 0));
    if asks(capability::PROTOCOL_41 | capability::SSL) && !is_filled { Verdict::Yes } else { Verdict::No }
}

/// The beginning of an answer to a greeting.
fn is_response(client: &[u8]) -> bool {
    let header =
        read_header(client).is_none_or(|(length, sequence)| (32..RESPONSE_BYTES).contains(&length) && sequence == 1);
    header && client.get(5).is_none_or(|byte| u64::from(*byte) << 8 & capability::PROTOCOL_41 != 0)
}

fn judge_late(client: &[u8], server: &[u8]) -> Verdict {
    match (weigh_client(client), weigh_server(server)) {
        (Evidence::Strong, _) | (_, Evidence::Strong) => Verdict::Yes,
        // The middle of an answer: the client's next command will tell.
        (Evidence::Weak, Evidence::Against) if client.is_empty() && server.len() <= PATIENCE_BYTES => Verdict::Maybe,
        (Evidence::Weak, Evidence::Weak) => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// Packets from a boundary on. Strong: a statement in SQL.
pub(super) fn weigh_client(bytes: &[u8]) -> Evidence {
    let Some((length, sequence)) = read_header(bytes) else { return Evidence::Weak };
    if sequence != 0 || length == 0 {
        return Evidence::Against;
    }
    let Some(code) = bytes.get(4) else { return Evidence::Weak };
    let body = bytes.get(4..).unwrap_or_default();
    let whole = body.get(..length as usize);
    let packet =
        Packet { sequence, next: 1, body: whole.unwrap_or(body), length: length.into(), began: Stamp::default() };
    if !is_plausible(*code, &packet) {
        return Evidence::Against;
    }
    if matches!(code, 0x03 | 0x16) {
        return weigh_text(packet.body.get(1..).unwrap_or_default());
    }
    let Some(rest) = whole.and_then(|whole| body.get(whole.len()..)).filter(|rest| !rest.is_empty()) else {
        return Evidence::Weak;
    };
    // What a driver sends ahead of a command: the closing of statements, data for one.
    if read(&packet, None).is_none() { Evidence::Against } else { weigh_client(rest) }
}

/// A text, perhaps with the rest still to come, perhaps with attributes in front.
fn weigh_text(text: &[u8]) -> Evidence {
    let text = text.strip_prefix(b"\0\x01").unwrap_or(text);
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    if !text.iter().all(|byte| *byte >= b' ' || matches!(byte, b'\t'..=b'\r')) {
        return Evidence::Against;
    }
    let text = text.trim_ascii_start();
    let comment = text.starts_with(b"/*") || text.starts_with(b"-- ") || text.starts_with(b"(SELECT");
    let word = text.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    let verb = VERBS.iter().any(|verb| verb.as_bytes().eq_ignore_ascii_case(word));
    if verb || comment { Evidence::Strong } else { Evidence::Weak }
}

/// Packets from a boundary on. Strong: an error with its state, an OK that is all there is, or definitions of columns.
fn weigh_server(bytes: &[u8]) -> Evidence {
    let mut framer = Framer::default();
    let mut input = bytes;
    let mut evidence = Evidence::Weak;
    if read_header(bytes).is_some_and(|(length, sequence)| sequence == 0 || length == 0) {
        return Evidence::Against;
    }
    let mut expected = None;
    for _ in 0..PACKETS {
        let Some(packet) = framer.step(&mut input, Stamp::default()) else { break };
        let follows = expected.is_none_or(|expected| expected == packet.sequence || packet.sequence == 1);
        let first = expected.is_none();
        let plausible = match packet.kind() {
            _ if !first => true,
            Some(OK) => read_ok(&packet).is_some_and(|ok| ok.is_plausible()) || packet.length == 12,
            Some(0x01..LOCAL_INFILE) => packet.length <= 10,
            Some(_) => is_error(&packet) || packet.length > 1,
            None => false,
        };
        if !follows || !plausible {
            return Evidence::Against;
        }
        let single = first && packet.sequence == 1;
        let strong = match packet.kind() {
            Some(OK) => single && packet.length == 7 && input.is_empty() && read_ok(&packet).is_some(),
            _ => single && is_error(&packet) || expected == Some(2) && is_definition(&packet),
        };
        if strong {
            evidence = Evidence::Strong;
        }
        expected = Some(packet.next);
    }
    evidence
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &[u8] =
        b"\x2c\0\0\0\x0a8.0.35\0\x01\0\0\0abcdefgh\0\xff\xff\x21\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const RESPONSE: &[u8] = b"\x25\0\0\x01\x85\xa6\xff\x01\0\0\0\x01\x21";
    const SEALED: &[u8] =
        b"\x25\0\0\x02\x0f\xaa\x0a\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0ann\0\0";
    const QUERY: &[u8] = b"\x09\0\0\0\x03SELECT 1";
    const PING: &[u8] = b"\x01\0\0\0\x0e";
    const DONE: &[u8] = b"\x07\0\0\x01\0\0\0\x02\0\0\0";

    #[test]
    fn judges_the_start() {
        for (client, server, expected) in [
            (&b""[..], GREETING, Verdict::Yes),
            (RESPONSE, GREETING, Verdict::Yes),
            (RESPONSE, b"", Verdict::Maybe),
            (b"", b"", Verdict::Maybe),
            (SEALED, b"", Verdict::Yes),
            (&SEALED[..20], b"", Verdict::Maybe),
            (b"\x25\0\0\x02GET /", b"", Verdict::Maybe),
            (&[&SEALED[..20], &[1; 20]].concat(), b"", Verdict::No),
            (b"", &GREETING[..20], Verdict::Maybe),
            (b"GET / HTTP/1.1\r\n", b"", Verdict::No),
            (QUERY, GREETING, Verdict::No),
            (b"", b"220 mail.example ESMTP\r\n", Verdict::No),
            (b"", b"SSH-2.0-OpenSSH_9.2\r\n", Verdict::No),
            (b"", b"\x2c\0\0\0\x09old", Verdict::No),
        ] {
            assert_eq!(recognise(client, server, Join::Start), expected, "{client:?} {server:?}");
        }
    }

    #[test]
    fn judges_late_joins() {
        let execute = b"\x0a\0\0\0\x17\x01\0\0\0\0\x01\0\0\0";
        let rows = b"\x01\0\0\x01\x01\x17\0\0\x02\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0";
        let failed = b"\x10\0\0\x01\xff\x7a\x04#42S02no table";
        for (client, server, expected) in [
            (QUERY, &b""[..], Verdict::Yes),
            (QUERY, b"amid rows", Verdict::Yes),
            (&[b"\x05\0\0\0\x19\x01\0\0\0", QUERY].concat(), b"", Verdict::Yes),
            (b"\x0b\0\0\0\x03\0\x01SELECT 1", b"", Verdict::Yes),
            (execute, b"", Verdict::Maybe),
            (execute, rows, Verdict::Yes),
            (execute, DONE, Verdict::Yes),
            (PING, b"", Verdict::Maybe),
            (PING, DONE, Verdict::Yes),
            (b"", rows, Verdict::Yes),
            (b"", failed, Verdict::Yes),
            (b"", b"amid rows", Verdict::Maybe),
            (b"", b"", Verdict::Maybe),
            (b"\x09\0\0\0\x03SELE\x01T 1", b"", Verdict::No),
            (b"GET / HTTP/1.1\r\n", b"", Verdict::No),
            (b"Q\0\0\0\x0dSELECT 1\0", b"", Verdict::No),
            (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n", Verdict::No),
            // MongoDB: a message whose number begins with COM_STMT_EXECUTE.
            (b"\x30\0\0\0\x17\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0", b"", Verdict::No),
        ] {
            assert_eq!(recognise(client, server, Join::Late), expected, "{client:?} {server:?}");
        }
    }
}
