//! Go's build information: the section `.go.buildinfo` (debug/buildinfo of Go's standard library).

use object::{Object, ObjectSection};

use super::Parsed;

/// What a Go executable says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoBuild {
    /// Version of Go, such as `go1.26.8`.
    pub version: String,
    /// Path of the main package, when modules were used.
    pub path: Option<String>,
    /// Version of the main module, when it has one.
    pub module_version: Option<String>,
}

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Bit of the flags byte: the texts follow inline (Go 1.18 on).
const INLINE: u8 = 2;
/// Offset of the inline texts.
const TEXTS: usize = 32;
/// Build information is some KiB; the sentinel bytes around the module text are 16 each.
const LARGEST: u64 = 1 << 20;

pub(super) fn read(parsed: &Parsed) -> Option<GoBuild> {
    let section = parsed.section_by_name(".go.buildinfo")?;
    let length = section.size().min(LARGEST);
    parse(section.data_range(section.address(), length).ok()??)
}

fn parse(bytes: &[u8]) -> Option<GoBuild> {
    let start = memchr::memmem::find(bytes, MAGIC)?;
    let bytes = bytes.get(start..)?;
    if bytes.get(15)? & INLINE == 0 {
        // Before 1.18 the texts are behind pointers; such programs are out of scope, only their language is told.
        return Some(GoBuild { version: "go1 (before 1.18)".into(), path: None, module_version: None });
    }
    let (version, rest) = text(bytes.get(TEXTS..)?)?;
    let module = text(rest).map(|(module, _)| module).unwrap_or_default();
    let module =
        String::from_utf8_lossy(module.get(16..module.len().saturating_sub(16)).unwrap_or_default()).into_owned();
    let field = |name: &str| module.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    let module_version = field("mod").and_then(|line| line.split('\t').nth(1)).filter(|text| *text != "(devel)");
    Some(GoBuild {
        version: String::from_utf8_lossy(version).into_owned(),
        path: field("path").map(str::to_string),
        module_version: module_version.filter(|text| !text.is_empty()).map(str::to_string),
    })
}

/// A text with its length in front, as a varint.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = bytes.get(index + 1..)?;
            return Some((rest.get(..length)?, rest.get(length..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_inline_texts_and_survives_cuts() {
        let module = "0123456789abcdefpath\texample.com/shop\nmod\texample.com/shop\tv1.2.3\th1:x=\n0123456789abcdef";
        let mut bytes = MAGIC.to_vec();
        bytes.extend([8, INLINE]);
        bytes.resize(TEXTS, 0);
        bytes.push(8);
        bytes.extend(b"go1.26.8");
        bytes.push(module.len() as u8);
        bytes.extend(module.as_bytes());
        let expected = GoBuild {
            version: "go1.26.8".into(),
            path: Some("example.com/shop".into()),
            module_version: Some("v1.2.3".into()),
        };
        assert_eq!(parse(&bytes), Some(expected));
        for length in 0..bytes.len() {
            let _ = parse(&bytes[..length]);
        }
        assert_eq!(parse(b"nothing"), None);
    }
}
