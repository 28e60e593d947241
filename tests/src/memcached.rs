//! A private memcached on a free port.

use std::{process::Command, time::Duration};

use anyhow::Result;
use rustix::process::Signal;

use crate::{child::Child, http, wait};

/// The server's program.
pub const PROGRAM: &str = "memcached";

/// A running server.
#[derive(Debug)]
pub struct Memcached {
    _child: Child,
    port: u16,
}

impl Memcached {
    /// Starts it.
    ///
    /// # Errors
    /// If memcached is not installed or does not start.
    pub fn start() -> Result<Self> {
        let port = http::free_port()?;
        let mut command = Command::new(PROGRAM);
        command.args(["-l", "127.0.0.1", "-m", "8", "-u", "nobody", "-p"]);
        let child = Child::start(PROGRAM, command.arg(port.to_string()))?;
        let child = child.with_farewell(Signal::TERM, Duration::from_secs(5));
        wait::until("memcached to listen", wait::PATIENCE, || http::is_open(port).then_some(()))?;
        Ok(Self { _child: child, port })
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}
