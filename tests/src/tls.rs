//! A certificate made for one test, signed by itself.

use std::{path::PathBuf, process::Command};

use anyhow::Result;
use tempfile::TempDir;

use crate::postgres::complete;

/// A certificate for `localhost` and 127.0.0.1, and its key, as PEM files that go with the value.
#[derive(Debug)]
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    /// Makes a key on the curve P-256 and signs a certificate for two days.
    ///
    /// # Errors
    /// If there is no `openssl`.
    pub fn generate() -> Result<Self> {
        let made = Self { folder: TempDir::new()? };
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        command.args(["-days", "2", "-subj", "/CN=localhost", "-addext"]);
        command.arg("subjectAltName=DNS:localhost,IP:127.0.0.1");
        command.arg("-out").arg(made.certificate()).arg("-keyout").arg(made.key());
        complete("openssl", &mut command)?;
        Ok(made)
    }

    /// Path of the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// Path of its key.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
