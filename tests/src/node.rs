//! Every major of Node.js, and scenarios that run in them with our script inside (`tests/apps/node-script`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{child::Child, decoder::Decoder, place};

/// Longest time a scenario may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A major of Node.js.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Major(pub u32);

impl Major {
    /// Every major that is supported.
    pub const ALL: [Major; 5] = [Major(18), Major(20), Major(22), Major(24), Major(26)];

    /// Majors that are tried, each with a set of libraries: an old one with old libraries and a new one with new ones. With
    /// `APM_NODE_MAJORS=all` every one with every set that runs in it.
    pub fn tried() -> Vec<(Major, Libraries)> {
        if std::env::var_os("APM_NODE_MAJORS").is_none_or(|wanted| wanted != "all") {
            return vec![(Major(18), Libraries::Older), (Major(24), Libraries::Newer)];
        }
        let sets = [(18, Libraries::Older), (20, Libraries::Newer), (22, Libraries::Newest)];
        let since =
            |(least, set)| Major::ALL.into_iter().filter(move |major| major.0 >= least).map(move |major| (major, set));
        sets.into_iter().flat_map(since).collect()
    }

    /// Its program.
    pub fn program(self) -> PathBuf {
        place::node().join(format!("majors/node_modules/v{}/bin/node", self.0))
    }
}

/// Has Elastic's own agent in a program from its beginning, which looks for no cloud and sends to this decoder. Its options
/// are for node, so they come before the program's script.
pub fn with_elastic(command: &mut Command, decoder: &Decoder) {
    command.arg("--require").arg(place::node().join("elastic/node_modules/elastic-apm-node/start.js"));
    command.env("ELASTIC_APM_SERVER_URL", decoder.url());
    command.env("ELASTIC_APM_CLOUD_PROVIDER", "none").env("ELASTIC_APM_CENTRAL_CONFIG", "false");
}

/// A set of libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libraries {
    /// The majors before the newest.
    Older,
    /// The newest majors; some need Node.js 20.
    Newer,
    /// Still newer majors of a few.
    Newest,
    /// The older ones in one file, as programs are often shipped.
    BundledOlder,
    /// The newer ones in one file.
    BundledNewer,
}

impl Libraries {
    /// Where `require` finds them.
    pub fn modules(self) -> PathBuf {
        self.folder().join("node_modules")
    }

    /// Where it finds all it needs (`NODE_PATH`): of the newest there are few, beside the newer ones.
    pub fn search_path(self) -> String {
        let folders = match self {
            Libraries::Newest => vec![self, Libraries::Newer],
            _ => vec![self],
        };
        folders.iter().map(|set| set.modules().display().to_string()).collect::<Vec<_>>().join(":")
    }

    /// Are they the majors before the newest?
    pub fn are_older(self) -> bool {
        matches!(self, Libraries::Older | Libraries::BundledOlder)
    }

    /// Are they in one file?
    pub fn are_bundled(self) -> bool {
        matches!(self, Libraries::BundledOlder | Libraries::BundledNewer)
    }

    fn folder(self) -> PathBuf {
        place::node().join(match self {
            Libraries::Older | Libraries::BundledOlder => "older",
            Libraries::Newer | Libraries::BundledNewer => "newer",
            Libraries::Newest => "newest",
        })
    }
}

/// Puts a script and all the libraries it needs into one file.
///
/// # Errors
/// If the bundler (esbuild) fails.
pub fn bundle_into(bundle: &Path, script: &Path, libraries: Libraries, options: &[&str]) -> Result<()> {
    let mut bundler = Command::new(place::node().join("bundler/node_modules/@esbuild/linux-x64/bin/esbuild"));
    bundler.arg(script).args([
        "--bundle",
        "--minify",
        "--platform=node",
        "--external:pg-native",
        "--external:dtrace-provider",
        "--log-level=error",
    ]);
    bundler.args(options).arg(format!("--outfile={}", bundle.display())).env("NODE_PATH", libraries.modules());
    let bundled = bundler.output().context("esbuild runs")?;
    ensure!(bundled.status.success(), "esbuild failed: {}", String::from_utf8_lossy(&bundled.stderr));
    Ok(())
}

/// A scenario before it runs.
#[must_use]
#[derive(Debug)]
pub struct Scenario {
    name: String,
    command: Command,
    folder: TempDir,
}

/// What a scenario gave.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub output: String,
    /// Its result: the last line on standard output, if that is JSON.
    pub result: Value,
    /// What the script wrote, one batch after the other.
    pub records: Vec<u8>,
}

impl Scenario {
    /// The scenario in the file `name`.
    ///
    /// # Errors
    /// If there is no temporary folder for it, or its libraries cannot be bundled.
    pub fn new(name: &str, major: Major, libraries: Libraries) -> Result<Self> {
        let folder = TempDir::new()?;
        let app = place::app("node-script");
        let mut command = Command::new(major.program());
        command.arg(app.join("run.js")).arg(app.join(name));
        command.env("MODULES", libraries.folder()).env("OUTPUT", folder.path().join("records"));
        if libraries.are_bundled() {
            let bundle = folder.path().join("bundle.js");
            // mysql looks at names of classes.
            bundle_into(&bundle, &app.join("bundled.js"), libraries, &["--keep-names"])?;
            command.env("BUNDLE", bundle);
        }
        Ok(Self { name: format!("{name} on Node.js {}", major.0), command, folder })
    }

    /// Where the script is to write its records.
    pub fn output(&self) -> String {
        self.folder.path().join("records").display().to_string()
    }

    /// With this script; without one, the scenario is run as it is.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn expression(mut self, expression: &str) -> Result<Self> {
        let path = self.folder.path().join("expression.js");
        fs::write(&path, expression)?;
        self.command.env("EXPRESSION", path);
        Ok(self)
    }

    /// With an environment variable.
    pub fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.command.env(name, value.to_string());
        self
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// If it does not start or takes too long.
    pub fn run(mut self) -> Result<Ran> {
        let mut child = Child::start(&self.name, &mut self.command)?;
        let status = child.wait_for_end(LIMIT).with_context(|| child.output())?;
        let stdout = child.stdout();
        let result = stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        let records = fs::read(self.folder.path().join("records")).unwrap_or_default();
        Ok(Ran { status, output: child.output(), result, records })
    }

    /// Runs it to its good end.
    ///
    /// # Errors
    /// If it fails; with what it printed.
    pub fn succeed(self) -> Result<Ran> {
        let name = self.name.clone();
        let ran = self.run()?;
        ensure!(ran.status.success(), "{name} failed ({}):\n{}", ran.status, ran.output);
        if let Some(bugs) = ran.result.pointer("/status/bugs").and_then(Value::as_array) {
            ensure!(bugs.is_empty(), "{name}: errors of the script itself: {bugs:?}");
        }
        Ok(ran)
    }
}

/// Cuts what was written into batches: the length of each stands in its head.
///
/// # Errors
/// If the bytes are not whole batches.
pub fn batches(mut records: &[u8]) -> Result<Vec<&[u8]>> {
    let mut batches = Vec::new();
    while !records.is_empty() {
        let length = records.get(6..8).map(|length| 16 + usize::from(length[0]) + 256 * usize::from(length[1]));
        let Some((batch, rest)) = length.and_then(|length| records.split_at_checked(length)) else {
            bail!("the records end within a batch");
        };
        batches.push(batch);
        records = rest;
    }
    Ok(batches)
}
