//! The client's side: commands, as arrays of bulk strings or inline.
//!
//! Of arguments nothing is kept but the first word behind `CLIENT`, which decides whether answers come at all.

use super::line::{Line, Taken, number};
use crate::exchange::Stamp;

/// Most bytes kept of a word.
const WORD_BYTES: usize = 64;
/// Most arguments, and the longest, that servers take.
const ARGUMENTS: i64 = 1 << 31;
const ARGUMENT_BYTES: i64 = 1 << 31;

/// A command.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// Its name in upper case.
    pub(super) name: String,
    /// The word behind `CLIENT`, in upper case.
    pub(super) second: String,
    /// Number of words.
    pub(super) words: u64,
    /// When its first byte passed.
    pub(super) began: Stamp,
}

/// Result of a step.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// A command is complete.
    Command(Asked),
    /// The input is used up.
    More,
    /// What came is no command.
    Broken,
}

/// Where the reader stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Place {
    /// Before a command, or in its first line.
    #[default]
    First,
    /// In the line that gives an argument's length.
    Length,
    /// In an argument: bytes of it and its line end still to come.
    Argument(u64),
}

/// Follows the client's commands. Holds a line and a word.
#[derive(Debug, Default)]
pub(super) struct Reader {
    place: Place,
    line: Line,
    asked: Asked,
    /// Arguments still to come, the one under way included.
    left: i64,
    word: Vec<u8>,
    /// Some of the word passed unseen.
    torn: bool,
}

impl Reader {
    /// The next byte is the first of a command.
    pub(super) fn at_boundary(&self) -> bool {
        self.place == Place::First && self.line.is_empty()
    }

    /// Takes the next command off `input`.
    pub(super) fn step(&mut self, input: &mut &[u8], at: Stamp) -> Step {
        loop {
            if self.at_boundary() {
                self.asked = Asked { began: at, ..Asked::default() };
            }
            let done = match self.place {
                Place::Argument(left) => self.pass(input, left),
                _ if input.is_empty() => return Step::More,
                _ => match self.line.take(input) {
                    Taken::Whole(line) => self.read(&line),
                    Taken::More => return Step::More,
                    Taken::TooLong => None,
                },
            };
            match done {
                Some(true) => return Step::Command(std::mem::take(&mut self.asked)),
                Some(false) if input.is_empty() && !matches!(self.place, Place::Argument(0)) => return Step::More,
                Some(false) => {}
                None => return Step::Broken,
            }
        }
    }

    /// A line. `Some(true)`: the command is complete.
    fn read(&mut self, line: &[u8]) -> Option<bool> {
        match (self.place, line.split_first()) {
            (Place::First, Some((b'*', count))) => {
                self.left = number(count).filter(|count| *count <= ARGUMENTS)?;
                if self.left > 0 {
                    self.place = Place::Length;
                }
                Some(false)
            }
            (Place::First, None) => Some(false),
            (Place::First, Some(_)) => self.read_inline(line),
            (_, Some((b'$', length))) => {
                let length = number(length).filter(|length| (0..=ARGUMENT_BYTES).contains(length))?;
                self.word.clear();
                self.torn = false;
                self.place = Place::Argument(length.unsigned_abs() + 2);
                Some(false)
            }
            _ => None,
        }
    }

