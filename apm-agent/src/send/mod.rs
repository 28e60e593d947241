//! Where documents go: APM Server, an NDJSON file, the console.

use std::{io, path::PathBuf, sync::Arc};

use crate::{build::Document, config::Outputs, metadata::ServiceInstance};

mod backoff;
mod batch;
pub mod console;
pub mod file;
mod gzip;
mod http;
mod queue;
mod sender;
pub mod server;
pub mod tee;
mod trouble;

/// An output cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The server's address is none.
    #[error("`{0}` is no address of an APM Server. Write `server_url` like `http://127.0.0.1:8200`.")]
    ServerUrl(String),
    /// A credential holds characters no header can.
    #[error("The secret token or API key holds characters that cannot be sent. Check `secret_token` and `api_key`.")]
    Credential,
    /// The file with root certificates is of no use.
    #[error("The certificates in `{}` cannot be used: {cause}. Check `server_ca_cert_file`.", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file for documents cannot be written.
    #[error("Documents cannot be written to `{}`: {cause}. Check `file` and the directory's permissions.", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// No thread.
    #[error("No thread can be started for sending: {0}. Check the limit of processes.")]
    Thread(io::Error),
}

/// Sets up everything the settings name: APM Server, a file, the console. The console is there when it is asked for,
/// or when there is nothing else.
///
/// # Errors
/// When a setting cannot work; a server that is merely absent is no error.
pub fn outputs(outputs: &Outputs) -> Result<Box<dyn Output>, OutputError> {
    let mut all: Vec<Box<dyn Output>> = Vec::new();
    if let Some(url) = &outputs.server_url {
        all.push(Box::new(server::ServerOutput::new(url, outputs)?));
    }
    if let Some(path) = &outputs.file {
        all.push(Box::new(file::FileOutput::new(path, outputs.file_rotate_size, outputs.file_rotate_keep)?));
    }
    if outputs.console.unwrap_or(all.is_empty()) {
        all.push(Box::new(console::ConsoleOutput::stdout(outputs.color)?));
    }
    Ok(Box::new(tee::Tee::new(all)))
}

/// Takes documents. Called on the pipeline's thread: must not block.
pub trait Output {
    /// One document of a service instance.
    fn publish(&mut self, instance: &Arc<ServiceInstance>, document: &Document);

    /// An instance will publish no more: its stream may be closed.
    fn retire(&mut self, _instance: &Arc<ServiceInstance>) {}

    /// Called every few milliseconds, and at quiet times.
    fn tick(&mut self) {}

    /// Sends what is queued, within a few seconds, and stops.
    fn finish(&mut self);

    /// Counters of this output, name and value, for the report.
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
