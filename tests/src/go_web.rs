//! The Go service in `tests/apps/go-web`: net/http with PostgreSQL, each route calling in another way.

use std::{io::Write as _, path::PathBuf, process::Command, thread, time::Duration};

use anyhow::{Result, ensure};

use crate::{child::Child, http, place, postgres::Postgres, programs::Program, watch::Watch};

/// How the service is built. Always stripped, and without paths of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// At the address in the file.
    #[default]
    Fixed,
    /// At any address.
    Pie,
    /// By another version of Go, such as `go1.22.12`.
    Version(&'static str),
}

/// The driver behind `database/sql`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// github.com/lib/pq
    #[default]
    Pq,
    /// github.com/jackc/pgx/v5/stdlib
    Pgx,
}

/// Starts the service.
///
/// # Errors
/// If it does not build or start.
pub fn start(build: Build, driver: Driver, database: &Postgres) -> Result<Program> {
    let port = http::free_port()?;
    let mut command = Command::new(compile(build)?);
    let driver = match driver {
        Driver::Pq => "postgres",
        Driver::Pgx => "pgx",
    };
    command.env("DATABASE_URL", database.connection_string()).env("DRIVER", driver).env("PORT", port.to_string());
    let mut program = Program::run("go-web", &command, &[], port)?;
    program.wait_until_open()?;
    Ok(program)
}

/// Watches the service, and waits until its probes are set.
///
/// # Errors
/// If agent or decoder do not start, or no probes are set.
pub fn watch(program: &Program, arguments: &[&str]) -> Result<Watch> {
    let pid = program.pid().to_string();
    let mut watch = Watch::start(&[&["--pid", &pid, "--span-compression-enabled=false"], arguments].concat())?;
    watch.agent().wait_for_line("Go's probes are set")?;
    Ok(watch)
}

/// The version's tool chain is there, or can be fetched; says by name when it cannot.
pub fn has_version(version: &str) -> bool {
    let output =
        Command::new("go").current_dir(place::app("go-web")).env("GOTOOLCHAIN", version).arg("version").output();
    let is_there = output.is_ok_and(|output| output.status.success());
    if !is_there {
        let name = thread::current().name().unwrap_or("a test").to_owned();
        // Written past libtest's capture, so that nothing is skipped silently.
        let _ = writeln!(std::io::stderr(), "skipped: {name}: it needs Go's tool chain {version}");
    }
    is_there
}

fn compile(build: Build) -> Result<PathBuf> {
    let (name, mode, version) = match build {
        Build::Fixed => ("go-web".to_owned(), "exe", "local"),
        Build::Pie => ("go-web-pie".to_owned(), "pie", "local"),
        Build::Version(version) => (format!("go-web-{version}"), "exe", version),
    };
    let program = place::build()?.join(name);
    let mut command = Command::new("go");
    command.current_dir(place::app("go-web")).env("GOTOOLCHAIN", version).args([
        "build",
        "-trimpath",
        "-ldflags=-s -w",
        "-buildmode",
        mode,
        "-o",
    ]);
    let mut child = Child::start("go build", command.arg(&program).arg("."))?;
    let status = child.wait_for_end(Duration::from_secs(300))?;
    ensure!(status.success(), "{} does not build:\n{}", program.display(), child.output());
    Ok(program)
}
