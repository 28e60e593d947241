//! Source lines around the frames of a stack, from the files the process has loaded or what these were made from, as far
//! as they can be read.
//!
//! The stack is the program's word: only files it may read itself are quoted, and only such as hold JavaScript.

use std::{
    collections::HashMap,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    source_map::{self, Link, SourceMap},
    stack,
};
use crate::{
    bridge::{Frame, Source, Thrown},
    process::{Process, RootFolder},
};

/// Lines before and after the frame's own: five together, as Elastic's agent has it.
const AROUND: usize = 2;

/// Most bytes of a line: what is longer has been made by a program.
const LONGEST_LINE: usize = 300;

/// Most bytes of a file that is kept, most of one that is read for its map, and of a map.
const LARGEST: usize = 1 << 20;
const LARGEST_BUNDLE: u64 = 8 << 20;

/// Bytes of files and maps after which none is kept any longer.
const MOST_HELD: usize = 16 << 20;

/// Most files that are kept, and most frames of one stack that are looked up.
const MOST_FILES: usize = 16;
const MOST_FRAMES: usize = 50;

/// Names of what holds source.
const KINDS: [&str; 8] = ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx"];

/// The sources of one process.
pub(super) struct Sources<'a> {
    process: &'a Process,
    /// Held, for a process that dies of an error is gone when that is told.
    root: Option<RootFolder>,
    /// Where it works.
    folder: PathBuf,
    /// Its effective user when it was last seen.
    user: Option<u32>,
    /// Files by their paths.
    files: HashMap<String, Known>,
    /// Bytes of them.
    held: usize,
}

/// A file that was looked for.
#[derive(Default)]
struct Known {
    /// What stands in it, unless it cannot be read, is no source, or is very long.
    text: Option<String>,
    /// What it was made from, with the folder of the map.
    map: Option<(PathBuf, SourceMap)>,
}

impl<'a> Sources<'a> {
    pub fn of(process: &'a Process) -> Self {
        Self {
            process,
            root: process.root_folder().ok(),
            folder: process.folder().unwrap_or_default(),
            user: user(process),
            files: HashMap::new(),
            held: 0,
        }
    }

    /// Leads an exception's frames back to the sources that the files were made from, and puts the lines to the frames
    /// whose files can be read.
    pub fn trace(&mut self, thrown: &mut Thrown) {
        self.user = user(self.process).or(self.user);
        let mut is_restored = false;
        for frame in thrown.frames.iter_mut().take(MOST_FRAMES) {
            is_restored |= self.restore(frame).is_some();
            if frame.source.is_none() {
                self.quote(frame);
            }
        }
        if is_restored {
            stack::describe(thrown, &self.folder);
        }
    }

    /// Leads a frame back to where its code comes from.
    fn restore(&mut self, frame: &mut Frame) -> Option<()> {
        let (line, column) = (frame.line?, frame.column?);
        let (folder, map) = self.known(frame.file.as_deref()?).map.as_ref()?;
        let original = map.original(line, column)?;
        let path = source_map::resolve(folder, &original.source).display().to_string();
        frame.source = original.text.and_then(|text| around(text, original.line)).map(Box::new);
        (frame.line, frame.column) = (Some(original.line), None);
        frame.file = Some(path);
        Some(())
    }

    fn quote(&mut self, frame: &mut Frame) {
        if let (Some(file), Some(line)) = (&frame.file, frame.line) {
            frame.source = self.known(file).text.as_ref().and_then(|text| around(text, line)).map(Box::new);
        }
    }

    fn known(&mut self, path: &str) -> &Known {
        if !self.files.contains_key(path) {
            if self.files.len() >= MOST_FILES || self.held >= MOST_HELD {
                self.files.clear();
                self.held = 0;
            }
            let reader = self.root.as_ref().zip(self.user).map(|(root, user)| Reader { root, user });
            let known = reader.map(|reader| Known::read(&reader, Path::new(path))).unwrap_or_default();
            self.held += known.bytes();
            self.files.insert(path.to_owned(), known);
        }
        self.files.entry(path.to_owned()).or_default()
    }
}

impl Known {
    fn bytes(&self) -> usize {
        let text = self.text.as_ref().map_or(0, String::len);
        text + self.map.as_ref().map_or(0, |(_, map)| map.bytes())
    }

    fn read(reader: &Reader, path: &Path) -> Self {
        let Some(text) = reader.read(path, &KINDS) else { return Self::default() };
        let map = Self::map(reader, path, &text);
        Self { map, text: Some(text).filter(|text| text.len() <= LARGEST) }
    }

    fn map(reader: &Reader, path: &Path, text: &str) -> Option<(PathBuf, SourceMap)> {
        let folder = path.parent()?;
        match source_map::link(text)? {
            Link::Inline(map) => Some((folder.to_owned(), map)),
            Link::File(name) => {
                let path = source_map::resolve(folder, name);
                let map = SourceMap::parse(reader.read(&path, &["map"])?.as_bytes())?;
                Some((path.parent()?.to_owned(), map))
            }
        }
    }
}

