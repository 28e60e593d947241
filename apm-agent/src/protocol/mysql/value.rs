//! Numbers and texts in packets. Source: MySQL internals manual, "Integer Types", "String Types".

/// Little-endian number of `N` bytes; moves past it.
pub(super) fn number<const N: usize>(input: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Length-encoded number; moves past it.
pub(super) fn length(input: &mut &[u8]) -> Option<u64> {
    match number::<1>(input)? {
        short @ 0..=0xfa => Some(short),
        0xfc => number::<2>(input),
        0xfd => number::<3>(input),
        0xfe => number::<8>(input),
        _ => None,
    }
}

/// Takes `count` bytes off.
pub(super) fn take<'a>(input: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    let (bytes, rest) = input.split_at_checked(usize::try_from(count).ok()?)?;
    *input = rest;
    Some(bytes)
}

/// Text with its length in front.
pub(super) fn text<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = length(input)?;
    take(input, count)
}

/// Text that ends with NUL; moves past that.
pub(super) fn text_to_nul<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(0, input)?;
    let (text, rest) = input.split_at_checked(end)?;
    *input = rest.get(1..)?;
    Some(text)
}

/// For showing; `None`: empty.
pub(super) fn shown(text: &[u8]) -> Option<String> {
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lengths() {
        for (bytes, value) in [
            (&b"\xfa"[..], Some(250)),
            (b"\xfc\x01\x02", Some(0x201)),
            (b"\xfd\x01\x02\x03", Some(0x3_0201)),
            (b"\xfe\x01\0\0\0\0\0\0\x80", Some(1 << 63 | 1)),
            (b"\xfc\x01", None),
            (b"\xfb", None),
            (b"\xff", None),
            (b"", None),
        ] {
            assert_eq!(length(&mut { bytes }), value, "{bytes:?}");
        }
    }

    #[test]
    fn reads_texts() {
        let mut input = &b"\x02abx\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff"[..];
        assert_eq!(text(&mut input), Some(&b"ab"[..]));
        assert_eq!(text_to_nul(&mut input), Some(&b"x"[..]));
        assert_eq!(text(&mut input), None);
        assert_eq!((shown(b""), shown(b"\xff")), (None, Some("\u{fffd}".into())));
    }
}
