//! Executable files: what kind they are, what they link and export, and facts kept in their read-only data.
//!
//! Files are read in pieces and never mapped: a file that is cut while we read it must not kill the agent.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadCache, SymbolKind, elf};

pub mod go;

pub use go::{GoBinary, GoBuild, GoModule, Refusal};

/// Largest file looked at.
const LARGEST_FILE: u64 = 4 << 30;

/// Bytes of read-only data searched at most.
const LARGEST_SEARCH: u64 = 256 << 20;

/// Why a file is no executable we can read.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// It cannot be opened or read.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// File.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
    /// It is not an ELF file for Linux.
    #[error("`{}` is not an executable: {reason}", path.display())]
    NotExecutable {
        /// File.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
}

/// Exported symbols by which run times are known.
const MARKERS: [&str; 13] = [
    "_ZN4node5StartEiPPc",
    "node_module_register",
    "DotNetRuntimeInfo",
    "DotNetRuntimeDebugHeader",
    "Py_BytesMain",
    "Py_Main",
    "Py_Version",
    "ruby_version",
    "ruby_init",
    "php_module_startup",
    "JLI_Launch",
    "JNI_CreateJavaVM",
    "ngx_cycle",
];

/// Section by which programs of .NET's Native AOT are known: the code that was managed.
const MANAGED_CODE: &str = "__managedcode";

/// An ELF file.
#[derive(Debug)]
pub struct Binary {
    /// Path it was opened under.
    pub path: PathBuf,
    /// `x86_64`, `aarch64` …
    pub architecture: String,
    /// Libraries it names (`DT_NEEDED`); none for a static executable.
    pub libraries: Vec<String>,
    /// It has a full symbol table (`.symtab`).
    pub has_symbols: bool,
    /// It has DWARF.
    pub has_debug_info: bool,
    /// It has code that .NET's Native AOT compiled.
    pub has_managed_code: bool,
    /// GNU build id, hex.
    pub build_id: Option<String>,
    /// Go's build information, when it was made by Go.
    pub go: Option<GoBuild>,
    exports: Vec<(&'static str, u64)>,
    read_only: Vec<ReadOnly>,
    file: File,
}

/// A section of read-only data.
#[derive(Debug)]
struct ReadOnly {
    address: u64,
    offset: u64,
    size: u64,
}

impl Binary {
    /// Reads a file's tables.
    ///
    /// # Errors
    /// When it cannot be read or is not ELF.
    pub fn open(path: &Path) -> Result<Self, BinaryError> {
        let file = File::open(path).map_err(|source| BinaryError::Unreadable { path: path.to_path_buf(), source })?;
        Self::read(file, path)
    }

    /// As [`Self::open`], of a file already open; `path` is for messages.
    ///
    /// # Errors
    /// When it cannot be read or is not ELF.
    pub fn read(file: File, path: &Path) -> Result<Self, BinaryError> {
        let unreadable = |source| BinaryError::Unreadable { path: path.to_path_buf(), source };
        let refuse = |reason: String| BinaryError::NotExecutable { path: path.to_path_buf(), reason };
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            return Err(refuse("it is not a regular file".into()));
        }
        if about.len() > LARGEST_FILE {
            return Err(refuse("it is larger than 4 GiB".into()));
        }
        let cache = ReadCache::new(file.try_clone().map_err(unreadable)?);
        let parsed = object::File::parse(&cache).map_err(|error| refuse(error.to_string()))?;
        if parsed.format() != object::BinaryFormat::Elf {
            return Err(refuse("it is not an ELF file".into()));
        }
        Ok(Self {
            path: path.to_path_buf(),
            architecture: format!("{:?}", parsed.architecture()).to_lowercase(),
            libraries: libraries(&parsed),
            has_symbols: parsed.section_by_name(".symtab").is_some(),
            has_debug_info: parsed.has_debug_symbols(),
            has_managed_code: parsed.section_by_name(MANAGED_CODE).is_some(),
            build_id: parsed.build_id().ok().flatten().map(hex),
            go: go::buildinfo::read(&parsed),
            exports: exports(&parsed),
            read_only: read_only(&parsed),
            file,
        })
    }

