//! Documents: top-level fields of one, and its text as MongoDB Extended JSON.
//!
//! Source: the BSON specification 1.1; MongoDB Extended JSON v2, relaxed.

use std::fmt::Write as _;

/// Deepest nesting that is written.
const DEPTH: u32 = 32;
/// Most bytes of text that are written of a document.
const TEXT_BYTES: usize = 40_000;

/// Takes `count` bytes off.
fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(bytes)
}

fn number<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    take(input, N)?.first_chunk().copied()
}

/// A length or another number of four bytes.
pub(super) fn int(input: &mut &[u8]) -> Option<i32> {
    number(input).map(i32::from_le_bytes)
}

/// Text up to a NUL; moves past that.
pub(super) fn text<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(0, input)?;
    let text = take(input, end)?;
    take(input, 1)?;
    Some(text)
}

/// Text with its length, that of its NUL included, in front.
fn string(value: &[u8]) -> Option<&[u8]> {
    let mut input = value;
    let length = usize::try_from(int(&mut input)?).ok()?;
    input.get(..length.checked_sub(1)?)
}

/// A field of a document: its name, type, and value's bytes, as far as they are there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    kind: u8,
    value: &'a [u8],
}

impl<'a> Field<'a> {
    /// The value, if it is a text.
    pub(super) fn string(&self) -> Option<&'a [u8]> {
        string(self.value).filter(|_| self.kind == 0x02)
    }

    /// The value, if it is a number.
    pub(super) fn number(&self) -> Option<f64> {
        let mut input = self.value;
        match self.kind {
            0x01 => number(&mut input).map(f64::from_le_bytes),
            0x08 => number::<1>(&mut input).map(|[byte]| f64::from(byte)),
            0x10 => int(&mut input).map(f64::from),
            0x12 => number(&mut input).map(|bytes| i64::from_le_bytes(bytes) as f64),
            _ => None,
        }
    }
}

/// The fields of a document, from its length on. Ends where they make no sense, or were not kept.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(document: &'a [u8]) -> Self {
        Fields { rest: document.get(4..).unwrap_or_default() }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let mut input = self.rest;
        self.rest = &[];
        let [kind] = number(&mut input)?;
        if kind == 0 {
            return None;
        }
        let name = text(&mut input)?;
        let length = value_bytes(kind, input)?;
        let value = take(&mut input, length)?;
        self.rest = input;
        Some(Field { name, kind, value })
    }
}

/// Bytes of a value; `None`: there is no such type, or its length is not there.
fn value_bytes(kind: u8, value: &[u8]) -> Option<usize> {
    let counted = |more: usize| usize::try_from(int(&mut { value })?).ok()?.checked_add(more);
    match kind {
        0x06 | 0x0a | 0x7f | 0xff => Some(0),
        0x08 => Some(1),
        0x10 => Some(4),
        0x01 | 0x09 | 0x11 | 0x12 => Some(8),
        0x07 => Some(12),
        0x13 => Some(16),
        0x02 | 0x0d | 0x0e => counted(4),
        0x03 | 0x04 | 0x0f => counted(0).filter(|length| *length >= 5),
        0x05 => counted(5),
        0x0c => counted(4 + 12),
        0x0b => {
            let mut input = value;
            text(&mut input)?;
            text(&mut input)?;
            value.len().checked_sub(input.len())
        }
        _ => None,
    }
}

/// The document as text, and whether it is all of it. `document` may lack its end.
pub(super) fn extended_json(document: &[u8]) -> (String, bool) {
    let mut out = String::new();
    let whole = write_document(document, b'{', DEPTH, &mut out).is_some();
    (out, whole)
}

/// `None`: the text ends here, for the document does or is too long.
fn write_document(document: &[u8], open: u8, depth: u32, out: &mut String) -> Option<()> {
    let length = usize::try_from(int(&mut { document })?).ok()?;
    out.push(open.into());
    let body = document.get(..length).unwrap_or(document);
    let mut fields = Fields::of(body);
    let mut first = true;
    for field in fields.by_ref() {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        if open == b'{' {
            write_text(field.name, out);
            out.push(':');
        }
        write_value(&field, depth.checked_sub(1)?, out)?;
        if out.len() > TEXT_BYTES {
            return None;
        }
    }
    out.push(if open == b'{' { '}' } else { ']' });
    (document.len() >= length && body.last() == Some(&0)).then_some(())
}

