//! Go's build information: the section `.go.buildinfo` (debug/buildinfo of Go's standard library).

use object::{Object, ObjectSection};

use super::super::Parsed;

/// What a Go executable says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoBuild {
    /// Version of Go, such as `go1.26.8`.
    pub version: String,
    /// Path of the main package, when modules were used.
    pub path: Option<String>,
    /// Version of the main module, when it has one.
    pub module_version: Option<String>,
    /// The main module and those it is built with; empty without modules.
    pub modules: Vec<GoModule>,
    /// Settings of the build, such as `-trimpath` or `DefaultGODEBUG`, by name.
    pub settings: Vec<(String, String)>,
}

/// A module a program is built with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoModule {
    /// Import path, the one its packages have in the program.
    pub path: String,
    /// Version; of the module in its place where it is replaced.
    pub version: String,
}

/// How build information begins.
pub(super) const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Build information lies at multiples of this.
pub(super) const ALIGN: u64 = 16;
/// Version told of programs whose texts are not inline.
pub(super) const OLD: &str = "go1 (before 1.18)";
/// Bit of the flags byte: the texts follow inline (Go 1.18 on).
const INLINE: u8 = 2;
/// Offset of the inline texts.
const TEXTS: usize = 32;
/// Build information is some KiB; the sentinel bytes around the module text are 16 each.
pub(super) const LARGEST: u64 = 1 << 20;

pub(in crate::binary) fn read(parsed: &Parsed) -> Option<GoBuild> {
    let section = parsed.section_by_name(".go.buildinfo")?;
    let length = section.size().min(LARGEST);
    parse(section.data_range(section.address(), length).ok()??)
}

/// Of bytes in which build information begins.
pub(super) fn parse(bytes: &[u8]) -> Option<GoBuild> {
    let start = memchr::memmem::find(bytes, MAGIC)?;
    let bytes = bytes.get(start..)?;
    if bytes.get(15)? & INLINE == 0 {
        // Before 1.18 the texts are behind pointers, which the section alone does not resolve.
        return Some(GoBuild::new(OLD.into(), ""));
    }
    let (version, rest) = text(bytes.get(TEXTS..)?)?;
    let module = text(rest).map(|(module, _)| module).unwrap_or_default();
    let module =
        String::from_utf8_lossy(module.get(16..module.len().saturating_sub(16)).unwrap_or_default()).into_owned();
    Some(GoBuild::new(String::from_utf8_lossy(version).into_owned(), &module))
}

impl GoBuild {
    fn new(version: String, text: &str) -> Self {
        let mut build = Self { version, path: None, module_version: None, modules: Vec::new(), settings: Vec::new() };
        for line in text.lines() {
            let mut words = line.split('\t');
            match (words.next(), words.next()) {
                (Some("path"), Some(path)) => build.path = Some(path.to_string()),
                (Some("mod"), Some(path)) => {
                    let version = words.next().filter(|version| !version.is_empty() && *version != "(devel)");
                    build.module_version = version.map(str::to_string);
                    build.modules.push(GoModule::new(path, version));
                }
                (Some("dep"), Some(path)) => build.modules.push(GoModule::new(path, words.next())),
                (Some("=>"), Some(_)) => {
                    if let (Some(module), Some(version)) = (build.modules.last_mut(), words.next()) {
                        module.version = version.to_string();
                    }
                }
                (Some("build"), Some(setting)) => {
                    let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
                    build.settings.push((name.to_string(), value.to_string()));
                }
                _ => {}
            }
        }
        build
    }
}

impl GoModule {
    fn new(path: &str, version: Option<&str>) -> Self {
        Self { path: path.to_string(), version: version.unwrap_or_default().to_string() }
    }
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
        let lines = [
            "path\texample.com/shop",
            "mod\texample.com/shop\tv1.2.3\th1:x=",
            "dep\texample.com/cart\tv0.1.0",
            "=>\t./cart\t(devel)\t",
            "build\tDefaultGODEBUG=httpmuxgo121=1",
        ];
        let module = format!("0123456789abcdef{}\n0123456789abcdef", lines.join("\n"));
        let mut bytes = MAGIC.to_vec();
        bytes.extend([8, INLINE]);
        bytes.resize(TEXTS, 0);
        bytes.push(8);
        bytes.extend(b"go1.26.8");
        bytes.extend([module.len() as u8 | 0x80, (module.len() >> 7) as u8]);
        bytes.extend(module.as_bytes());
        let expected = GoBuild {
            version: "go1.26.8".into(),
            path: Some("example.com/shop".into()),
            module_version: Some("v1.2.3".into()),
            modules: vec![
                GoModule::new("example.com/shop", Some("v1.2.3")),
                GoModule::new("example.com/cart", Some("(devel)")),
            ],
            settings: vec![("DefaultGODEBUG".into(), "httpmuxgo121=1".into())],
        };
        assert_eq!(parse(&bytes), Some(expected));
        for length in 0..bytes.len() {
            let _ = parse(&bytes[..length]);
        }
        assert_eq!(parse(b"nothing"), None);
    }
}