    /// Reads it as a Go program.
    ///
    /// # Errors
    /// When it is none that can be hooked.
    pub fn read_go(&self) -> Result<GoBinary, Refusal> {
        GoBinary::read(&self.file)
    }

    /// It exports this symbol, one of those run times are known by.
    pub fn exports(&self, symbol: &str) -> bool {
        self.exports.iter().any(|(name, _)| *name == symbol)
    }

    /// It links a library whose name starts so.
    pub fn links(&self, start: &str) -> Option<&str> {
        self.libraries.iter().find(|name| name.starts_with(start)).map(String::as_str)
    }

    /// The first bytes of an exported constant.
    pub fn constant<const N: usize>(&self, symbol: &str) -> Option<[u8; N]> {
        let (_, address) = self.exports.iter().find(|(name, _)| *name == symbol)?;
        let within =
            |section: &&ReadOnly| (section.address..section.address.saturating_add(section.size)).contains(address);
        let section = self.read_only.iter().find(within)?;
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, section.offset.checked_add(address - section.address)?).ok()?;
        Some(bytes)
    }

    /// Name of the function at this place in the file: by the full symbol table, or else the last exported one before.
    pub fn function_at(&self, offset: u64) -> Option<String> {
        let cache = ReadCache::new(self.file.try_clone().ok()?);
        let parsed = object::File::parse(&cache).ok()?;
        let address = parsed.segments().find_map(|segment| {
            let (start, size) = segment.file_range();
            segment.address().checked_add(offset.checked_sub(start).filter(|within| *within < size)?)
        })?;
        function_before(parsed.symbols(), address).or_else(|| function_before(parsed.dynamic_symbols(), address))
    }

    /// The printable text that follows the first occurrence of `marker` in the read-only data, at most 64 bytes; the
    /// marker counts only where `accept` takes the text after it.
    pub fn text_after(&self, marker: &[u8], accept: impl Fn(&str) -> bool) -> Option<String> {
        self.read_only.iter().find_map(|section| self.search(section, marker, &accept))
    }

    fn search(&self, section: &ReadOnly, marker: &[u8], accept: &impl Fn(&str) -> bool) -> Option<String> {
        const PIECE: u64 = 1 << 20;
        /// Pieces overlap by this, so that a marker with its text is whole in one of them.
        const OVERLAP: u64 = 256;
        let mut buffer = vec![0; (PIECE + OVERLAP) as usize];
        let mut start = 0;
        while start < section.size.min(LARGEST_SEARCH) {
            let wanted = (section.size - start).min(PIECE + OVERLAP) as usize;
            let read = self.file.read_at(buffer.get_mut(..wanted)?, section.offset.checked_add(start)?).ok()?;
            let piece = buffer.get(..read)?;
            for position in memchr::memmem::find_iter(piece, marker) {
                let text = printable(piece.get(position + marker.len()..).unwrap_or_default());
                if accept(&text) {
                    return Some(text);
                }
            }
            start += PIECE;
        }
        None
    }
}

