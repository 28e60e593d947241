//! What messages hold: names, texts, error fields, command tags, start-up parameters.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol", sections "Message Formats" and "Error and
//! Notice Message Fields".

use crate::exchange::{Side, SqlError};
use crate::protocol::statement::{STATEMENT_BYTES, Statement};

/// Most bytes kept of a message that begins with names. Names in PostgreSQL have 63 bytes; drivers' are shorter.
const NAME_BYTES: usize = 1024;
/// Most bytes kept of an error: its code and primary message come first.
const ERROR_BYTES: usize = 4096;
/// Most bytes of a command tag with its end (`COMPLETION_TAG_BUFSIZE` of the server).
pub(super) const TAG_BYTES: usize = 64;
/// Longest start-up packet a server takes (`MAX_STARTUP_PACKET_LENGTH`).
pub(super) const STARTUP_BYTES: usize = 10_000;
/// Longest message a server takes or sends (`PQ_LARGE_MESSAGE_LIMIT`, just under 1 GiB).
const MESSAGE_BYTES: u32 = 0x4000_0000;

/// Request codes in the place of a protocol version, and the version this parser knows.
pub(super) const CANCEL_REQUEST: u32 = 80_877_102;
pub(super) const SSL_REQUEST: u32 = 80_877_103;
pub(super) const GSS_REQUEST: u32 = 80_877_104;
pub(super) const VERSION_MAJOR: u32 = 3;

/// How many bytes of a message's body to keep, or `None`: no such message, or not of that length.
///
/// `length` is the length field: body and itself. Row and copy data are counted down, never kept; passwords neither.
pub(super) fn kept_bytes(from: Side, kind: u8, length: u32) -> Option<usize> {
    if !(4..=MESSAGE_BYTES).contains(&length) {
        return None;
    }
    let body = length - 4;
    match from {
        Side::Client => kept_of_client(kind, body),
        Side::Server => kept_of_server(kind, body),
    }
}

fn kept_of_client(kind: u8, body: u32) -> Option<usize> {
    match (kind, body) {
        (b'Q', 1..) => Some(STATEMENT_BYTES + 1),
        (b'P', 4..) => Some(NAME_BYTES + STATEMENT_BYTES + 1),
        (b'B', 8..) | (b'D' | b'C', 2..) | (b'E', 5..) => Some(NAME_BYTES),
        (b'S' | b'H' | b'X' | b'c', 0) | (b'f', 1..) | (b'F', 10..) | (b'd' | b'p', _) => Some(0),
        _ => None,
    }
}

fn kept_of_server(kind: u8, body: u32) -> Option<usize> {
    match (kind, body) {
        (b'C', 1..) => Some(TAG_BYTES),
        (b'E', 1..) => Some(ERROR_BYTES),
        (b'Z', 1) => Some(1),
        (b'1' | b'2' | b'3' | b'n' | b's' | b'I' | b'c', 0) => Some(0),
        (b'N' | b'd', _) | (b'S' | b'D' | b'T' | b't', 2..) | (b'A', 6..) => Some(0),
        (b'R' | b'V', 4..) | (b'K' | b'v', 8..) | (b'G' | b'H' | b'W', 3..) => Some(0),
        _ => None,
    }
}

/// Reads a text that ends with NUL and moves past it; `None`: it has no end here.
pub(super) fn read_text<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(0, body)?;
    let (text, rest) = body.split_at_checked(end)?;
    *body = rest.get(1..)?;
    Some(text)
}

/// A statement. `body` begins with its text; `cut`: the message's end was not kept.
pub(super) fn read_statement(body: &[u8], cut: bool) -> Statement {
    let mut rest = body;
    match read_text(&mut rest) {
        Some(text) => Statement::of(text, false),
        None => Statement::of(body, cut),
    }
}

/// Reads an ErrorResponse. Severity is the untranslated one (`V`, 9.6 and later) if it is there.
pub(super) fn read_error(body: &[u8]) -> SqlError {
    let mut error = SqlError { code: String::new(), message: String::new(), severity: String::new() };
    let mut rest = body;
    while let Some((&field, after)) = rest.split_first() {
        rest = after;
        if field == 0 {
            break;
        }
        // The last field kept of a very long error may have no end.
        let text = read_text(&mut rest).unwrap_or_else(|| std::mem::take(&mut rest));
        let text = String::from_utf8_lossy(text);
        match field {
            b'S' if error.severity.is_empty() => error.severity = text.into_owned(),
            b'V' => error.severity = text.into_owned(),
            b'C' => error.code = text.into_owned(),
            b'M' => error.message = text.into_owned(),
            _ => {}
        }
    }
    error
}

