//! A private PostgreSQL cluster in a temporary folder, on a free port, run as user `postgres` when we are root.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{child::Child, http, privilege, tls::Certificate, wait};

/// Where Debian puts PostgreSQL's server programs.
pub const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

/// Rows of the table `items`.
pub const ITEMS: u32 = 20_480;

/// A running server with a table `items (id, name)` and an empty one, `orders (id, item)`.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(None)
    }

    /// Starts one that can be spoken to in TLS, with this certificate.
    ///
    /// # Errors
    /// Like [`Postgres::start`].
    pub fn encrypted(certificate: &Certificate) -> Result<Self> {
        Self::start_with(Some(certificate))
    }

    fn start_with(certificate: Option<&Certificate>) -> Result<Self> {
        let folder = TempDir::new()?;
        let data = folder.path().join("data");
        fs::create_dir(&data)?;
        let owner = owner()?;
        if let Some((user, group)) = owner {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
            std::os::unix::fs::chown(&data, Some(user), Some(group))?;
        }
        let mut initdb = server_command("initdb", owner)?;
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]);
        complete("initdb", initdb.arg(&data))?;
        let port = http::free_port()?;
        let mut command = server_command("postgres", owner)?;
        command.arg("-D").arg(&data).args(settings(port, &data));
        if let Some(certificate) = certificate {
            lend(certificate, &data, owner)?;
            command.args(["-c", "ssl=on", "-c", "ssl_cert_file=certificate.pem", "-c", "ssl_key_file=key.pem"]);
        }
        let child = Child::start("postgres", &mut command)?.with_farewell(Signal::INT, Duration::from_secs(20));
        let mut server = Self { child, port, _folder: folder };
        server.child.wait_for_line("ready to accept connections", wait::PATIENCE)?;
        server.fill()?;
        Ok(server)
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id of the postmaster.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Connection string as libpq and psycopg2 take it.
    pub fn connection_string(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres sslmode=disable", self.port)
    }

    /// As [`Self::connection_string`], for a server that is to be spoken to in TLS.
    pub fn encrypted_string(&self) -> String {
        self.connection_string().replace("sslmode=disable", "sslmode=require")
    }

    /// Connection string as Npgsql takes it.
    pub fn npgsql_string(&self) -> String {
        format!("Host=127.0.0.1;Port={};Username=postgres;Database=postgres;SSL Mode=Disable", self.port)
    }

    /// A `psql` command that would run `statement`.
    pub fn psql(&self, statement: &str) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"]).arg(self.connection_string());
        command.arg("-c").arg(statement);
        command
    }

    /// A `pgbench` command for this server.
    pub fn pgbench(&self) -> Command {
        let mut command = Command::new("pgbench");
        command.env("PGSSLMODE", "disable").args(["-n", "-h", "127.0.0.1", "-U", "postgres", "-p"]);
        command.arg(self.port.to_string());
        command
    }

    /// Makes pgbench's tables.
    ///
    /// # Errors
    /// If pgbench fails.
    pub fn prepare_pgbench(&self) -> Result<()> {
        complete("pgbench -i", self.pgbench().args(["-i", "-q", "-s", "1", "postgres"])).map(|_| ())
    }

    fn fill(&mut self) -> Result<()> {
        let statement = format!(
            "CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL); \
             INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, {ITEMS}) AS n; \
             CREATE TABLE orders (id serial PRIMARY KEY, item integer NOT NULL)"
        );
        complete("psql", &mut self.psql(&statement)).map(|_| ())
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// If it fails.
pub fn complete(name: &str, command: &mut Command) -> Result<String> {
    let mut child = Child::start(name, command)?;
    let status = child.wait_for_end(Duration::from_secs(120))?;
    ensure!(status.success(), "{name} failed:\n{}", child.output());
    Ok(child.output())
}

/// Small, fast and on loopback only; nothing in it outlives the test, so nothing need reach the disk.
fn settings(port: u16, data: &Path) -> Vec<String> {
    let pairs = [
        ("port", port.to_string()),
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", data.display().to_string()),
        ("max_connections", "200".to_owned()),
        ("shared_buffers", "32MB".to_owned()),
        ("fsync", "off".to_owned()),
        ("autovacuum", "off".to_owned()),
        ("dynamic_shared_memory_type", "mmap".to_owned()),
    ];
    pairs.into_iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]).collect()
}

/// Puts certificate and key where the server may read them, and nobody else the key.
fn lend(certificate: &Certificate, data: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    for (from, name) in [(certificate.certificate(), "certificate.pem"), (certificate.key(), "key.pem")] {
        let to = data.join(name);
        fs::copy(from, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600))?;
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(&to, Some(user), Some(group))?;
        }
    }
    Ok(())
}

/// User and group to run as: PostgreSQL refuses to be root.
fn owner() -> Result<Option<(u32, u32)>> {
    if !privilege::is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let line = accounts.lines().find(|line| line.starts_with("postgres:"));
    let line = line.context("there is no user `postgres`; `cargo xtask setup` installs PostgreSQL")?;
    let mut numbers = line.split(':').skip(2).map_while(|word| word.parse().ok());
    Ok(numbers.next().zip(numbers.next()))
}

fn server_command(name: &str, owner: Option<(u32, u32)>) -> Result<Command> {
    let mut command = Command::new(server_program(name)?);
    // A folder the other user may enter, whatever ours is.
    command.current_dir("/");
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    Ok(command)
}

fn server_program(name: &str) -> Result<PathBuf> {
    let versions = fs::read_dir(DEBIAN_FOLDER).context("PostgreSQL's server is not installed (`cargo xtask setup`)")?;
    let mut programs: Vec<PathBuf> = versions.flatten().map(|entry| entry.path().join("bin").join(name)).collect();
    programs.retain(|path| path.exists());
    programs.sort();
    programs.pop().with_context(|| format!("{DEBIAN_FOLDER}/*/bin/{name} is missing"))
}
