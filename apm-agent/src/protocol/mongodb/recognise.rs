//! Tells MongoDB from other protocols by its first bytes.

use super::command::{is_plausible, read_request};
use super::message::{HEADER_BYTES, Header, Message, operation};
use crate::exchange::{Side, Stamp};
use crate::protocol::{Join, Verdict};

/// Bytes of a server after which a late connection whose client is silent is given up.
const PATIENCE_BYTES: usize = 4096;

pub(super) fn recognise(client: &[u8], server: &[u8], join: Join) -> Verdict {
    match (judge(client, Side::Client), judge(server, Side::Server)) {
        (Verdict::Yes, Verdict::No) if join == Join::Start => Verdict::No,
        (Verdict::Yes, _) => Verdict::Yes,
        // The middle of an answer: the client's next message will tell.
        (_, Verdict::No) if join == Join::Late && client.is_empty() && server.len() <= PATIENCE_BYTES => Verdict::Maybe,
        (Verdict::Maybe, Verdict::Maybe | Verdict::Yes) => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// The bytes begin with a message of this side.
pub(super) fn begins_message(bytes: &[u8], side: Side) -> bool {
    judge(bytes, side) != Verdict::No
}

/// A header with an operation of this side, and a body that fits. A request answers nothing, an answer something.
fn judge(bytes: &[u8], side: Side) -> Verdict {
    let Some(header) = Header::read(bytes) else {
        // Of a length the last byte is small; of an operation the last two are 0.
        let small = bytes.get(3).is_none_or(|byte| *byte <= 4);
        let zero = [14, 15].iter().all(|place| bytes.get(*place).is_none_or(|byte| *byte == 0));
        return if bytes.len() < HEADER_BYTES && small && zero { Verdict::Maybe } else { Verdict::No };
    };
    let answer = side == Side::Server;
    let own = match header.operation {
        operation::MSG | operation::COMPRESSED => true,
        operation::REPLY => answer,
        _ => !answer,
    };
    if !own || answer == (header.answers == 0) {
        return Verdict::No;
    }
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let length = header.length as usize - HEADER_BYTES;
    let whole = body.len() >= length;
    let message = Message { header, body: body.get(..length).unwrap_or(body), cut: !whole, began: Stamp::default() };
    // What is compressed has an operation within, and the name of a method.
    let compressed = header.operation == operation::COMPRESSED
        && body.get(..4).is_some_and(|inner| inner == operation::MSG.to_le_bytes())
        && body.get(8).is_some_and(|method| *method <= 3);
    let readable = match (header.operation, side) {
        (operation::COMPRESSED, _) => compressed,
        (_, Side::Client) => is_plausible(&message) && read_request(&message).is_some(),
        (_, Side::Server) => is_plausible(&message),
    };
    match (readable, body.len() < length.min(64)) {
        (true, _) => Verdict::Yes,
        (false, true) => Verdict::Maybe,
        (false, false) => Verdict::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"ping": 1, "$db": "a"}`
    const PING: &[u8] =
        b"\x33\0\0\0\x07\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x1e\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x02\0\0\0a\0\0";
    /// `{"ok": 1.0}`
    const DONE: &[u8] = b"\x26\0\0\0\x01\0\0\0\x07\0\0\0\xdd\x07\0\0\0\0\0\0\0\x11\0\0\0\x01ok\0\0\0\0\0\0\0\xf0\x3f\0";

    #[test]
    fn judges() {
        for (client, server, join, expected) in [
            (PING, &b""[..], Join::Start, Verdict::Yes),
            (PING, DONE, Join::Late, Verdict::Yes),
            (PING, b"amid an answer", Join::Late, Verdict::Yes),
            (PING, b"amid an answer", Join::Start, Verdict::No),
            (&PING[..20], b"", Join::Start, Verdict::Maybe),
            (b"", DONE, Join::Late, Verdict::Maybe),
            (b"", b"amid an answer", Join::Late, Verdict::Maybe),
            (b"", b"", Join::Start, Verdict::Maybe),
            (DONE, b"", Join::Late, Verdict::No),
            (b"GET / HTTP/1.1\r\n", b"", Join::Start, Verdict::No),
            (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"", Join::Start, Verdict::Maybe),
            (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\0\0\0\0\0", b"", Join::Start, Verdict::No),
            (b"*1\r\n$4\r\nPING\r\n", b"", Join::Start, Verdict::No),
            // MySQL: a query.
            (b"\x09\0\0\0\x03SELECT 1", b"", Join::Late, Verdict::Maybe),
            (b"\x19\0\0\0\x03SELECT 1 FROM dual", b"", Join::Late, Verdict::No),
        ] {
            assert_eq!(recognise(client, server, join), expected, "{client:?} {server:?} {join:?}");
        }
    }
}
