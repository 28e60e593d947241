//! Follows the body of a message to its exact last byte (RFC 9112 section 6 and 7), without looking at its content.

/// Longest chunk-size line with extensions, and longest trailer section, in bytes.
const LINE_BYTES: u32 = 16 * 1024;

/// How a body is delimited, and how far it was followed.
#[derive(Debug, PartialEq)]
pub enum Body {
    /// By `Content-Length`: bytes still to come.
    Length(u64),
    /// By chunks.
    Chunks(Chunks),
    /// By the end of the connection.
    UntilClose,
}

/// Where in a chunked body.
#[derive(Debug, Default, PartialEq)]
pub struct Chunks {
    place: Place,
    /// Size of the chunk as far as its digits were read; then what is left of it.
    left: u64,
    /// Bytes of the line or of the trailer section so far.
    line: u32,
}

#[derive(Debug, Default, PartialEq, Clone, Copy)]
enum Place {
    #[default]
    Size,
    Extension,
    Data,
    /// The line end after the data.
    DataEnd,
    /// At the beginning of a trailer line.
    Trailer,
    /// After a carriage return there: the last line feed is due.
    TrailerReturn,
    TrailerLine,
}

/// What became of bytes of a body.
#[derive(Debug, PartialEq)]
pub struct Progress {
    /// Bytes that belong to the message.
    pub consumed: usize,
    /// Bytes of them that are content, not framing.
    pub content: u64,
    /// Whether more is to come.
    pub state: State,
}

/// Whether more is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The body goes on.
    More,
    /// That was the last byte.
    Ended,
    /// The framing makes no sense, or was missed.
    Broken,
}

impl Body {
    /// Reads bytes of the body; stops after its last byte.
    pub fn read(&mut self, bytes: &[u8]) -> Progress {
        match self {
            Body::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                let state = if *left == 0 { State::Ended } else { State::More };
                Progress { consumed: taken, content: taken as u64, state }
            }
            Body::Chunks(chunks) => chunks.read(bytes),
            Body::UntilClose => Progress { consumed: bytes.len(), content: bytes.len() as u64, state: State::More },
        }
    }

    /// Passes over bytes that were not seen: how many of them are certainly content of this body, and what follows.
    pub fn skip(&mut self, length: u64) -> (u64, State) {
        match self {
            Body::Length(left) => {
                let taken = length.min(*left);
                *left -= taken;
                (taken, if *left == 0 { State::Ended } else { State::More })
            }
            Body::Chunks(Chunks { place: Place::Data, left, .. }) if length < *left => {
                *left -= length;
                (length, State::More)
            }
            Body::Chunks(_) => (0, State::Broken),
            Body::UntilClose => (length, State::More),
        }
    }
}

impl Chunks {
    fn read(&mut self, bytes: &[u8]) -> Progress {
        let mut rest = bytes;
        let mut content = 0;
        let mut state = State::More;
        while state == State::More && !rest.is_empty() {
            if self.place == Place::Data {
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                self.left -= taken as u64;
                content += taken as u64;
                rest = rest.get(taken..).unwrap_or_default();
                if self.left == 0 {
                    self.place = Place::DataEnd;
                }
            } else if let Some((byte, after)) = rest.split_first() {
                rest = after;
                state = self.read_framing(*byte);
            }
        }
        Progress { consumed: bytes.len() - rest.len(), content, state }
    }

    fn read_framing(&mut self, byte: u8) -> State {
        self.line += 1;
        if self.line > LINE_BYTES {
            return State::Broken;
        }
        match (self.place, byte) {
            (Place::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => return self.read_digit(byte),
            // A line without a digit is no size.
            (Place::Size, _) if self.line == 1 => return State::Broken,
            (Place::Size | Place::Extension, b'\n') => self.end_size(),
            (Place::Size, b'\r' | b';' | b' ' | b'\t') => self.place = Place::Extension,
            (Place::Size, _) => return State::Broken,
            (Place::DataEnd, b'\r') if self.line == 1 => {}
            (Place::DataEnd, b'\n') => *self = Chunks::default(),
            (Place::DataEnd, _) => return State::Broken,
            (Place::Trailer | Place::TrailerReturn, b'\n') => return State::Ended,
            (Place::Trailer, b'\r') => self.place = Place::TrailerReturn,
            (Place::TrailerReturn, _) => return State::Broken,
            (Place::Trailer, _) => self.place = Place::TrailerLine,
            (Place::TrailerLine, b'\n') => self.place = Place::Trailer,
            (Place::Extension | Place::TrailerLine | Place::Data, _) => {}
        }
        State::More
    }

    fn read_digit(&mut self, byte: u8) -> State {
        let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
        match self.left.checked_mul(16) {
            Some(shifted) => {
                self.left = shifted | digit;
                State::More
            }
            None => State::Broken,
        }
    }

    fn end_size(&mut self) {
        self.line = 0;
        self.place = if self.left == 0 { Place::Trailer } else { Place::Data };
    }
}

/// These bytes, the end of a write, end with a last chunk and its trailers: `0\r\n\r\n`, `0\r\n<trailers>\r\n\r\n`.
pub fn ends_with_last_chunk(bytes: &[u8]) -> bool {
    let Some(text) = bytes.strip_suffix(b"\r\n\r\n") else { return false };
    // Lines from the end: trailers are `name: value`, the line before them is the size 0.
    for line in text.rsplit(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line == b"0" {
            return true;
        }
        let name = line.iter().take_while(|byte| is_token(**byte)).count();
        if name == 0 || line.get(name) != Some(&b':') {
            return false;
        }
    }
    false
}

/// `tchar` of RFC 9110 section 5.6.2.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
