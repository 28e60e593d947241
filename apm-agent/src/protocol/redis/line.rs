//! Lines, of which RESP's headers and simple values are made.

/// Most bytes kept of a line: an error's text.
const KEPT_BYTES: usize = 512;
/// Longest line that is believed (`PROTO_INLINE_MAX_SIZE` of the server).
const MOST_BYTES: usize = 64 * 1024;

/// Collects a line that may come in pieces.
#[derive(Debug, Default)]
pub(super) struct Line {
    kept: Vec<u8>,
    length: usize,
}

/// What became of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// It is complete; its text without the end, as far as it was kept.
    Whole(Vec<u8>),
    /// It goes on.
    More,
    /// It is longer than any line.
    TooLong,
}

impl Line {
    /// Nothing of a line has come.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes a line off `input`, up to CR LF (or LF alone, which servers take, too).
    pub(super) fn take(&mut self, input: &mut &[u8]) -> Taken {
        let end = memchr::memchr(b'\n', input);
        let (piece, rest) = input.split_at_checked(end.map_or(input.len(), |end| end + 1)).unwrap_or((input, &[]));
        *input = rest;
        let room = KEPT_BYTES.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.length += piece.len();
        match end {
            _ if self.length > MOST_BYTES => Taken::TooLong,
            None => Taken::More,
            Some(_) => {
                let Line { mut kept, .. } = std::mem::take(self);
                while kept.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                    kept.pop();
                }
                Taken::Whole(kept)
            }
        }
    }
}

/// A number as headers have it.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_lines_whole_and_in_pieces() {
        let mut line = Line::default();
        let mut input = &b"one\r\ntwo\nth"[..];
        assert_eq!(line.take(&mut input), Taken::Whole(b"one".to_vec()));
        assert_eq!(line.take(&mut input), Taken::Whole(b"two".to_vec()));
        assert_eq!(line.take(&mut input), Taken::More);
        assert!(!line.is_empty());
        assert_eq!(line.take(&mut &b"ree\r"[..]), Taken::More);
        assert_eq!(line.take(&mut &b"\n"[..]), Taken::Whole(b"three".to_vec()));
        assert!(line.is_empty());
        assert_eq!(line.take(&mut &[b'x'; MOST_BYTES + 1][..]), Taken::TooLong);
        assert!(line.kept.len() <= KEPT_BYTES);
    }

    #[test]
    fn reads_numbers() {
        for (text, value) in [
            (&b"0"[..], Some(0)),
            (b"-1", Some(-1)),
            (b"12", Some(12)),
            (b"", None),
            (b"-", None),
            (b"+1", None),
            (b"1x", None),
            (b"9999999999999999999", None),
        ] {
            assert_eq!(number(text), value, "{text:?}");
        }
    }
}
