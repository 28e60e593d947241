//! The server's side: values of RESP2 and RESP3.
//!
//! Values are counted down, not kept: of each at the top its type, of an error its text, of a push or an array its first
//! word.
//!
//! Source: Redis documentation, "Redis serialization protocol specification".

use super::line::{Line, Taken, number};
use crate::exchange::Stamp;

/// Most values still to come that are believed of one.
const VALUES: u64 = 1 << 40;
/// Longest string that is believed.
const STRING_BYTES: i64 = 1 << 40;
/// Most bytes kept of a word, and of an error's text.
const WORD_BYTES: usize = 16;
const ERROR_BYTES: usize = 512;

/// A value at the top.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Value {
    /// Its type's byte.
    pub(super) kind: u8,
    /// Of an array or push the first word in lower case; of an error, or a simple string, the text.
    pub(super) text: Vec<u8>,
    /// When its first byte passed.
    pub(super) began: Stamp,
}

/// Result of a step.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// A value is complete.
    Value(Value),
    /// The input is used up.
    More,
    /// What came is no value.
    Broken,
}

/// Follows the server's values.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Line,
    value: Value,
    /// Values still to come of the one under way; 0: before one.
    values: u64,
    /// Bytes still to come of the string under way, its line end included.
    string: u64,
    /// Most bytes of it to keep in the value's text.
    keep: usize,
    /// Elements of the top seen.
    elements: u64,
}

impl Reader {
    /// The next byte is the first of a value at the top.
    pub(super) fn at_boundary(&self) -> bool {
        self.values == 0 && self.line.is_empty()
    }

