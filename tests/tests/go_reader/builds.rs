//! Builds of `tests/apps/go-reader` by several versions of Go.

use std::{io::Write as _, path::PathBuf, process::Command, thread, time::Duration};

use anyhow::{Result, ensure};
use apm_tests::{child::Child, place, turn};

/// The version that `go` itself is, and those that it fetches as modules where it can. `$APM_GO_VERSIONS` replaces the
/// list.
const VERSIONS: &str = "local go1.19.13 go1.22.12 go1.24.4";

/// A tool chain.
#[derive(Clone, Debug)]
pub struct Toolchain(String);

/// How the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// With symbols and DWARF.
    Whole,
    /// Without both.
    Stripped,
    /// Position-independent, without both, and without paths.
    Pie,
    /// With both, for arm64.
    Arm64,
}

/// The tool chains that this machine has or can fetch; says by name which it has not.
pub fn toolchains() -> Vec<Toolchain> {
    if !turn::can_run(&[turn::Need::Program("go")]) {
        return Vec::new();
    }
    let versions = std::env::var("APM_GO_VERSIONS").unwrap_or_else(|_| VERSIONS.to_owned());
    let all = versions.split_whitespace().map(|name| Toolchain(name.to_owned()));
    all.filter(Toolchain::is_there).collect()
}

impl Toolchain {
    /// Name, such as `go1.22.12`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// True for versions whose functions begin with `push rbp` (1.21 on).
    pub fn pushes(&self) -> bool {
        !["go1.17", "go1.18", "go1.19", "go1.20"].iter().any(|old| self.0.starts_with(old))
    }

    fn command(&self) -> Command {
        let mut command = Command::new("go");
        command.current_dir(place::app("go-reader")).env("GOTOOLCHAIN", &self.0).env("CGO_ENABLED", "0");
        command
    }

    fn is_there(&self) -> bool {
        let output = self.command().arg("version").output();
        let is_there = output.is_ok_and(|output| output.status.success());
        if !is_there {
            let name = thread::current().name().unwrap_or("a test").to_owned();
            // Written past libtest's capture, so that nothing is skipped silently.
            let _ = writeln!(std::io::stderr(), "skipped: {name}: it needs Go's tool chain {}", self.0);
        }
        is_there
    }

    /// Builds the program.
    ///
    /// # Errors
    /// If it does not build.
    pub fn build(&self, build: Build) -> Result<PathBuf> {
        let program = place::build()?.join(format!("go-reader-{}-{build:?}", self.0).to_lowercase());
        let mut command = self.command();
        command.args(["build", "-o"]).arg(&program);
        match build {
            Build::Whole => command.arg("-ldflags=-compressdwarf=false"),
            Build::Stripped => command.arg("-ldflags=-s -w"),
            Build::Pie => command.args(["-buildmode=pie", "-trimpath", "-ldflags=-s -w"]),
            Build::Arm64 => command.env("GOARCH", "arm64").arg("-ldflags=-compressdwarf=false"),
        };
        let mut child = Child::start("go", command.arg("."))?;
        let status = child.wait_for_end(Duration::from_secs(600))?;
        ensure!(status.success(), "{} does not build:\n{}", program.display(), child.output());
        Ok(program)
    }
}
