//! Recordings of kernel events: written by `apm-agent record`, turned into documents by `apm-agent replay`.
//!
//! A header (magic, layout version, seed of the ids, wall clock), then frames: one byte of kind, four bytes of length,
//! the bytes. Numbers are in the byte order of the machine, like the events themselves.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
    sync::Arc,
};

use apm_common::ABI_VERSION;
use thiserror::Error;

use crate::{bridge::Message, clock::Clock, metadata::ServiceInstance};

const MAGIC: &[u8; 16] = b"apm-agent events";

const EVENT: u8 = 1;
const SERVICE: u8 = 2;
const CLOCK: u8 = 3;
const END: u8 = 4;
const SAID: u8 = 5;

/// No frame is longer; a longer one is not ours.
const LONGEST: u32 = 4 * 1024 * 1024;

/// Why a recording cannot be used.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// It cannot be opened, read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is not a recording of apm-agent")]
    NotARecording,
    /// It was made by an agent whose events are laid out otherwise.
    #[error("it was made with event layout {found}, this agent reads layout {ABI_VERSION}")]
    OtherLayout {
        /// Layout it was made with.
        found: u32,
    },
    /// It ends in the middle of a frame, or a frame makes no sense.
    #[error("it is damaged after {frames} frames")]
    Damaged {
        /// Whole frames before.
        frames: u64,
    },
}

/// One frame.
#[derive(Debug, PartialEq)]
pub enum Frame<'a> {
    /// A kernel event.
    Event(&'a [u8]),
    /// A process is watched as this service from here on.
    Service {
        /// The process.
        pid: u32,
        /// Its service.
        instance: Arc<ServiceInstance>,
    },
    /// The run time of a watched process said something.
    Said(Box<Message>),
    /// Wall time from here on.
    Clock(Clock),
    /// Watching ended at this kernel time.
    End {
        /// `CLOCK_MONOTONIC` nanoseconds.
        time: u64,
    },
}

/// Writes a recording.
pub struct Recorder {
    file: BufWriter<File>,
    /// The first error; nothing is written after it.
    failed: Option<io::Error>,
    bytes: u64,
}

impl Recorder {
    /// Begins a recording.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path, seed: u64, clock: Clock) -> Result<Self, RecordingError> {
        let mut file = BufWriter::with_capacity(256 * 1024, File::create(path)?);
        file.write_all(MAGIC)?;
        file.write_all(&ABI_VERSION.to_ne_bytes())?;
        file.write_all(&seed.to_ne_bytes())?;
        file.write_all(&clock.offset.to_ne_bytes())?;
        Ok(Self { file, failed: None, bytes: 0 })
    }

    /// Adds a kernel event.
    pub fn event(&mut self, record: &[u8]) {
        self.frame(EVENT, record);
    }

    /// Adds that a process is watched.
    pub fn service(&mut self, pid: u32, instance: &ServiceInstance) {
        match serde_json::to_vec(&(pid, instance)) {
            Ok(json) => self.frame(SERVICE, &json),
            Err(error) => self.failed = Some(error.into()),
        }
    }

    /// Adds what a run time said.
    pub fn said(&mut self, message: &Message) {
        match serde_json::to_vec(message) {
            Ok(json) => self.frame(SAID, &json),
            Err(error) => self.failed = Some(error.into()),
        }
    }

    /// Adds a new reading of the clocks.
    pub fn clock(&mut self, clock: Clock) {
        self.frame(CLOCK, &clock.offset.to_ne_bytes());
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// The first error of any write.
    pub fn finish(mut self, time: u64) -> Result<u64, RecordingError> {
        self.frame(END, &time.to_ne_bytes());
        match self.failed {
            Some(error) => Err(error.into()),
            None => {
                self.file.flush()?;
                Ok(self.bytes)
            }
        }
    }

    fn frame(&mut self, kind: u8, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let written = self
            .file
            .write_all(&[kind])
            .and_then(|()| self.file.write_all(&length.to_ne_bytes()))
            .and_then(|()| self.file.write_all(bytes));
        match written {
            Ok(()) => self.bytes += 5 + u64::from(length),
            Err(error) => self.failed = Some(error),
        }
    }
}

/// Reads a recording.
pub struct Replay<R = BufReader<File>> {
    source: R,
    /// Seed of the ids.
    pub seed: u64,
    /// Wall clock at the beginning.
    pub clock: Clock,
    frame: Vec<u8>,
    frames: u64,
}