/// The session is over after this error.
pub(super) fn ends_session(error: &SqlError) -> bool {
    matches!(error.severity.as_str(), "FATAL" | "PANIC")
}

/// Rows of a command tag: its last word, if it is a number (`INSERT 0 5`, `SELECT 3`, `COPY 7`).
pub(super) fn rows_of_tag(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?.trim_end_matches('\0');
    let (_, last) = text.rsplit_once(' ')?;
    last.parse().ok()
}

/// The tag certainly does not answer the statement: both begin with a data verb, and the verbs differ.
pub(super) fn contradicts(statement: &str, tag: &[u8]) -> bool {
    let verb = |text: &[u8]| {
        let word = text.split(|byte| !byte.is_ascii_alphabetic()).next()?;
        ["SELECT", "INSERT", "UPDATE", "DELETE"].into_iter().find(|verb| verb.as_bytes().eq_ignore_ascii_case(word))
    };
    match (verb(statement.trim_start().as_bytes()), verb(tag)) {
        (Some(asked), Some(answered)) => asked != answered,
        _ => false,
    }
}

/// `user` and `database` of a start-up packet's parameters; the database is the user's name if none is given.
pub(super) fn read_parameters(body: &[u8]) -> (Option<String>, Option<String>) {
    let mut rest = body;
    let (mut user, mut database) = (None, None);
    while let Some(name) = read_text(&mut rest).filter(|name| !name.is_empty()) {
        let Some(value) = read_text(&mut rest) else { break };
        let value = || Some(String::from_utf8_lossy(value).into_owned()).filter(|value| !value.is_empty());
        match name {
            b"user" => user = value(),
            b"database" => database = value(),
            _ => {}
        }
    }
    let database = database.or_else(|| user.clone());
    (user, database)
}

/// Big-endian number at `offset`.
pub(super) fn number_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rows_of_tags() {
        for (tag, rows) in [
            ("SELECT 3\0", Some(3)),
            ("INSERT 0 5\0", Some(5)),
            ("COPY 7\0", Some(7)),
            ("CREATE TABLE\0", None),
            ("BEGIN\0", None),
            ("\0", None),
            ("UPDATE 99999999999999999999999\0", None),
        ] {
            assert_eq!(rows_of_tag(tag.as_bytes()), rows, "{tag:?}");
        }
        assert_eq!(rows_of_tag(&[0xff, b' ', b'1']), None);
    }

    #[test]
    fn reads_errors_whole_and_cut() {
        let body = b"SFEHLER\0VERROR\0C42P01\0Mno such table\0P15\0\0";
        let error = read_error(body);
        assert_eq!((error.code.as_str(), error.message.as_str()), ("42P01", "no such table"));
        assert_eq!(error.severity, "ERROR");
        let cut = read_error(b"SFATAL\0C57P01\0Mterminat");
        assert_eq!(cut.message, "terminat");
        assert!(ends_session(&cut));
        assert_eq!(read_error(b"").code, "");
    }

    #[test]
    fn takes_the_user_for_the_database() {
        let (user, database) = read_parameters(b"user\0ann\0application_name\0x\0\0");
        assert_eq!((user.as_deref(), database.as_deref()), (Some("ann"), Some("ann")));
        let (user, database) = read_parameters(b"user\0ann\0database\0shop\0\0");
        assert_eq!((user.as_deref(), database.as_deref()), (Some("ann"), Some("shop")));
        assert_eq!(read_parameters(b"user"), (None, None));
    }

    #[test]
    fn knows_a_contradicting_tag() {
        assert!(contradicts("select 1", b"UPDATE 3\0"));
        assert!(!contradicts(" Insert into t", b"INSERT 0 1\0"));
        assert!(!contradicts("WITH x AS (SELECT 1) INSERT", b"INSERT 0 1\0"));
        assert!(!contradicts("COMMIT", b"ROLLBACK\0"));
    }

    #[test]
    fn refuses_messages_that_do_not_exist() {
        assert_eq!(kept_bytes(Side::Server, b'Z', 5), Some(1));
        assert_eq!(kept_bytes(Side::Server, b'Z', 6), None);
        assert_eq!(kept_bytes(Side::Client, b'S', 5), None);
        assert_eq!(kept_bytes(Side::Client, b'p', 40), Some(0));
        assert_eq!(kept_bytes(Side::Client, b'Q', u32::MAX), None);
        assert_eq!(kept_bytes(Side::Client, b'Q', 3), None);
        assert_eq!(kept_bytes(Side::Client, b'G', 8), None);
    }
}
