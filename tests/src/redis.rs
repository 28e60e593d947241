//! A private Redis on a free port, that keeps nothing.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::Result;
use rustix::process::Signal;

use crate::{child::Child, http, tls::Certificate, wait};

/// The server's program.
pub const PROGRAM: &str = "redis-server";

/// A running server.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts it.
    ///
    /// # Errors
    /// If Redis is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(|port| vec!["--port".into(), port.into()])
    }

    /// Starts one that is spoken to in TLS only, with this certificate.
    ///
    /// # Errors
    /// Like [`Redis::start`].
    pub fn encrypted(certificate: &Certificate) -> Result<Self> {
        Self::start_with(|port| {
            let listen = ["--port", "0", "--tls-port", port, "--tls-auth-clients", "no"];
            let files =
                ["--tls-cert-file".into(), certificate.certificate(), "--tls-key-file".into(), certificate.key()];
            listen.into_iter().map(PathBuf::from).chain(files).collect()
        })
    }

    fn start_with(arguments: impl FnOnce(&str) -> Vec<PathBuf>) -> Result<Self> {
        let port = http::free_port()?;
        let mut command = Command::new(PROGRAM);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        let child = Child::start(PROGRAM, command.args(arguments(&port.to_string())))?;
        let mut child = child.with_farewell(Signal::TERM, Duration::from_secs(5));
        child.wait_for_line("Ready to accept connections", wait::PATIENCE)?;
        Ok(Self { child, port })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