fn printable(bytes: &[u8]) -> String {
    bytes.iter().take(64).take_while(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect()
}

type Parsed<'data> = object::File<'data, &'data ReadCache<File>>;

fn libraries(parsed: &Parsed) -> Vec<String> {
    let object::File::Elf64(file) = parsed else { return Vec::new() };
    let Ok(table) = file.elf_dynamic_table() else { return Vec::new() };
    let needed = table.iter().filter(|entry| entry.tag == elf::DT_NEEDED);
    needed.filter_map(|entry| Some(String::from_utf8_lossy(table.string(entry).ok()?).into_owned())).collect()
}

fn exports(parsed: &Parsed) -> Vec<(&'static str, u64)> {
    let mut found = Vec::new();
    for symbol in parsed.dynamic_symbols().filter(|symbol| symbol.is_definition()) {
        let name = symbol.name_bytes().unwrap_or_default();
        if let Some(marker) = MARKERS.iter().find(|marker| marker.as_bytes() == name) {
            found.push((*marker, symbol.address()));
        }
        if found.len() == MARKERS.len() {
            break;
        }
    }
    found
}

fn function_before<'data>(symbols: impl Iterator<Item = impl ObjectSymbol<'data>>, address: u64) -> Option<String> {
    let functions = symbols.filter(|symbol| symbol.is_definition() && symbol.kind() == SymbolKind::Text);
    let last = functions.filter(|symbol| symbol.address() <= address).max_by_key(|symbol| symbol.address())?;
    Some(String::from_utf8_lossy(last.name_bytes().ok()?).into_owned())
}

fn read_only(parsed: &Parsed) -> Vec<ReadOnly> {
    let section = |name| {
        let section = parsed.section_by_name(name)?;
        let (offset, size) = section.file_range()?;
        Some(ReadOnly { address: section.address(), offset, size })
    };
    [".rodata", ".data.rel.ro", ".data"].into_iter().filter_map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_our_own_test_binary() {
        let binary = Binary::open(&std::env::current_exe().expect("path")).expect("ELF");
        assert_eq!(binary.architecture.replace('_', ""), std::env::consts::ARCH.replace('_', ""));
        assert!(binary.links("libc.so").is_some());
        assert!(binary.has_symbols && binary.go.is_none());
        assert!(!binary.exports("Py_Main"));
        let marker = b"a marker of this very test: ";
        assert_eq!(binary.text_after(marker, |text| text == "found").as_deref(), Some("found"));
        assert_eq!(MARKED, "a marker of this very test: found\0");
    }

    static MARKED: &str = "a marker of this very test: found\0";

    #[test]
    fn refuses_what_is_no_executable() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("text");
        std::fs::write(&path, "#!/bin/sh\n").expect("written");
        assert!(matches!(Binary::open(&path), Err(BinaryError::NotExecutable { .. })));
        assert!(matches!(Binary::open(folder.path()), Err(BinaryError::NotExecutable { .. })));
        assert!(matches!(Binary::open(&folder.path().join("none")), Err(BinaryError::Unreadable { .. })));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        /// A file may lie about anything: headers, tables, sizes.
        #[test]
        fn survives_lies(lies in proptest::collection::vec((0_usize..40_000, proptest::prelude::any::<u8>()), 1..40), head in 0_usize..1024) {
            let mut bytes = std::fs::read("/bin/sleep").expect("readable");
            // Half of the lies are told in the headers, where they matter most.
            for (index, (position, value)) in lies.into_iter().enumerate() {
                let position = if index % 2 == 0 { (position + head) % 1024 } else { position };
                if let Some(byte) = bytes.get_mut(position) {
                    *byte = value;
                }
            }
            let folder = tempfile::tempdir().expect("folder");
            let path = folder.path().join("liar");
            std::fs::write(&path, &bytes).expect("written");
            if let Ok(binary) = Binary::open(&path) {
                let _ = (binary.text_after(b"usage", |_| true), binary.constant::<4>("Py_Version"));
            }
        }
    }

    #[test]
    fn survives_cut_and_torn_files() {
        let bytes = std::fs::read("/proc/self/exe").expect("readable");
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("torn");
        for length in [0, 3, 16, 63, 64, 200, 4096, bytes.len().min(1 << 20)] {
            std::fs::write(&path, &bytes[..length.min(bytes.len())]).expect("written");
            let _ = Binary::open(&path);
        }
        let mut torn = bytes[..4096.min(bytes.len())].to_vec();
        for byte in torn.iter_mut().skip(24) {
            *byte = 0xff;
        }
        std::fs::write(&path, &torn).expect("written");
        let _ = Binary::open(&path);
    }
}
