//! Packets that end answers: OK, EOF and ERR.
//!
//! Source: MySQL internals manual, "OK_Packet", "EOF_Packet", "ERR_Packet"; MariaDB knowledge base, "ERR_Packet"
//! (progress reports).

use super::packet::Packet;
use super::value::{length, number, take};
use crate::exchange::SqlError;

/// First bytes of packets.
pub(super) const OK: u8 = 0x00;
pub(super) const LOCAL_INFILE: u8 = 0xfb;
pub(super) const END: u8 = 0xfe;
pub(super) const ERROR: u8 = 0xff;

/// A body of this length may be a row that begins with 0xfe.
const ROW_BYTES: u64 = 0x00ff_ffff;
/// Error number of a progress report, which is no error.
const PROGRESS: u64 = 0xffff;

const MORE_RESULTS: u64 = 1 << 3;
const CURSOR_EXISTS: u64 = 1 << 6;
/// Bits no server sets ("SERVER_STATUS_flags_enum").
const NO_STATUS: u64 = 1 << 2;

/// What an OK or EOF packet says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) affected: u64,
    status: u64,
    /// It is the EOF packet of sessions that have not done away with it.
    pub(super) classic: bool,
}

impl Ended {
    /// Another result follows.
    pub(super) fn has_more(self) -> bool {
        self.status & MORE_RESULTS != 0
    }

    /// Rows are to be fetched.
    pub(super) fn opens_cursor(self) -> bool {
        self.status & CURSOR_EXISTS != 0
    }

    /// It could be what it says.
    pub(super) fn is_plausible(self) -> bool {
        self.status & NO_STATUS == 0
    }
}

/// An OK packet.
pub(super) fn read_ok(packet: &Packet<'_>) -> Option<Ended> {
    let (&OK, body) = packet.body.split_first()? else { return None };
    read_ended(body)
}

/// What ends rows: EOF, or OK with another first byte.
pub(super) fn read_end(packet: &Packet<'_>) -> Option<Ended> {
    let (&END, mut body) = packet.body.split_first()? else { return None };
    if packet.length == 5 {
        take(&mut body, 2)?;
        return Some(Ended { affected: 0, status: number::<2>(&mut body)?, classic: true });
    }
    (packet.length < ROW_BYTES).then(|| read_ended(body)).flatten()
}

fn read_ended(body: &[u8]) -> Option<Ended> {
    let mut input = body;
    let affected = length(&mut input)?;
    length(&mut input)?;
    let status = number::<2>(&mut input)?;
    // Warnings.
    number::<2>(&mut input)?;
    Some(Ended { affected, status, classic: false })
}

/// An ERR packet; `Some(None)`: it reports progress.
pub(super) fn read_error(packet: &Packet<'_>) -> Option<Option<SqlError>> {
    let (&ERROR, body) = packet.body.split_first()? else { return None };
    let mut input = body;
    let number = number::<2>(&mut input)?;
    if number == PROGRESS {
        return Some(None);
    }
    let state = match input.split_first() {
        Some((b'#', rest)) => {
            input = rest;
            take(&mut input, 5)?
        }
        // Before the capabilities are known (too many connections).
        _ => b"",
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Some(SqlError { code: text(state), message: text(input), severity: number.to_string() }))
}

/// The end of rows stands at the end of these bytes, whose beginning is not known: an EOF packet, or one of those
/// that came after it with nothing but status and warnings.
pub(super) fn end_at(bytes: &[u8]) -> Option<Ended> {
    let whole = |size: usize| {
        let packet = bytes.get(bytes.len().checked_sub(size)?..)?;
        let (length, sequence) = super::packet::read_header(packet)?;
        let body = packet.get(4..)?;
        let exact = length as usize == body.len() && sequence > 0;
        let packet =
            Packet { sequence, next: sequence.wrapping_add(1), body, length: length.into(), began: Default::default() };
        exact.then(|| read_end(&packet)).flatten()
    };
    let plain = |ended: Ended| ended.is_plausible().then_some(ended);
    whole(9).and_then(plain).or_else(|| whole(11).filter(|ended| !ended.classic).and_then(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Packet<'_> {
        Packet { sequence: 1, next: 2, body, length: body.len() as u64, began: Default::default() }
    }

    #[test]
    fn reads_ends() {
        let ok = read_ok(&packet(b"\0\x03\0\x02\0\0\0")).expect("OK");
        assert_eq!((ok.affected, ok.has_more(), ok.classic), (3, false, false));
        let end = read_end(&packet(b"\xfe\0\0\x0a\0")).expect("EOF");
        assert!(end.classic && end.has_more() && !end.opens_cursor());
        let end = read_end(&packet(b"\xfe\0\0\x42\0\0\0")).expect("an OK that ends rows");
        assert!(!end.classic && end.opens_cursor());
        let row = Packet { length: ROW_BYTES, ..packet(b"\xfe\0\0\x42\0\0\0") };
        assert_eq!((read_end(&row), read_ok(&packet(b"\0\x03")), read_end(&packet(b"\xfe"))), (None, None, None));
    }

    #[test]
    fn reads_errors() {
        let error = read_error(&packet(b"\xff\x7a\x04#42S02Table 'shop.x' doesn't exist")).flatten().expect("an error");
        assert_eq!((error.code.as_str(), error.severity.as_str()), ("42S02", "1146"));
        assert_eq!(error.message, "Table 'shop.x' doesn't exist");
        let early = read_error(&packet(b"\xff\x10\x04Too many connections")).flatten().expect("an error");
        assert_eq!((early.code.as_str(), early.message.as_str()), ("", "Too many connections"));
        assert_eq!(read_error(&packet(b"\xff\xff\xff\x01\x01\x01")), Some(None), "progress");
        assert_eq!((read_error(&packet(b"\0")), read_error(&packet(b"\xff\x01"))), (None, None));
    }

    #[test]
    fn finds_ends_behind_what_is_not_known() {
        assert!(end_at(b"row data\x05\0\0\x07\xfe\0\0\x22\0").is_some_and(|end| end.classic));
        assert!(end_at(b"row data\x07\0\0\x07\xfe\0\0\x22\0\0\0").is_some_and(|end| !end.classic));
        for bytes in [&b"\x05\0\0\x07\xfe\0\0\x24\0"[..], b"\x06\0\0\x07\xfe\0\0\x22\0", b"\x05\0\0\x07\xfe\0\0", b""] {
            assert_eq!(end_at(bytes), None, "{bytes:?}");
        }
    }
}