impl Replay {
    /// Opens a recording.
    ///
    /// # Errors
    /// When it cannot be read, or is none that this agent understands.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Self::read(BufReader::with_capacity(256 * 1024, File::open(path)?))
    }
}

impl<R: Read> Replay<R> {
    /// Reads a recording from its first byte.
    ///
    /// # Errors
    /// When it cannot be read, or is none that this agent understands.
    pub fn read(mut source: R) -> Result<Self, RecordingError> {
        let mut head = [0; 36];
        source.read_exact(&mut head).map_err(|_| RecordingError::NotARecording)?;
        let (magic, rest) = head.split_first_chunk::<16>().ok_or(RecordingError::NotARecording)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(RecordingError::NotARecording)?;
        let (seed, rest) = rest.split_first_chunk::<8>().ok_or(RecordingError::NotARecording)?;
        let offset = rest.first_chunk::<8>().ok_or(RecordingError::NotARecording)?;
        if magic != MAGIC {
            return Err(RecordingError::NotARecording);
        }
        let found = u32::from_ne_bytes(*version);
        if found != ABI_VERSION {
            return Err(RecordingError::OtherLayout { found });
        }
        let clock = Clock { offset: i64::from_ne_bytes(*offset) };
        Ok(Self { source, seed: u64::from_ne_bytes(*seed), clock, frame: Vec::new(), frames: 0 })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// When the file ends in the middle of a frame, or a frame makes no sense.
    pub fn frame(&mut self) -> Result<Option<Frame<'_>>, RecordingError> {
        let mut head = [0; 5];
        let damaged = RecordingError::Damaged { frames: self.frames };
        match self.source.read(&mut head[..1])? {
            0 => return Ok(None),
            _ => self.source.read_exact(&mut head[1..]).map_err(|_| RecordingError::Damaged { frames: self.frames })?,
        }
        let [kind, length @ ..] = head;
        let length = u32::from_ne_bytes(length);
        if length > LONGEST {
            return Err(damaged);
        }
        self.frame.clear();
        let read = (&mut self.source).take(length.into()).read_to_end(&mut self.frame)?;
        if read != length as usize {
            return Err(damaged);
        }
        self.frames += 1;
        understand(kind, &self.frame).ok_or(damaged).map(Some)
    }
}

fn understand(kind: u8, bytes: &[u8]) -> Option<Frame<'_>> {
    Some(match kind {
        EVENT => Frame::Event(bytes),
        SERVICE => {
            let (pid, instance) = serde_json::from_slice(bytes).ok()?;
            Frame::Service { pid, instance: Arc::new(instance) }
        }
        SAID => Frame::Said(Box::new(serde_json::from_slice(bytes).ok()?)),
        CLOCK => Frame::Clock(Clock { offset: i64::from_ne_bytes(*bytes.first_chunk()?) }),
        END => Frame::End { time: u64::from_ne_bytes(*bytes.first_chunk()?) },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(folder: &tempfile::TempDir) -> std::path::PathBuf {
        let path = folder.path().join("events");
        let mut recorder = Recorder::create(&path, 7, Clock { offset: 42 }).expect("made");
        recorder.service(5, &ServiceInstance { name: "shop".into(), ..Default::default() });
        recorder.event(b"bytes");
        recorder.clock(Clock { offset: 43 });
        recorder.finish(99).expect("written");
        path
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut replay = Replay::open(&recorded(&folder)).expect("readable");
        assert_eq!((replay.seed, replay.clock.offset), (7, 42));
        assert!(matches!(replay.frame(), Ok(Some(Frame::Service { pid: 5, instance })) if instance.name == "shop"));
        assert!(matches!(replay.frame(), Ok(Some(Frame::Event(b"bytes")))));
        assert!(matches!(replay.frame(), Ok(Some(Frame::Clock(Clock { offset: 43 })))));
        assert!(matches!(replay.frame(), Ok(Some(Frame::End { time: 99 }))));
        assert!(matches!(replay.frame(), Ok(None)));
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = std::fs::read(recorded(&folder)).expect("readable");
        let path = folder.path().join("cut");
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("written");
            let Ok(mut replay) = Replay::open(&path) else {
                assert!(length < 36);
                continue;
            };
            while let Ok(Some(_)) = replay.frame() {}
        }
        std::fs::write(&path, b"something else altogether, long enough to be one").expect("written");
        assert!(matches!(Replay::open(&path), Err(RecordingError::NotARecording)));
    }
}