    fn read_inline(&mut self, line: &[u8]) -> Option<bool> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(name) = words.next() else { return Some(false) };
        self.asked.name = command_name(name)?;
        self.asked.words = 1 + words.clone().count() as u64;
        self.note_second(words.next().unwrap_or_default());
        Some(true)
    }

    /// Passes bytes of an argument. `Some(true)`: it was the last.
    fn pass(&mut self, input: &mut &[u8], left: u64) -> Option<bool> {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let (piece, rest) = input.split_at_checked(size).unwrap_or((input, &[]));
        *input = rest;
        let left = left - size as u64;
        if !self.torn {
            let room = (WORD_BYTES + 2).saturating_sub(self.word.len());
            self.word.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
        self.place = Place::Argument(left);
        if left > 0 {
            return Some(false);
        }
        self.note_word()?;
        self.left -= 1;
        self.place = if self.left > 0 { Place::Length } else { Place::First };
        Some(self.left == 0)
    }

    fn note_word(&mut self) -> Option<()> {
        let word = std::mem::take(&mut self.word);
        let word = word.strip_suffix(b"\r\n").unwrap_or(&word);
        self.asked.words += 1;
        match self.asked.words {
            1 if self.torn => {}
            1 => self.asked.name = command_name(word)?,
            2 if !self.torn => self.note_second(word),
            _ => {}
        }
        Some(())
    }

    fn note_second(&mut self, word: &[u8]) {
        if self.asked.name == "CLIENT" && word.len() <= WORD_BYTES {
            self.asked.second = String::from_utf8_lossy(word).to_ascii_uppercase();
        }
    }

    /// Bytes passed unseen. True: they lie inside an argument, and its end is still known (it may be complete now: take a
    /// step with no input).
    pub(super) fn skip(&mut self, length: u64) -> bool {
        match &mut self.place {
            Place::Argument(left) if length <= *left => {
                *left -= length;
                self.torn = true;
                true
            }
            _ => false,
        }
    }
}

/// A command's name in upper case; `None`: it can be none.
pub(super) fn command_name(word: &[u8]) -> Option<String> {
    let (first, rest) = word.split_first()?;
    let plain = first.is_ascii_alphabetic()
        && word.len() <= WORD_BYTES
        && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-|".contains(byte));
    plain.then(|| String::from_utf8_lossy(word).to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut Reader, mut input: &[u8]) -> Vec<(String, u64)> {
        let mut commands = Vec::new();
        loop {
            match reader.step(&mut input, Stamp::default()) {
                Step::Command(asked) => commands.push((format!("{} {}", asked.name, asked.second), asked.words)),
                Step::More => return commands,
                Step::Broken => {
                    commands.push(("broken".into(), 0));
                    return commands;
                }
            }
        }
    }

    #[test]
    fn reads_commands_whole_and_in_pieces() {
        let bytes = b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\nPING\r\n\r\n*0\r\n*2\r\n$6\r\nclient\r\n$2\r\nid\r\nget  a\n*1\r\n$4\r\nPING\r\n";
        let whole = all(&mut Reader::default(), bytes);
        let expected = [("SET ", 3), ("PING ", 1), ("CLIENT ID", 2), ("GET ", 2), ("PING ", 1)];
        assert_eq!(whole, expected.map(|(name, words)| (name.to_owned(), words)));
        for size in 1..bytes.len() {
            let mut reader = Reader::default();
            let pieces: Vec<_> = bytes.chunks(size).flat_map(|piece| all(&mut reader, piece)).collect();
            assert_eq!(pieces, whole, "pieces of {size}");
        }
    }

    #[test]
    fn keeps_no_arguments() {
        let mut reader = Reader::default();
        assert_eq!(all(&mut reader, b"*2\r\n$4\r\nAUTH\r\n$9\r\npassword1\r\n"), [("AUTH ".to_owned(), 2)]);
        assert!(!format!("{reader:?}").contains("password1"));
        assert_eq!(all(&mut reader, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n"), []);
        assert_eq!(all(&mut reader, &[b'x'; 50_000]), []);
        assert!(reader.skip(50_000));
        assert_eq!(all(&mut reader, b"\r\n"), [("SET ".to_owned(), 3)]);
        assert!(reader.word.capacity() < 256);
    }

    #[test]
    fn says_what_is_no_command() {
        for bytes in
            [&b"*x\r\n"[..], b"*1\r\n+OK\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$3\r\n\0\x01\x02\r\n", b"\x16\x03\x01\n"]
        {
            assert_eq!(all(&mut Reader::default(), bytes).last().expect("an end").0, "broken", "{bytes:?}");
        }
        assert!(!Reader::default().skip(1));
    }
}
