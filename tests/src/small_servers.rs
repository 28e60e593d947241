//! The small servers of `tests/apps/node/servers.js`, made for the tests, for what cannot be installed here.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    http,
    node::{Libraries, Major},
    place,
    programs::Program,
    tls::Certificate,
};

/// Variables that name their ports, to them and to who asks them.
const VARIABLES: [&str; 7] =
    ["MONGODB_PORT", "WS_PORT", "HTTP2_PORT", "ELASTICSEARCH_PORT", "AWS_PORT", "CASSANDRA_PORT", "KAFKA_PORT"];

/// They run.
pub struct SmallServers {
    ports: Vec<(&'static str, u16)>,
    _program: Program,
}

impl SmallServers {
    /// Starts them all.
    ///
    /// # Errors
    /// If one does not start.
    pub fn start(major: Major, libraries: Libraries) -> Result<Self> {
        Self::run(major, libraries, &[])
    }

    /// Starts them all; MongoDB's speaks TLS.
    ///
    /// # Errors
    /// If one does not start.
    pub fn encrypted(major: Major, libraries: Libraries, certificate: &Certificate) -> Result<Self> {
        Self::run(major, libraries, &[("CERTIFICATE", certificate.certificate()), ("KEY", certificate.key())])
    }

    fn run(major: Major, libraries: Libraries, files: &[(&str, PathBuf)]) -> Result<Self> {
        let ports: Vec<_> = VARIABLES.into_iter().map(|name| Ok((name, http::free_port()?))).collect::<Result<_>>()?;
        let mut command = Command::new(major.program());
        command.arg(place::app("node/servers.js")).env("NODE_PATH", libraries.search_path());
        command.envs(files.iter().cloned());
        command.envs(ports.iter().map(|(name, port)| (name, port.to_string())));
        Ok(Self { ports, _program: Program::listening("servers.js", command)? })
    }

    /// Ports on 127.0.0.1, by their variables.
    pub fn ports(&self) -> &[(&'static str, u16)] {
        &self.ports
    }

    /// The port in a variable.
    ///
    /// # Errors
    /// If there is no such server.
    pub fn port(&self, variable: &str) -> Result<u16> {
        let found = self.ports.iter().find(|(name, _)| *name == variable);
        found.map(|(_, port)| *port).with_context(|| format!("no small server has {variable}"))
    }
}