    /// Takes the next value off `input`.
    pub(super) fn step(&mut self, input: &mut &[u8], at: Stamp) -> Step {
        loop {
            if self.string > 0 {
                self.pass(input);
                if self.string > 0 {
                    return Step::More;
                }
                self.values -= 1;
            } else if input.is_empty() && self.values != 0 {
                return Step::More;
            } else if !self.is_complete() {
                if input.is_empty() {
                    return Step::More;
                }
                if self.at_boundary() {
                    self.value = Value { began: at, ..Value::default() };
                    self.elements = 0;
                }
                let line = match self.line.take(input) {
                    Taken::Whole(line) => line,
                    Taken::More => return Step::More,
                    Taken::TooLong => return Step::Broken,
                };
                self.values = self.values.max(1);
                if self.read(&line).is_none() {
                    return Step::Broken;
                }
            }
            if self.values == 0 && self.value.kind != 0 {
                let value = std::mem::take(&mut self.value);
                // What stands before a value, and is none.
                if value.kind != b'|' {
                    return Step::Value(value);
                }
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.values == 0 && self.value.kind != 0
    }

    /// A line: a simple value, or the head of another.
    fn read(&mut self, line: &[u8]) -> Option<()> {
        let (&kind, rest) = line.split_first()?;
        let top = self.value.kind == 0;
        if top {
            self.value.kind = kind;
        } else {
            self.elements += 1;
        }
        match kind {
            b'+' | b'-' => {
                self.note(rest, top);
                self.values -= 1;
            }
            b':' => {
                number(rest)?;
                self.values -= 1;
            }
            b'_' if rest.is_empty() => self.values -= 1,
            b',' | b'(' if !rest.is_empty() => self.values -= 1,
            b'#' if matches!(rest, b"t" | b"f") => self.values -= 1,
            b'$' | b'=' | b'!' => self.begin_string(kind, number(rest)?, top)?,
            b'*' | b'~' | b'>' | b'%' | b'|' => self.begin_values(kind, number(rest)?, top)?,
            _ => return None,
        }
        Some(())
    }

    fn begin_string(&mut self, kind: u8, length: i64, top: bool) -> Option<()> {
        match length {
            // Nothing, in RESP2.
            -1 => self.values -= 1,
            0..=STRING_BYTES => {
                self.string = length.unsigned_abs() + 2;
                self.keep = match (kind, top) {
                    (b'!', true) => ERROR_BYTES,
                    (_, false) if self.is_first_word() => WORD_BYTES,
                    _ => 0,
                };
            }
            _ => return None,
        }
        Some(())
    }

    fn begin_values(&mut self, kind: u8, count: i64, top: bool) -> Option<()> {
        let count = if count == -1 { 0 } else { u64::try_from(count).ok()? };
        let pairs = matches!(kind, b'%' | b'|');
        let inner = if pairs { count.checked_mul(2)? } else { count };
        // Inside of another value an attribute is none of its elements.
        let itself = u64::from(kind != b'|' || top);
        self.values = (self.values - itself).checked_add(inner).filter(|values| *values <= VALUES)?;
        Some(())
    }

    /// The element under way is the first of an array or push at the top.
    fn is_first_word(&self) -> bool {
        self.elements == 1 && matches!(self.value.kind, b'*' | b'>')
    }

    fn note(&mut self, text: &[u8], top: bool) {
        if top {
            self.value.text = text.to_vec();
        } else if self.is_first_word() {
            self.value.text = text.iter().take(WORD_BYTES).map(u8::to_ascii_lowercase).collect();
        }
    }

    fn pass(&mut self, input: &mut &[u8]) {
        let size = usize::try_from(self.string).unwrap_or(usize::MAX).min(input.len());
        let (piece, rest) = input.split_at_checked(size).unwrap_or((input, &[]));
        *input = rest;
        let text = usize::try_from(self.string.saturating_sub(2)).unwrap_or(usize::MAX).min(piece.len());
        let room = self.keep.saturating_sub(self.value.text.len()).min(text);
        self.value.text.extend(piece.iter().take(room).map(|byte| match self.keep {
            WORD_BYTES => byte.to_ascii_lowercase(),
            _ => *byte,
        }));
        self.string -= size as u64;
    }

    /// Bytes passed unseen. True: they lie inside a string, and its end is still known (it may be complete now: take a
    /// step with no input).
    pub(super) fn skip(&mut self, length: u64) -> bool {
        let inside = length < self.string;
        if inside {
            self.string -= length;
            self.keep = 0;
        }
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut Reader, mut input: &[u8]) -> Vec<(char, String)> {
        let mut values = Vec::new();
        loop {
            match reader.step(&mut input, Stamp::default()) {
                Step::Value(value) => {
                    values.push((value.kind.into(), String::from_utf8_lossy(&value.text).into_owned()));
                }
                Step::More => return values,
                Step::Broken => {
                    values.push(('B', String::new()));
                    return values;
                }
            }
        }
    }

    #[test]
    fn reads_values_whole_and_in_pieces() {
        let bytes: &[u8] = b"+OK\r\n-ERR no\r\n:12\r\n$-1\r\n$0\r\n\r\n$5\r\nab\r\nc\r\n*-1\r\n*0\r\n*2\r\n*1\r\n:1\r\n$1\r\nx\r\n\
            _\r\n#t\r\n,1.5\r\n(123\r\n=7\r\ntxt:abc\r\n!9\r\nERR wrong\r\n%1\r\n+a\r\n:1\r\n~1\r\n+a\r\n\
            >3\r\n$7\r\nMessage\r\n$1\r\nc\r\n$1\r\nm\r\n|1\r\n+ttl\r\n:3\r\n*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n+END\r\n";
        let whole = all(&mut Reader::default(), bytes);
        let kinds: String = whole.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, "+-:$$$***_#,(=!%~>*+");
        assert_eq!(whole.get(1).expect("an error").1, "ERR no");
        assert_eq!(whole.get(14).expect("an error").1, "ERR wrong");
        assert_eq!(whole.get(17).expect("a push").1, "message");
        for size in 1..bytes.len() {
            let mut reader = Reader::default();
            let pieces: Vec<_> = bytes.chunks(size).flat_map(|piece| all(&mut reader, piece)).collect();
            assert_eq!(pieces, whole, "pieces of {size}");
        }
    }

    #[test]
    fn counts_down_a_gap_inside_a_string() {
        let mut reader = Reader::default();
        assert_eq!(all(&mut reader, b"*2\r\n$100000\r\nxxx"), []);
        assert!(reader.skip(99_990));
        assert_eq!(all(&mut reader, b"yyyyyyy\r\n:1\r\n"), [('*', "xxx".to_owned())]);
        assert!(!reader.skip(1), "a gap at a boundary loses the place");
    }

    #[test]
    fn says_what_is_no_value() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\n"[..],
            b":x\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"*-2\r\n",
            b"#x\r\n",
            b"_x\r\n",
            b"\r\n",
            b"*2000000000000\r\n",
            b"%999999999999999999\r\n",
        ] {
            assert_eq!(all(&mut Reader::default(), bytes).last().expect("an end").0, 'B', "{bytes:?}");
        }
    }
}
