//! The documents in a file, as lines APM Server would take.
//!
//! The lines are streams put end to end: a metadata line says whose the lines after it are, up to the next metadata
//! line, so that the file can be sent to a server piece by piece. Every file begins with one, also after rotation.
//! When `path` has reached its size it becomes `path.1`, what was `path.1` becomes `path.2`, and so on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Output, OutputError};
use crate::{
    build::Document,
    intake::{self, Gates},
    metadata::ServiceInstance,
};

/// Lines wait for company up to this many bytes in all.
const WAITING_BYTES: usize = 256 * 1024;

/// Writes to a file.
pub struct FileOutput {
    path: PathBuf,
    rotate_size: u64,
    keep: u32,
    file: File,
    /// Bytes in the file.
    size: u64,
    /// Whose lines came last; `None` at the beginning of a file.
    last: Option<Arc<ServiceInstance>>,
    /// Lines not written yet, by instance, with their number.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    written: u64,
    too_large: u64,
    failed: u64,
    told: bool,
}

struct Waiting {
    instance: Arc<ServiceInstance>,
    lines: Vec<u8>,
    events: u64,
}

impl FileOutput {
    /// Appends to the file at `path`, or makes it. `rotate_size` 0: it grows without end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(path: &Path, rotate_size: u64, keep: u32) -> Result<Self, OutputError> {
        let unwritable = |cause| OutputError::File { path: path.to_owned(), cause };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(unwritable)?;
        let size = file.metadata().map_err(unwritable)?.len();
        Ok(Self {
            path: path.to_owned(),
            rotate_size,
            keep,
            file,
            size,
            last: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            written: 0,
            too_large: 0,
            failed: 0,
            told: false,
        })
    }

    fn flush(&mut self) {
        self.waiting_bytes = 0;
        for waiting in std::mem::take(&mut self.waiting) {
            match self.write(&waiting) {
                Ok(()) => self.written += waiting.events,
                Err(error) => self.fail(&error, waiting.events),
            }
        }
    }

    fn write(&mut self, waiting: &Waiting) -> io::Result<()> {
        if self.rotate_size > 0 && self.size >= self.rotate_size {
            self.rotate()?;
        }
        let mut bytes = Vec::with_capacity(waiting.lines.len() + 1024);
        if self.last.as_ref() != Some(&waiting.instance) {
            intake::write_metadata(&waiting.instance, Gates::default(), &mut bytes).map_err(io::Error::other)?;
        }
        bytes.extend_from_slice(&waiting.lines);
        // Whether the write succeeds or not, what the file ends with is known only when it did.
        self.last = None;
        self.file.write_all(&bytes)?;
        self.size += bytes.len() as u64;
        self.last = Some(Arc::clone(&waiting.instance));
        Ok(())
    }

    /// Moves the files one number up; the last one is overwritten, or dropped at once when none is kept.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            let older = self.numbered(number);
            if older.exists() {
                fs::rename(&older, self.numbered(number + 1))?;
            }
        }
        match self.keep {
            0 => fs::remove_file(&self.path)?,
            _ => fs::rename(&self.path, self.numbered(1))?,
        }
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.size = 0;
        self.last = None;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn fail(&mut self, error: &io::Error, events: u64) {
        self.failed += events;
        if !self.told {
            self.told = true;
            let path = self.path.display();
            tracing::warn!(
                "Documents cannot be written to `{path}` ({error}) and are lost, but counted. Check the disk."
            );
        }
    }
}

impl Output for FileOutput {
    fn publish(&mut self, instance: &Arc<ServiceInstance>, document: &Document) {
        let same = |waiting: &Waiting| Arc::ptr_eq(&waiting.instance, instance) || waiting.instance == *instance;
        let at = self.waiting.iter().position(same).unwrap_or_else(|| {
            self.waiting.push(Waiting { instance: Arc::clone(instance), lines: Vec::new(), events: 0 });
            self.waiting.len() - 1
        });
        let Some(waiting) = self.waiting.get_mut(at) else { return };
        let before = waiting.lines.len();
        if intake::write_document(document, &mut waiting.lines).is_err() {
            self.too_large += 1;
            return;
        }
        waiting.events += 1;
        self.waiting_bytes += waiting.lines.len() - before;
        if self.waiting_bytes >= WAITING_BYTES {
            self.flush();
        }
    }

    fn tick(&mut self) {
        self.flush();
    }

    fn finish(&mut self) {
        self.flush();
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("send.file.events.written", self.written),
            ("send.file.events.dropped.too_large", self.too_large),
            ("send.file.events.dropped.write_failed", self.failed),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::sample, intake::schema};

    fn instance(name: &str) -> Arc<ServiceInstance> {
        Arc::new(ServiceInstance { name: name.into(), ..ServiceInstance::default() })
    }

    fn document() -> Document {
        Document::Span(sample::span(7))
    }

    /// `shop` for a metadata line of that service, `span` for a span.
    fn kinds(path: &Path) -> Vec<String> {
        let content = fs::read(path).unwrap();
        let lines = content.split_inclusive(|byte| *byte == b'\n').map(schema::check);
        lines.map(|(kind, value)| value["service"]["name"].as_str().map_or(kind, str::to_owned)).collect()
    }

    #[test]
    fn groups_lines_by_instance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let mut output = FileOutput::new(&path, 0, 0).unwrap();
        let (a, b) = (instance("a"), instance("b"));
        for instance in [&a, &b, &a] {
            output.publish(instance, &document());
        }
        assert_eq!(kinds(&path), [""; 0]);
        output.tick();
        assert_eq!(kinds(&path), ["a", "span", "span", "b", "span"]);
        output.publish(&b, &document());
        output.publish(&instance("a"), &document());
        output.finish();
        assert_eq!(kinds(&path)[5..], ["span", "a", "span"]);
        assert_eq!(output.counters()[0], ("send.file.events.written", 5));
    }

    #[test]
    fn rotates_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let mut output = FileOutput::new(&path, 1, 2).unwrap();
        for name in ["a", "b", "c", "d"] {
            output.publish(&instance(name), &document());
            output.tick();
        }
        let name = |number: &str| kinds(&folder.path().join(format!("out.ndjson{number}")))[0].clone();
        assert_eq!([name(""), name(".1"), name(".2")], ["d", "c", "b"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let mut none_kept = FileOutput::new(&path, 1, 0).unwrap();
        none_kept.publish(&instance("e"), &document());
        none_kept.tick();
        assert_eq!(kinds(&path), ["e", "span"]);
    }

    #[test]
    fn appends_with_metadata_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        for _ in 0..2 {
            let mut output = FileOutput::new(&path, 1_000_000, 1).unwrap();
            output.publish(&instance("a"), &document());
            output.finish();
        }
        assert_eq!(kinds(&path), ["a", "span", "a", "span"]);
    }

    #[test]
    fn counts_what_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(FileOutput::new(folder.path(), 0, 0), Err(OutputError::File { .. })));
        let mut output = FileOutput::new(Path::new("/dev/full"), 0, 0).unwrap();
        output.publish(&instance("a"), &document());
        output.tick();
        assert_eq!(output.counters()[2], ("send.file.events.dropped.write_failed", 1));
    }
}
