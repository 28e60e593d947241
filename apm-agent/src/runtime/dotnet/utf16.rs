//! Texts as .NET writes them.

use std::fmt::{self, Write as _};

/// UTF-16 code units in little-endian order, borrowed from the bytes they came in. Not checked: half a surrogate pair is
/// shown as U+FFFD.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Utf16<'a> {
    bytes: &'a [u8],
}

impl<'a> Utf16<'a> {
    /// Of bytes; an odd byte at the end is left out.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.get(..bytes.len() & !1).unwrap_or_default() }
    }

    /// It has no characters.
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Length in UTF-16 units.
    pub fn units(self) -> usize {
        self.bytes.len() / 2
    }

    /// Its characters.
    pub fn chars(self) -> impl Iterator<Item = char> + 'a {
        let (units, _) = self.bytes.as_chunks::<2>();
        let decoded = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)));
        decoded.map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// At most the first `most` characters of it.
    pub fn to_capped_string(self, most: usize) -> String {
        self.chars().take(most).collect()
    }
}

impl PartialEq<str> for Utf16<'_> {
    fn eq(&self, other: &str) -> bool {
        self.chars().eq(other.chars())
    }
}

impl PartialEq<&str> for Utf16<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for Utf16<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|character| formatter.write_char(character))
    }
}

impl fmt::Debug for Utf16<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_broken_texts() {
        let bytes: Vec<u8> = "Zoë 🦀".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let text = Utf16::new(&bytes);
        assert!(text == "Zoë 🦀" && text != "Zoë" && text != "Zoë 🦀.");
        assert_eq!((text.to_string().as_str(), text.units()), ("Zoë 🦀", 6));
        assert_eq!(text.to_capped_string(3), "Zoë");
        let half = Utf16::new(&bytes[..bytes.len() - 1]);
        assert_eq!(half.to_string(), "Zoë \u{fffd}");
        assert_eq!(format!("{half:?}"), "\"Zoë \u{fffd}\"");
        assert!(Utf16::new(b"x").is_empty());
    }
}
