//! The .NET program of `tests/apps/dotnet-web`, on each .NET, in each form of deployment, with chosen settings.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use apm_tests::{dotnet::{Framework, Web}, postgres::Postgres};
//! let database = Postgres::start()?;
//! let leaf = Web::on(Framework::Net8).start()?;
//! let shop = Web::on(Framework::Net10).database(&database).downstream(&leaf).variable("ERRORS", "page").start()?;
//! # Ok(()) }
//! ```

use std::process::Command;

use anyhow::Result;

use crate::{http, postgres::Postgres, programs::Program, tds::SqlServer, tls::Certificate};

pub mod diagnostics;
pub(crate) mod publish;
pub mod scene;

/// A version of .NET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// .NET 8, with Npgsql 9.
    Net8,
    /// .NET 10, with Npgsql 10 and EF Core.
    Net10,
}

impl Framework {
    /// Every version.
    pub const ALL: [Framework; 2] = [Framework::Net8, Framework::Net10];

    /// Its target framework moniker, such as `net8.0`.
    pub fn moniker(self) -> &'static str {
        match self {
            Framework::Net8 => "net8.0",
            Framework::Net10 => "net10.0",
        }
    }
}

/// How the program is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deployment {
    Shared,
    SelfContained,
    SingleFile,
}

/// The program before it starts. Its routes and settings are listed in its `Program.cs`.
#[must_use]
#[derive(Clone, Debug)]
pub struct Web {
    framework: Framework,
    deployment: Deployment,
    prefix: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Web {
    /// Run as `dotnet Web.dll`, with its logging to standard output and nothing to call.
    pub fn on(framework: Framework) -> Self {
        Self { framework, deployment: Deployment::Shared, prefix: Vec::new(), variables: Vec::new() }
    }

    /// Deployed with the run time beside it, under its own name instead of `dotnet`'s.
    pub fn self_contained(mut self) -> Self {
        self.deployment = Deployment::SelfContained;
        self
    }

    /// Deployed as one file that holds its assemblies and uses the installed run time. It is .NET 10's whatever the
    /// framework, as the bundle has no more; a self-contained single file is not to be had with it either.
    pub fn single_file(mut self) -> Self {
        self.framework = Framework::Net10;
        self.deployment = Deployment::SingleFile;
        self
    }

    /// Behind other words, such as `taskset -c 0`.
    pub fn behind(mut self, prefix: &[&str]) -> Self {
        self.prefix = prefix.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// With this PostgreSQL. Npgsql's pool may open as many connections as it likes; `DATABASE_URL` sets otherwise.
    pub fn database(self, database: &Postgres) -> Self {
        self.variable("DATABASE_URL", database.npgsql_string())
    }

    /// With this SQL Server. SqlClient refuses to run without culture data, so the machine needs libicu, which Debian's
    /// PostgreSQL brings.
    pub fn sql_server(self, server: &SqlServer) -> Self {
        self.variable("SQLSERVER", server.connection_string()).variable("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "0")
    }

    /// `/fan` and `/down` call this program.
    pub fn downstream(self, program: &Program) -> Self {
        self.variable("DOWNSTREAM_URL", format!("http://127.0.0.1:{}", program.port()))
    }

    /// Listens on a second port for https.
    pub fn tls(self, certificate: &Certificate, port: u16) -> Self {
        self.variable("TLS_CERT", certificate.certificate().display().to_string())
            .variable("TLS_KEY", certificate.key().display().to_string())
            .variable("TLS_PORT", port.to_string())
    }

    /// With an environment variable; the last of a name counts.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Builds it unless that was done, starts it, and waits until it listens.
    ///
    /// # Errors
    /// If it does not build or start.
    pub fn start(self) -> Result<Program> {
        let port = http::free_port()?;
        let mut command = self.command()?;
        command.env("PORT", port.to_string()).envs(self.variables);
        let prefix: Vec<&str> = self.prefix.iter().map(String::as_str).collect();
        let mut program = Program::run("dotnet-web", &command, &prefix, port)?;
        program.wait_until_open()?;
        Ok(program)
    }

    fn command(&self) -> Result<Command> {
        match self.deployment {
            Deployment::Shared => {
                let mut command = publish::tool();
                command.arg(publish::web(self.framework)?.join("Web.dll"));
                Ok(command)
            }
            Deployment::SelfContained => {
                let mut command = publish::environment(Command::new(publish::self_contained(self.framework)?));
                command.env_remove("DOTNET_ROOT");
                Ok(command)
            }
            Deployment::SingleFile => Ok(publish::environment(Command::new(publish::single_file()?))),
        }
    }
}
