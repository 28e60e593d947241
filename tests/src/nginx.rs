//! A private nginx that serves one small page and its own counters.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{child::Child, http, wait};

/// A running nginx with one worker.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it; the page is `/`, the counters are at `/status`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start() -> Result<Self> {
        Self::start_with("nginx", &[])
    }

    /// Starts it by another program, such as `taskset -c 0 nginx`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_with(program: &str, arguments: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let port = http::free_port()?;
        fs::write(folder.path().join("index.html"), "<!doctype html><title>small</title><p>A small page.\n")?;
        let settings = folder.path().join("nginx.conf");
        fs::write(&settings, configuration(port, &folder.path().display().to_string()))?;
        let mut command = Command::new(program);
        command.args(arguments).arg("-p").arg(folder.path()).arg("-c").arg(&settings);
        let child = Child::start("nginx", &mut command)?.with_farewell(Signal::TERM, Duration::from_secs(5));
        let mut nginx = Self { child, port, _folder: folder };
        nginx.wait_until_open()?;
        Ok(nginx)
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id of the master.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Requests so far by nginx's own count, this question among them.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn requests(&self) -> Result<u64> {
        let text = http::get(self.port, "/status")?.text();
        // Third line: ` accepts handled requests`, as three numbers.
        let numbers = text.lines().nth(2).context("stub_status has a third line")?;
        let requests = numbers.split_whitespace().nth(2).context("stub_status counts requests")?;
        Ok(requests.parse()?)
    }

    fn wait_until_open(&mut self) -> Result<()> {
        let port = self.port;
        wait::until("nginx to listen", wait::PATIENCE, || http::is_open(port).then_some(()))
            .with_context(|| self.child.output())
    }
}

fn configuration(port: u16, folder: &str) -> String {
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  keepalive_timeout 600s;\n  root {folder};\n\
         \x20 client_body_temp_path {folder};\n  proxy_temp_path {folder};\n  fastcgi_temp_path {folder};\n\
         \x20 uwsgi_temp_path {folder};\n  scgi_temp_path {folder};\n\
         \x20 server {{\n    listen 127.0.0.1:{port} backlog=4096;\n    location = /status {{ stub_status; }}\n  }}\n}}\n"
    )
}
