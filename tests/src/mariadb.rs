//! A private MariaDB in a temporary folder, on a free port, run as user `mysql` when we are root.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use anyhow::Result;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{child::Child, http, postgres::complete, privilege, tls::Certificate, wait};

/// The server's program.
pub const PROGRAM: &str = "/usr/sbin/mariadbd";

/// What it begins with: a database `shop` with a thousand items, of a user `shop` without a password.
const BEGINNING: &str = "CREATE DATABASE shop;
CREATE USER 'shop'@'%';
GRANT ALL ON shop.* TO 'shop'@'%';
CREATE TABLE shop.items (PRIMARY KEY (id)) AS SELECT seq AS id, CONCAT('item ', seq) AS name FROM shop.seq_1_to_1000;
";

/// A running server.
#[derive(Debug)]
pub struct MariaDb {
    _child: Child,
    port: u16,
    _folder: TempDir,
}

impl MariaDb {
    /// Makes a data folder and starts it.
    ///
    /// # Errors
    /// If MariaDB is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(None)
    }

    /// Starts one that can be spoken to in TLS, with this certificate.
    ///
    /// # Errors
    /// Like [`MariaDb::start`].
    pub fn encrypted(certificate: &Certificate) -> Result<Self> {
        Self::start_with(Some(certificate))
    }

    fn start_with(certificate: Option<&Certificate>) -> Result<Self> {
        let folder = TempDir::new()?;
        // The server is another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
        let beginning = folder.path().join("beginning.sql");
        fs::write(&beginning, BEGINNING)?;
        let data = format!("--datadir={}", folder.path().join("data").display());
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--skip-test-db", "--skip-name-resolve", &data]);
        let mut server = Command::new(PROGRAM);
        server.args(["--no-defaults", "--skip-name-resolve", "--bind-address=127.0.0.1", &data]);
        server.arg(format!("--init-file={}", beginning.display()));
        server.arg(format!("--socket={}", folder.path().join("socket").display()));
        server.arg(format!("--pid-file={}", folder.path().join("pid").display()));
        server.args(["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]);
        if let Some(certificate) = certificate {
            for (from, name) in [(certificate.certificate(), "cert"), (certificate.key(), "key")] {
                let to = folder.path().join(name);
                fs::copy(from, &to)?;
                fs::set_permissions(&to, fs::Permissions::from_mode(0o644))?;
                server.arg(format!("--ssl-{name}={}", to.display()));
            }
        }
        if privilege::is_root() {
            install.arg("--user=mysql");
            server.arg("--user=mysql");
        }
        complete("mariadb-install-db", &mut install)?;
        let port = http::free_port()?;
        let child = Child::start("mariadbd", server.arg(format!("--port={port}")))?;
        let mut child = child.with_farewell(Signal::TERM, Duration::from_secs(20));
        child.wait_for_line("ready for connections", wait::PATIENCE)?;
        wait::until("MariaDB to listen", wait::PATIENCE, || http::is_open(port).then_some(()))?;
        Ok(Self { _child: child, port, _folder: folder })
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
