//! Services that ask other databases than PostgreSQL, over connections that stay open: one in each language, with routes
//! by database.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    child::Child,
    http,
    node::{Libraries, Major},
    place,
    programs::Program,
    turn::Need,
};

/// Debian's Python, which has Debian's drivers.
const PYTHON: &str = "/usr/bin/python3";

/// In what the service is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A thread per connection.
    Python,
    /// Express, with these libraries.
    Node(Major, Libraries),
    /// net/http
    Go,
}

impl Language {
    /// What it needs of the machine; `driver` is Debian's package in Python.
    pub fn needs(self, driver: &'static str) -> Vec<Need> {
        match self {
            Language::Python => vec![Need::File(driver)],
            Language::Node(..) => vec![Need::NodeMajors],
            Language::Go => vec![Need::Program("go")],
        }
    }
}

/// Starts a service; `ports` are those of the databases by the names of their variables.
///
/// # Errors
/// If it does not build or start.
pub fn start(language: Language, ports: &[(&str, u16)]) -> Result<Program> {
    let port = http::free_port()?;
    let mut command = match language {
        Language::Python => {
            let mut command = Command::new(PYTHON);
            command.arg(place::app("python/databases.py")).env("PYTHONDONTWRITEBYTECODE", "1");
            command
        }
        Language::Node(major, libraries) => {
            let mut command = Command::new(major.program());
            command.arg(place::app("node/databases.js")).env("NODE_PATH", libraries.search_path());
            command
        }
        Language::Go => Command::new(compile()?),
    };
    command.env("PORT", port.to_string());
    for (name, port) in ports {
        command.env(name, port.to_string());
    }
    let mut program = Program::run(&format!("{language:?}"), &command, &[], port)?;
    program.wait_until_open()?;
    Ok(program)
}

fn compile() -> Result<PathBuf> {
    let program = place::build()?.join("go-databases");
    let mut command = Command::new("go");
    command.current_dir(place::app("go-databases")).env("GOTOOLCHAIN", "local").args(["build", "-trimpath", "-o"]);
    let mut child = Child::start("go build", command.arg(&program).arg("."))?;
    let status = child.wait_for_end(Duration::from_secs(300))?;
    ensure!(status.success(), "{} does not build:\n{}", program.display(), child.output());
    Ok(program)
}
