//! Reading little-endian numbers and texts off the front of bytes. What is not there is `None`.

use super::Utf16;

/// The bytes not read yet.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Seven bits a byte, the lowest first, the eighth bit says that more follow. `None` also when it has more than
    /// 64 bits.
    pub fn varuint64(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << shift;
            if shifted >> shift != bits {
                return None;
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// As [`Self::varuint64`], within 32 bits.
    pub fn varuint32(&mut self) -> Option<u32> {
        self.varuint64()?.try_into().ok()
    }

    /// A UTF-16 text that ends with NUL; the NUL is read and not part of it.
    pub fn text(&mut self) -> Option<Utf16<'a>> {
        let (units, _) = self.rest.as_chunks::<2>();
        let length = units.iter().position(|unit| *unit == [0, 0])?;
        let text = self.bytes(length * 2)?;
        self.bytes(2)?;
        Some(Utf16::new(text))
    }

    /// A text after its length in UTF-16 units, the NUL at its end counted; a length of 0 is an empty text.
    pub fn counted_text(&mut self) -> Option<Utf16<'a>> {
        let units = usize::try_from(self.u32()?).ok()?;
        let text = self.bytes(units.checked_mul(2)?)?;
        Some(Utf16::new(text.strip_suffix(&[0, 0]).unwrap_or(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_variable_length() {
        let read = |bytes: &[u8]| Cursor::new(bytes).varuint64();
        for (bytes, value) in [(&[0][..], 0), (&[0x7f], 127), (&[0x80, 1], 128), (&[0xff, 0xff, 3], 0xffff)] {
            assert_eq!(read(bytes), Some(value));
        }
        let most = [[0xff; 9].as_slice(), &[1]].concat();
        assert_eq!(read(&most), Some(u64::MAX));
        assert_eq!(Cursor::new(&most).varuint32(), None);
        assert_eq!(read(&[[0xff; 9].as_slice(), &[2]].concat()), None, "65 bits");
        assert_eq!(read(&[0x80; 11]), None, "no end");
        assert_eq!(read(&[0x80]), None, "cut");
    }

    #[test]
    fn texts() {
        let mut cursor = Cursor::new(b"a\0b\0\0\0\0\0c\0");
        assert_eq!(cursor.text().map(|text| text.to_string()).as_deref(), Some("ab"));
        assert_eq!(cursor.text().map(|text| text.is_empty()), Some(true));
        assert!(cursor.text().is_none(), "no end");
        assert_eq!(cursor.rest(), b"c\0");
        let mut cursor = Cursor::new(b"\x02\0\0\0a\0\0\0\0\0\0\0\xff\xff\xff\xffx");
        assert_eq!(cursor.counted_text().map(|text| text.to_string()).as_deref(), Some("a"));
        assert_eq!(cursor.counted_text().map(|text| text.is_empty()), Some(true));
        assert!(cursor.counted_text().is_none(), "longer than there is");
    }
}
