//! Source lines around the frames of a stack, from the files the process has loaded, as far as they can be read.
//!
//! The stack is the program's word: only files it may read itself are quoted, and only such as hold JavaScript.

use std::{
    collections::HashMap,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use crate::{
    bridge::{Frame, Source},
    process::{Process, RootFolder},
};

/// Lines before and after the frame's own: five together, as Elastic's agent has it.
const AROUND: usize = 2;

/// Most bytes of a line: what is longer has been made by a program.
const LONGEST_LINE: usize = 300;

/// Most bytes of a file, most files that are kept, and most frames of one stack that are looked up.
const LARGEST: u64 = 1 << 20;
const MOST_FILES: usize = 32;
const MOST_FRAMES: usize = 50;

/// Names of what holds source.
const KINDS: [&str; 8] = ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx"];

/// The sources of one process.
pub(super) struct Sources<'a> {
    process: &'a Process,
    /// Held, for a process that dies of an error is gone when that is told.
    root: Option<RootFolder>,
    /// Its effective user when it was last seen.
    user: Option<u32>,
    /// Files by their paths; `None`: it cannot be read, or is none.
    files: HashMap<String, Option<String>>,
}

impl<'a> Sources<'a> {
    pub fn of(process: &'a Process) -> Self {
        Self { process, root: process.root_folder().ok(), user: user(process), files: HashMap::new() }
    }

    /// Puts the lines to the frames whose files can be read.
    pub fn quote(&mut self, frames: &mut [Frame]) {
        for frame in frames.iter_mut().take(MOST_FRAMES) {
            let (Some(file), Some(line)) = (&frame.file, frame.line) else { continue };
            frame.source = self.text(file).and_then(|text| around(text, line)).map(Box::new);
        }
    }

    fn text(&mut self, path: &str) -> Option<&str> {
        if self.files.len() >= MOST_FILES && !self.files.contains_key(path) {
            self.files.clear();
        }
        self.user = user(self.process).or(self.user);
        let read = || read(self.root.as_ref()?, self.user?, Path::new(path));
        self.files.entry(path.to_owned()).or_insert_with(read).as_deref()
    }
}

/// The process belongs to its effective user (proc(5)).
fn user(process: &Process) -> Option<u32> {
    Some(std::fs::metadata(format!("/proc/{}", process.pid)).ok()?.uid())
}

fn read(root: &RootFolder, user: u32, path: &Path) -> Option<String> {
    let kind = path.extension()?.to_str()?;
    if !path.is_absolute() || !KINDS.contains(&kind) {
        return None;
    }
    let file = root.open(path).ok()?;
    let found = file.metadata().ok()?;
    let mode = found.permissions().mode();
    let may_read = mode & 0o004 != 0 || (mode & 0o400 != 0 && found.uid() == user);
    if !may_read || found.len() > LARGEST {
        return None;
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    Some(text)
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
        let mut frames = [Frame { file: Some(path.display().to_string()), line: Some(line), ..Frame::default() }];
        Sources::of(&process).quote(&mut frames);
        frames[0].source.take().map(|source| *source)
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
        let mut frames = [Frame { file: Some(path.display().to_string()), line: Some(1), ..Frame::default() }];
        sources.quote(&mut frames);
        assert_eq!(frames[0].source.as_ref().map(|source| source.line.as_str()), Some("one"));
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
