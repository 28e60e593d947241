//! The services in `tests/apps`, one in each language, all with the same routes where the language's has them.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::{child::Child, dotnet::publish, http, place, postgres::Postgres, turn::Need, wait};

/// Debian's Python, which has Debian's psycopg2; another Python may come first on `PATH`.
const PYTHON: &str = "/usr/bin/python3";

/// A service of `tests/apps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// `http.server`: a thread per connection.
    PythonThreads,
    /// gunicorn with pre-forked synchronous workers; closes each connection.
    Gunicorn,
    /// C: a thread per connection, a shared pool of database connections.
    C,
    /// Go's `net/http`; no database.
    Go,
    /// Node.js' `http`; no database.
    Node,
    /// ASP.NET Core.
    Dotnet,
}

impl App {
    /// Every service.
    pub const ALL: [App; 6] = [App::PythonThreads, App::Gunicorn, App::C, App::Go, App::Node, App::Dotnet];

    /// What it needs of the machine.
    pub fn needs(self) -> &'static [Need] {
        match self {
            App::PythonThreads => &[Need::File("/usr/lib/python3/dist-packages/psycopg2")],
            App::Gunicorn => &[Need::File("/usr/lib/python3/dist-packages/psycopg2"), Need::Program("gunicorn")],
            App::C => &[Need::Program("gcc"), Need::File("/usr/include/postgresql/libpq-fe.h")],
            App::Go => &[Need::Program("go")],
            App::Node => &[Need::Program("node")],
            App::Dotnet => &[Need::Dotnet],
        }
    }

    /// True when one connection serves several requests.
    pub fn keeps_alive(self) -> bool {
        self != App::Gunicorn
    }

    /// True when `/item/ID` asks the database.
    pub fn has_database(self) -> bool {
        !matches!(self, App::Go | App::Node)
    }

    /// The command that runs it, built when it needs building; without port and database.
    ///
    /// # Errors
    /// If it does not build.
    pub fn command(self, port: u16) -> Result<Command> {
        let mut command;
        match self {
            App::PythonThreads => {
                command = Command::new(PYTHON);
                command.arg(place::app("python/threaded.py"));
            }
            App::Gunicorn => {
                command = Command::new("gunicorn");
                command.args(["--workers", "2", "--timeout", "120", "--log-level", "warning", "--bind"]);
                command
                    .arg(format!("127.0.0.1:{port}"))
                    .arg("--chdir")
                    .arg(place::app("python"))
                    .arg("wsgi:application");
            }
            App::C => command = Command::new(build_c()?),
            App::Go => command = Command::new(build_go()?),
            App::Node => {
                command = Command::new("node");
                command.arg(place::app("node/server.js"));
            }
            App::Dotnet => {
                command = publish::tool();
                command.arg(publish::service()?);
            }
        }
        // No byte code beside the sources of the repository.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PORT", port.to_string());
        Ok(command)
    }
}

/// A running service.
#[derive(Debug)]
pub struct Program {
    child: Child,
    port: u16,
}

impl Program {
    /// Starts a service and waits until it listens.
    ///
    /// # Errors
    /// If it does not build or start.
    pub fn start(app: App, database: &Postgres) -> Result<Self> {
        Self::start_with(app, database, &[])
    }

    /// Starts a service behind other words, such as `taskset -c 0`.
    ///
    /// # Errors
    /// If it does not build or start.
    pub fn start_with(app: App, database: &Postgres, prefix: &[&str]) -> Result<Self> {
        let mut program = Self::launch(app, database, prefix)?;
        program.wait_until_open()?;
        Ok(program)
    }

    /// Starts a service and does not wait.
    ///
    /// # Errors
    /// If it does not build or start.
    pub fn launch(app: App, database: &Postgres, prefix: &[&str]) -> Result<Self> {
        let port = http::free_port()?;
        let mut command = app.command(port)?;
        command.env("DATABASE_URL", database_url(app, database));
        Self::run(&format!("{app:?}"), &command, prefix, port)
    }

    /// Runs a command that will listen on `port`, behind other words, and does not wait; `name` is for messages.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn run(name: &str, inner: &Command, prefix: &[&str], port: u16) -> Result<Self> {
        let mut command = wrap(prefix, inner);
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = Child::start(name, &mut command)?;
        Ok(Self { child: child.with_farewell(Signal::TERM, Duration::from_secs(5)), port })
    }

    /// Runs a command that listens on the port in its variable `PORT`, and waits until it does; `name` is for messages.
    ///
    /// # Errors
    /// If it does not start.
    pub fn listening(name: &str, command: Command) -> Result<Self> {
        Self::listening_behind(&[], name, command)
    }

    /// As [`listening`](Self::listening), behind other words, such as `taskset -c 0`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn listening_behind(prefix: &[&str], name: &str, mut command: Command) -> Result<Self> {
        let port = http::free_port()?;
        let mut program = Self::run(name, command.env("PORT", port.to_string()), prefix, port)?;
        program.wait_until_open()?;
        Ok(program)
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// If it ends or takes too long.
    pub fn wait_until_open(&mut self) -> Result<()> {
        let port = self.port;
        let open = wait::until("the service to listen", wait::PATIENCE, || {
            (http::is_open(port) || !self.child.is_running()).then_some(())
        });
        open.with_context(|| self.child.output())?;
        ensure!(self.child.is_running(), "the service ended:\n{}", self.child.output());
        Ok(())
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        self.child.output()
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

fn wrap(prefix: &[&str], inner: &Command) -> Command {
    let Some((first, rest)) = prefix.split_first() else {
        let mut command = Command::new(inner.get_program());
        command.args(inner.get_args());
        return command;
    };
    let mut command = Command::new(first);
    command.args(rest).arg(inner.get_program()).args(inner.get_args());
    command
}

fn database_url(app: App, database: &Postgres) -> String {
    if app == App::Dotnet {
        // One connection for all requests: what is open does not depend on chance, and links by connection are wrong.
        return format!("{};Maximum Pool Size=1", database.npgsql_string());
    }
    database.connection_string()
}

fn build_c() -> Result<PathBuf> {
    let program = place::build()?.join("c-server");
    let mut command = Command::new("gcc");
    command.args(["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-I/usr/include/postgresql", "-o"]);
    build(command.arg(&program).arg(place::app("c/server.c")).arg("-lpq"), program)
}

fn build_go() -> Result<PathBuf> {
    let program = place::build()?.join("go-server");
    let mut command = Command::new("go");
    build(command.current_dir(place::app("go")).args(["build", "-o"]).arg(&program).arg("."), program)
}

fn build(command: &mut Command, program: PathBuf) -> Result<PathBuf> {
    let mut child = Child::start("a compiler", command)?;
    let status = child.wait_for_end(Duration::from_secs(300))?;
    ensure!(status.success(), "{} does not build:\n{}", program.display(), child.output());
    Ok(program)
}