fn write_value(field: &Field<'_>, depth: u32, out: &mut String) -> Option<()> {
    let mut input = field.value;
    match field.kind {
        0x01 | 0x10 | 0x12 => write_number(field, out)?,
        0x02 => write_text(field.string()?, out),
        0x03 => write_document(input, b'{', depth, out)?,
        0x04 => write_document(input, b'[', depth, out)?,
        0x05 => write_binary(&mut input, out)?,
        0x06 => out.push_str(r#"{"$undefined":true}"#),
        0x07 => {
            out.push_str(r#"{"$oid":""#);
            input.iter().try_for_each(|byte| write!(out, "{byte:02x}")).ok()?;
            out.push_str(r#""}"#);
        }
        0x08 => out.push_str(if input == [0] { "false" } else { "true" }),
        0x09 => write!(out, r#"{{"$date":{{"$numberLong":"{}"}}}}"#, i64::from_le_bytes(number(&mut input)?)).ok()?,
        0x0a => out.push_str("null"),
        0x0b => {
            out.push_str(r#"{"$regularExpression":{"pattern":"#);
            write_text(text(&mut input)?, out);
            out.push_str(r#","options":"#);
            write_text(text(&mut input)?, out);
            out.push_str("}}");
        }
        0x11 => {
            let (increment, time) = (int(&mut input)?.cast_unsigned(), int(&mut input)?.cast_unsigned());
            write!(out, r#"{{"$timestamp":{{"t":{time},"i":{increment}}}}}"#).ok()?;
        }
        0x7f => out.push_str(r#"{"$maxKey":1}"#),
        0xff => out.push_str(r#"{"$minKey":1}"#),
        0x0d | 0x0e => {
            out.push_str(if field.kind == 0x0d { r#"{"$code":"# } else { r#"{"$symbol":"# });
            write_text(string(input)?, out);
            out.push('}');
        }
        // Decimals and what is no longer used: that something is there is said, not what.
        _ => out.push_str("\"…\""),
    }
    Some(())
}

fn write_number(field: &Field<'_>, out: &mut String) -> Option<()> {
    let mut input = field.value;
    match field.kind {
        0x01 => {
            let value = f64::from_le_bytes(number(&mut input)?);
            match value.is_finite() {
                true => write!(out, "{value:?}").ok(),
                false => write!(out, r#"{{"$numberDouble":"{value}"}}"#).ok(),
            }
        }
        0x10 => write!(out, "{}", int(&mut input)?).ok(),
        _ => write!(out, "{}", i64::from_le_bytes(number(&mut input)?)).ok(),
    }
}

fn write_binary(input: &mut &[u8], out: &mut String) -> Option<()> {
    let length = usize::try_from(int(input)?).ok()?;
    let [subtype] = number(input)?;
    out.push_str(r#"{"$binary":{"base64":""#);
    write_base64(take(input, length)?, out);
    write!(out, r#"","subType":"{subtype:02x}"}}}}"#).ok()
}

fn write_text(text: &[u8], out: &mut String) {
    let text = String::from_utf8_lossy(text);
    // A string is always written.
    out.push_str(&serde_json::to_string(text.as_ref()).unwrap_or_default());
}

/// RFC 4648, section 4.
fn write_base64(bytes: &[u8], out: &mut String) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * place) & 63) as usize);
            out.push(letter.filter(|_| place <= chunk.len()).map_or('=', |letter| char::from(*letter)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"find": "items", "filter": {"a": [1, null, true]}, "limit": NumberLong(2)}`
    fn find() -> Vec<u8> {
        let array = b"\0\0\0\0\x10\x30\0\x01\0\0\0\x0a\x31\0\x08\x32\0\x01\0".to_vec();
        let array = [&(array.len() as u32).to_le_bytes(), &array[4..]].concat();
        let filter = document(&[b"\x04a\0", &array[..]].concat());
        document(&[b"\x02find\0\x06\0\0\0items\0\x03filter\0", &filter[..], b"\x12limit\0\x02\0\0\0\0\0\0\0"].concat())
    }

    fn document(fields: &[u8]) -> Vec<u8> {
        [&(fields.len() as u32 + 5).to_le_bytes(), fields, b"\0"].concat()
    }

    #[test]
    fn reads_fields() {
        let bytes = find();
        let fields: Vec<Field<'_>> = Fields::of(&bytes).collect();
        let names: Vec<&[u8]> = fields.iter().map(|field| field.name).collect();
        assert_eq!(names, [&b"find"[..], b"filter", b"limit"]);
        assert_eq!((fields[0].string(), fields[2].number()), (Some(&b"items"[..]), Some(2.0)));
        assert_eq!((fields[1].string(), fields[0].number()), (None, None));
    }

    #[test]
    fn writes_extended_json() {
        let whole = (r#"{"find":"items","filter":{"a":[1,null,true]},"limit":2}"#.to_owned(), true);
        assert_eq!(extended_json(&find()), whole);
        let fields: [(&[u8], &str); 9] = [
            (b"\x01a\0\0\0\0\0\0\0\xf8\x3f", r#"{"a":1.5}"#),
            (b"\x01a\0\0\0\0\0\0\0\xf0\x7f", r#"{"a":{"$numberDouble":"inf"}}"#),
            (b"\x05a\0\x04\0\0\0\0abcd", r#"{"a":{"$binary":{"base64":"YWJjZA==","subType":"00"}}}"#),
            (
                b"\x07a\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c",
                r#"{"a":{"$oid":"0102030405060708090a0b0c"}}"#,
            ),
            (b"\x09a\0\xe8\x03\0\0\0\0\0\0", r#"{"a":{"$date":{"$numberLong":"1000"}}}"#),
            (b"\x0ba\0^x\0i\0", r#"{"a":{"$regularExpression":{"pattern":"^x","options":"i"}}}"#),
            (b"\x11a\0\x01\0\0\0\x02\0\0\0", r#"{"a":{"$timestamp":{"t":2,"i":1}}}"#),
            (b"\x0da\0\x02\0\0\0x\0", r#"{"a":{"$code":"x"}}"#),
            (b"\x02a\"\0\x03\0\0\0\"\xff\0", "{\"a\\\"\":\"\\\"\u{fffd}\"}"),
        ];
        for (field, text) in fields {
            assert_eq!(extended_json(&document(field)), (text.to_owned(), true));
        }
    }

    #[test]
    fn stops_where_a_document_is_cut_or_wrong() {
        let bytes = find();
        for length in 0..bytes.len() {
            assert!(!extended_json(&bytes[..length]).1, "{length} bytes");
        }
        let mut deep = document(b"");
        for _ in 0..100 {
            deep = document(&[b"\x03a\0", &deep[..]].concat());
        }
        assert!(!extended_json(&deep).1);
        let wide = document(&b"\x10a\0\0\0\0\0".repeat(40_000));
        let (text, whole) = extended_json(&wide);
        assert!(!whole && text.len() < 2 * TEXT_BYTES);
        assert_eq!(Fields::of(b"\xff\xff\xff\xff\x02a\0\xff\xff\xff\xff").count(), 0);
    }
}
