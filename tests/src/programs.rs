//! The services in `tests/apps`, one in each language, all with the same routes where the language's has them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::{child::Child, http, place, postgres::Postgres, turn::Need, wait};

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
                command = dotnet();
                command.arg(build_dotnet()?);
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
        let inner = app.command(port)?;
        let mut command = wrap(prefix, &inner);
        let variables = inner.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.envs(variables).env("DATABASE_URL", database_url(app, database));
        let child = Child::start(&format!("{app:?}"), &mut command)?;
        Ok(Self { child: child.with_farewell(Signal::TERM, Duration::from_secs(5)), port })
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
        let port = database.port();
        // One connection for all requests: what is open does not depend on chance, and links by connection are wrong.
        return format!(
            "Host=127.0.0.1;Port={port};Username=postgres;Database=postgres;SSL Mode=Disable;Maximum Pool Size=1"
        );
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

fn dotnet() -> Command {
    let root = place::dotnet();
    let mut command = Command::new(root.join("dotnet"));
    command.env("DOTNET_ROOT", &root).env("DOTNET_NOLOGO", "1").env("DOTNET_CLI_TELEMETRY_OPTOUT", "1");
    command.env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1");
    command.env("DOTNET_CLI_WORKLOAD_UPDATE_NOTIFY_DISABLE", "true");
    // A build server that stays behind would hold the test's output open.
    command.env("DOTNET_CLI_USE_MSBUILD_SERVER", "0").env("MSBUILDDISABLENODEREUSE", "1");
    command
}

/// Publishes the service from a copy of its sources, offline, unless the sources are as they were.
fn build_dotnet() -> Result<PathBuf> {
    let folder = place::build()?.join("dotnet");
    let program = folder.join("out/Service.dll");
    if copy_sources(&folder)? && program.exists() {
        return Ok(program);
    }
    let nuget = place::dotnet().join("nuget");
    let settings = format!(
        "<configuration><packageSources><clear/><add key=\"offline\" value=\"{}\"/></packageSources>\
         <fallbackPackageFolders><clear/></fallbackPackageFolders></configuration>\n",
        nuget.display()
    );
    fs::write(folder.join("nuget.config"), settings)?;
    let mut command = dotnet();
    command.current_dir(&folder).args(["publish", "-c", "Release", "-o", "out", "--disable-build-servers"]);
    build(&mut command, program)
}

/// True when the sources there were already these.
fn copy_sources(folder: &Path) -> Result<bool> {
    fs::create_dir_all(folder)?;
    let mut same = true;
    for name in ["Program.cs", "Service.csproj"] {
        let source = fs::read(place::app("dotnet").join(name))?;
        if fs::read(folder.join(name)).ok().as_ref() != Some(&source) {
            same = false;
            fs::write(folder.join(name), source)?;
        }
    }
    Ok(same)
}

fn build(command: &mut Command, program: PathBuf) -> Result<PathBuf> {
    let mut child = Child::start("a compiler", command)?;
    let status = child.wait_for_end(Duration::from_secs(300))?;
    ensure!(status.success(), "{} does not build:\n{}", program.display(), child.output());
    Ok(program)
}
