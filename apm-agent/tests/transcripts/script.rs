//! Reads a transcript: what passed on one connection, in order. The format is described in `README.md`.

use apm_agent::exchange::{Side, Stamp};
use apm_agent::protocol::Join;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A transcript, read.
pub struct Script {
    /// File name without `.txt`.
    pub name: String,
    /// Whether the parser sees the connection from its first byte.
    pub join: Join,
    /// The client pipelines: joined late, nothing tells which answer belongs to which question.
    pub pipelined: bool,
    /// What passed.
    pub steps: Vec<Step>,
}

/// One thing that happened on the connection.
#[derive(Clone, Debug)]
pub struct Step {
    /// When; the mark is the step's number.
    pub at: Stamp,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Bytes passed.
    Feed { from: Side, bytes: Vec<u8> },
    /// Bytes passed unseen.
    Gap { from: Side, length: u64 },
    /// A side closed, or the connection failed.
    Close { by: Option<Side> },
}

impl Script {
    /// All bytes a side sends before the first gap.
    pub fn stream_of(&self, side: Side) -> Vec<u8> {
        let mut stream = Vec::new();
        for step in &self.steps {
            match &step.event {
                Event::Feed { from, bytes } if *from == side => stream.extend_from_slice(bytes),
                Event::Gap { from, .. } if *from == side => break,
                _ => {}
            }
        }
        stream
    }

    /// Every step is a feed or a close.
    pub fn is_gapless(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step.event, Event::Gap { .. }))
    }

    /// Stamp for what happens after the last step.
    pub fn end(&self) -> Stamp {
        let time = self.steps.last().map_or(0, |step| step.at.time);
        Stamp { time, mark: self.steps.len() as u64 }
    }
}

/// The folder of all transcripts.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

/// All transcripts of a protocol, by name.
pub fn scripts(protocol: &str) -> Vec<Script> {
    let Ok(entries) = std::fs::read_dir(folder().join(protocol)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths.iter().map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Script {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    read(name, &text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Reads the text of a transcript.
pub fn read(name: String, text: &str) -> Result<Script, String> {
    let mut script = Script { name, join: Join::Start, pipelined: false, steps: Vec::new() };
    for (index, line) in text.lines().enumerate() {
        read_line(&mut script, line).map_err(|fault| format!("line {}: {fault}: {line}", index + 1))?;
    }
    Ok(script)
}

fn read_line(script: &mut Script, line: &str) -> Result<(), String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "" | "#" => return Ok(()),
        "join" if rest == "late" => script.join = Join::Late,
        "pipelined" => script.pipelined = true,
        ">" | "<" => {
            let (time, text) = rest.split_once(' ').unwrap_or((rest, ""));
            push(script, time, Event::Feed { from: read_side(word)?, bytes: unescape(text)? })?;
        }
        "|" => last_bytes(script)?.extend(unescape(rest)?),
        "*" => {
            let (count, text) = rest.split_once(' ').ok_or("wants `* <count> <text>`")?;
            let count: usize = count.parse().map_err(|_| "the count is no number")?;
            last_bytes(script)?.extend(unescape(text)?.repeat(count));
        }
        "gap" => {
            let fields: Vec<&str> = rest.split(' ').collect();
            let [side, time, length] = fields[..] else { return Err("wants `gap <side> <time> <bytes>`".into()) };
            let length = length.parse().map_err(|_| "the length is no number")?;
            push(script, time, Event::Gap { from: read_side(side)?, length })?;
        }
        "close" => {
            let (side, time) = rest.split_once(' ').ok_or("wants `close <side> <time>`")?;
            let by = if side == "?" { None } else { Some(read_side(side)?) };
            push(script, time, Event::Close { by })?;
        }
        _ => return Err("unknown line".into()),
    }
    Ok(())
}

fn read_side(word: &str) -> Result<Side, String> {
    match word {
        ">" => Ok(Side::Client),
        "<" => Ok(Side::Server),
        _ => Err(format!("`{word}` is no side: use `>` for the client, `<` for the server")),
    }
}

fn push(script: &mut Script, time: &str, event: Event) -> Result<(), String> {
    let micros: u64 = time.parse().map_err(|_| "the time is no number of microseconds")?;
    let at = Stamp { time: micros * 1000, mark: script.steps.len() as u64 };
    script.steps.push(Step { at, event });
    Ok(())
}

fn last_bytes(script: &mut Script) -> Result<&mut Vec<u8>, String> {
    match script.steps.last_mut() {
        Some(Step { event: Event::Feed { bytes, .. }, .. }) => Ok(bytes),
        _ => Err("continues no chunk".into()),
    }
}

/// `\r`, `\n`, `\t`, `\\` and `\xNN`; everything else stands for itself.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes().first() {
            Some(b'r') => (b'\r', 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => {
                let digits = after.get(1..3).ok_or("`\\x` wants two digits")?;
                (u8::from_str_radix(digits, 16).map_err(|_| "`\\x` wants two digits")?, 3)
            }
            _ => return Err("unknown escape".into()),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Writes steps in the transcript format, for messages of failed tests.
pub fn write(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let micros = step.at.time / 1000;
        let sign = |side: Side| if side == Side::Client { '>' } else { '<' };
        let _ = match &step.event {
            Event::Feed { from, bytes } => writeln!(text, "{} {micros} {}", sign(*from), bytes.escape_ascii()),
            Event::Gap { from, length } => writeln!(text, "gap {} {micros} {length}", sign(*from)),
            Event::Close { by } => writeln!(text, "close {} {micros}", by.map_or('?', sign)),
        };
    }
    text
}

#[test]
fn a_transcript_is_read_as_described() {
    let text = "# comment\n\njoin late\n> 10 a\\r\\n\\x00\\\\\n| b\n* 3 xy\ngap < 20 500\nclose ? 30\n";
    let script = read("test".into(), text).unwrap();
    assert_eq!(script.join, Join::Late);
    assert_eq!(write(&script.steps), "> 10 a\\r\\n\\x00\\\\bxyxyxy\ngap < 20 500\nclose ? 30\n");
    assert_eq!(script.steps[1].at, Stamp { time: 20_000, mark: 1 });
}

#[test]
fn a_wrong_line_is_refused() {
    for line in ["| a", "> x", "> 1 \\q", "gap > 1", "close = 1", "nonsense", "> 1 \\x4"] {
        assert!(read("test".into(), line).is_err(), "{line}");
    }
}
