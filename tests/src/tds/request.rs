//! What a client asks: statements, procedures and transactions.

#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)]

use super::packet::{self, Message};

/// How a statement was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A batch of statements as text (2.2.6.7).
    Batch,
    /// `sp_executesql`: a statement with parameters.
    ExecuteSql,
    /// Another procedure; the text is its name.
    Procedure,
    /// Begin, commit or rollback of a transaction by a request of its own (2.2.6.9); the text is that word.
    Transaction,
}

/// A request that is not about the connection itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How it was sent.
    pub kind: Kind,
    /// The statement, the procedure's name, or the word.
    pub text: String,
    /// Last whole number among the parameters, else in the text.
    pub number: Option<i64>,
}

/// Stands for a name where a well-known procedure's number follows (2.2.6.6).
const BY_NUMBER: u16 = 0xffff;
const SP_EXECUTESQL: u16 = 10;

impl Request {
    /// `None`: not a request, or one that is broken.
    pub fn read(message: &Message) -> Option<Self> {
        let mut bytes = Bytes(&message.payload);
        // ALL_HEADERS (2.2.5.3): its length counts itself.
        let headers = usize::try_from(bytes.u32()?).ok()?;
        bytes.take(headers.checked_sub(4)?)?;
        match message.kind {
            packet::BATCH => {
                let text = utf16(bytes.0);
                Some(Self { kind: Kind::Batch, number: last_number(&text), text })
            }
            packet::RPC => read_rpc(&mut bytes),
            packet::TRANSACTION => {
                let word = match bytes.u16()? {
                    5 => "begin",
                    7 => "commit",
                    8 => "rollback",
                    _ => return None,
                };
                Some(Self { kind: Kind::Transaction, text: word.to_owned(), number: None })
            }
            _ => None,
        }
    }
}

fn read_rpc(bytes: &mut Bytes<'_>) -> Option<Request> {
    let name = match bytes.u16()? {
        BY_NUMBER => match bytes.u16()? {
            SP_EXECUTESQL => "sp_executesql".to_owned(),
            other => format!("procedure {other}"),
        },
        length => utf16(bytes.take(usize::from(length) * 2)?),
    };
    let _flags = bytes.u16()?;
    let mut values = Vec::new();
    while let Some(value) = read_parameter(bytes) {
        values.push(value);
    }
    let number = values.iter().rev().find_map(|value| if let Value::Number(n) = value { Some(*n) } else { None });
    if name != "sp_executesql" {
        return Some(Request { kind: Kind::Procedure, text: name, number });
    }
    let Some(Value::Text(text)) = values.into_iter().next() else { return None };
    Some(Request { kind: Kind::ExecuteSql, number: number.or_else(|| last_number(&text)), text })
}

enum Value {
    Number(i64),
    Text(String),
    Null,
}

/// `None`: there are no more, or one of a type that no test uses.
fn read_parameter(bytes: &mut Bytes<'_>) -> Option<Value> {
    const INTN: u8 = 0x26;
    const NVARCHAR: u8 = 0xe7;
    const PARTIALLY_LENGTH_PREFIXED: u16 = 0xffff;
    let name = bytes.u8()?;
    bytes.take(usize::from(name) * 2)?;
    let _status = bytes.u8()?;
    match bytes.u8()? {
        INTN => {
            let _longest = bytes.u8()?;
            let length = bytes.u8()?;
            let value = bytes.take(usize::from(length))?;
            Some(whole_number(value).map_or(Value::Null, Value::Number))
        }
        NVARCHAR => {
            let longest = bytes.u16()?;
            let _collation = bytes.take(5)?;
            if longest == PARTIALLY_LENGTH_PREFIXED { read_parts(bytes) } else { read_text(bytes) }
        }
        _ => None,
    }
}

fn read_text(bytes: &mut Bytes<'_>) -> Option<Value> {
    match bytes.u16()? {
        u16::MAX => Some(Value::Null),
        length => Some(Value::Text(utf16(bytes.take(usize::from(length))?))),
    }
}

/// A long value, in parts up to an empty one (2.2.5.2.3).
fn read_parts(bytes: &mut Bytes<'_>) -> Option<Value> {
    if bytes.u64()? == u64::MAX {
        return Some(Value::Null);
    }
    let mut whole = Vec::new();
    loop {
        match usize::try_from(bytes.u32()?).ok()? {
            0 => return Some(Value::Text(utf16(&whole))),
            length => whole.extend(bytes.take(length)?),
        }
    }
}

fn whole_number(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [a] => Some(i64::from(a)),
        [a, b] => Some(i64::from(i16::from_le_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_le_bytes([a, b, c, d]))),
        _ => bytes.try_into().ok().map(i64::from_le_bytes),
    }
}

fn utf16(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks::<2>();
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

fn last_number(text: &str) -> Option<i64> {
    text.split(|letter: char| !letter.is_ascii_digit()).rev().find_map(|digits| digits.parse().ok())
}

/// Bytes not yet read; numbers are little-endian.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(payload: Vec<u8>) -> Option<Request> {
        Request::read(&Message { kind: packet::RPC, resets: false, payload })
    }

    fn parameter(bytes: &mut Vec<u8>, name: &str, kind: &[u8], value: &[u8]) {
        bytes.push(u8::try_from(name.len()).unwrap_or_default());
        bytes.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        bytes.push(0);
        bytes.extend(kind);
        bytes.extend(value);
    }

    /// `SELECT 1` with a parameter of 42; the declaration of the parameters is as long as a value in parts.
    fn statement() -> Vec<u8> {
        let text: Vec<u8> = "SELECT 1".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut bytes = vec![4, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0];
        parameter(&mut bytes, "", &[0xe7, 0x40, 0x1f, 0, 0, 0, 0, 0, 16, 0], &text);
        let parts = [&[16, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0], text.as_slice(), &[0, 0, 0, 0]].concat();
        parameter(&mut bytes, "", &[0xe7, 0xff, 0xff, 0, 0, 0, 0, 0], &parts);
        parameter(&mut bytes, "@id", &[0x26, 4, 4], &42_i32.to_le_bytes());
        bytes
    }

    #[test]
    fn a_statement_is_read_with_its_parameter() {
        let expected = Request { kind: Kind::ExecuteSql, text: "SELECT 1".to_owned(), number: Some(42) };
        assert_eq!(call(statement()), Some(expected));
    }

    #[test]
    fn what_is_cut_short_or_changed_is_no_harm() {
        let whole = statement();
        for end in 0..whole.len() {
            call(whole.iter().copied().take(end).collect());
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                call(whole.iter().enumerate().map(|(n, &byte)| if n == at { value } else { byte }).collect());
            }
        }
        assert_eq!(call(whole.into_iter().take(9).collect()), None);
    }
}
