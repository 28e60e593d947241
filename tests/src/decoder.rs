//! Elastic's own decoder (`tests/apm-server`, a Go program on top of apm-data): what it refuses, APM Server refuses.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{child::Child, documents::Documents, http, place, wait};

/// A running decoder.
#[derive(Debug)]
pub struct Decoder {
    child: Child,
    address: String,
    folder: TempDir,
}

impl Decoder {
    /// Starts a decoder that accepts everything valid.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts a decoder with extra flags, such as `-status 503`.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn start_with(flags: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut command = Command::new(program()?);
        command.arg("-out").arg(folder.path().join("documents")).args(flags);
        let mut child = Child::start("tests/apm-server", &mut command)?;
        let line = child.wait_for_line("listening on", wait::PATIENCE)?;
        let address = line.rsplit(' ').next().context("the decoder says where it listens")?.to_owned();
        Ok(Self { child, address, folder })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Base URL, for `--server-url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Documents decoded so far.
    ///
    /// # Errors
    /// If events were refused, or the file cannot be read.
    pub fn documents(&self) -> Result<Documents> {
        if let Some(complaint) = self.complaint()? {
            bail!("Elastic's decoder refused events: {complaint}");
        }
        Documents::read(&self.folder.path().join("documents"))
    }

    /// Sends an NDJSON file the agent has written, and returns its documents.
    ///
    /// # Errors
    /// If the decoder refuses anything of it.
    pub fn decode(&self, file: &Path) -> Result<Documents> {
        let before = self.documents()?.len();
        let body = fs::read(file).with_context(|| format!("the agent wrote no {}", file.display()))?;
        for stream in streams(&body) {
            let answer = http::post(&self.address, "/intake/v2/events", "application/x-ndjson", stream)?;
            ensure!(answer.status == 202, "the decoder answered {}: {}", answer.status, answer.text());
        }
        Ok(self.documents()?.skip(before))
    }

    /// What the decoder has printed.
    pub fn output(&self) -> String {
        self.child.output()
    }

    /// What the decoder counted, when it refused anything that it decoded.
    fn complaint(&self) -> Result<Option<String>> {
        let answer = http::get(self.port()?, "/stats")?;
        let counts: Value = serde_json::from_slice(&answer.body).context("the decoder's counts are JSON")?;
        let count =
            |name: &str| counts.get(name).and_then(Value::as_u64).with_context(|| format!("no `{name}`: {counts}"));
        Ok((count("invalid")? + count("too_large")? > 0).then(|| counts.to_string()))
    }

    fn port(&self) -> Result<u16> {
        let port = self.address.rsplit(':').next().context("an address has a port")?;
        Ok(port.parse()?)
    }
}

/// A file holds one stream per metadata line, one after the other; a request may hold one only.
fn streams(body: &[u8]) -> Vec<&[u8]> {
    let mut streams = Vec::new();
    let mut start = 0;
    let mut position = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"{\"metadata\"") && position > start {
            streams.extend(body.get(start..position));
            start = position;
        }
        position += line.len();
    }
    streams.extend(body.get(start..).filter(|rest| !rest.is_empty()));
    streams
}

/// The decoder's binary: `$APM_SERVER`, else built once per process (Go keeps what it has built).
fn program() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(path) = std::env::var_os("APM_SERVER") {
        return Ok(PathBuf::from(path));
    }
    BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

/// Builds the decoder with Go.
///
/// # Errors
/// If Go is missing or the build fails.
pub fn build() -> Result<PathBuf> {
    let path = place::build()?.join("apm-server");
    let mut command = Command::new("go");
    command.current_dir(place::root().join("tests/apm-server")).args(["build", "-o"]).arg(&path).arg(".");
    let mut child = Child::start("go build", &mut command)?;
    let status = child.wait_for_end(Duration::from_secs(900))?;
    ensure!(status.success(), "tests/apm-server does not build:\n{}", child.output());
    Ok(path)
}