/// The process belongs to its effective user (proc(5)).
fn user(process: &Process) -> Option<u32> {
    Some(std::fs::metadata(format!("/proc/{}", process.pid)).ok()?.uid())
}

/// What the process itself may read.
struct Reader<'a> {
    root: &'a RootFolder,
    user: u32,
}

impl Reader<'_> {
    fn read(&self, path: &Path, kinds: &[&str]) -> Option<String> {
        let kind = path.extension()?.to_str()?;
        if !path.is_absolute() || !kinds.contains(&kind) {
            return None;
        }
        let file = self.root.open(path).ok()?;
        let found = file.metadata().ok()?;
        let mode = found.permissions().mode();
        let may_read = mode & 0o004 != 0 || (mode & 0o400 != 0 && found.uid() == self.user);
        if !may_read || found.len() > LARGEST_BUNDLE {
            return None;
        }
        let mut text = String::new();
        file.take(LARGEST_BUNDLE).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

fn around(text: &str, line: u32) -> Option<Source> {
    let at = usize::try_from(line).ok()?.checked_sub(1)?;
    let first = at.saturating_sub(AROUND);
    let mut lines = text.lines().skip(first).map(cut);
    let before = lines.by_ref().take(at - first).collect();
    let line = lines.next()?;
    Some(Source { before, line, after: lines.take(AROUND).collect() })
}

fn cut(line: &str) -> String {
    line.get(..line.floor_char_boundary(LONGEST_LINE)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Proc;

    fn quoted(path: &Path, line: u32) -> Option<Source> {
        let process = Proc::default().process(std::process::id()).expect("this process");
        let mut thrown = thrown(path, line, None);
        Sources::of(&process).trace(&mut thrown);
        thrown.frames[0].source.take().map(|source| *source)
    }

    fn thrown(path: &Path, line: u32, column: Option<u32>) -> Thrown {
        let frame = Frame { file: Some(path.display().to_string()), line: Some(line), column, ..Frame::default() };
        Thrown { frames: vec![frame], ..Thrown::default() }
    }

    #[test]
    fn lines_stand_around_the_frame_s() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shop.js");
        std::fs::write(&path, format!("one\ntwo\nthree\nfour\n{}", "ä".repeat(400))).expect("written");
        let of = |line| quoted(&path, line).map(|source| (source.before.len(), source.line, source.after.len()));
        assert_eq!(of(1), Some((0, "one".into(), 2)));
        assert_eq!(of(3), Some((2, "three".into(), 2)));
        assert_eq!(of(5), Some((2, "ä".repeat(150), 0)));
        assert_eq!((of(0), of(6)), (None, None));
    }

    #[test]
    fn a_process_that_has_ended_is_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shop.js");
        std::fs::write(&path, "one\n").expect("written");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a child");
        let process = Proc::default().process(child.id()).expect("the child");
        let mut sources = Sources::of(&process);
        child.kill().expect("killed");
        child.wait().expect("waited for");
        let mut thrown = thrown(&path, 1, None);
        sources.trace(&mut thrown);
        assert_eq!(thrown.frames[0].source.as_ref().map(|source| source.line.as_str()), Some("one"));
    }

    #[test]
    fn a_made_file_leads_back_to_its_source() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = folder.path().join("dist/shop.js");
        std::fs::create_dir(folder.path().join("dist")).expect("made");
        std::fs::write(&made, "a();b()\n//# sourceMappingURL=shop.js.map\n").expect("written");
        let map = r#"{"version":3,"sources":["../shop.ts"],"mappings":"AAAA,IACA"}"#;
        std::fs::write(folder.path().join("dist/shop.js.map"), map).expect("written");
        std::fs::write(folder.path().join("shop.ts"), "a()\nb()\n").expect("written");
        let process = Proc::default().process(std::process::id()).expect("this process");
        let mut thrown = thrown(&made, 1, Some(5));
        Sources::of(&process).trace(&mut thrown);
        let frame = &thrown.frames[0];
        assert_eq!(frame.file.as_deref(), folder.path().join("shop.ts").to_str());
        assert_eq!((frame.line, frame.source.as_ref().map(|source| source.line.as_str())), (Some(2), Some("b()")));
        assert!(thrown.culprit.is_some_and(|culprit| culprit.contains("shop.ts")));
    }

    #[test]
    fn what_is_no_source_is_not_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("written");
            path
        };
        assert_eq!(quoted(&write("secret.txt", b"one\n"), 1), None, "it holds no JavaScript");
        assert_eq!(quoted(&write("bytes.js", &[0xff, 0xfe]), 1), None, "it is no text");
        assert_eq!(quoted(Path::new("shop.js"), 1), None, "it is nowhere");
        assert_eq!(quoted(&folder.path().join("none.js"), 1), None);
        let hidden = write("hidden.js", b"one\n");
        std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o000)).expect("set");
        assert_eq!(quoted(&hidden, 1), None, "the process itself may not read it");
    }
}
