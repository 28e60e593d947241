//! The engine behind `run`, `record` and `replay`.
//!
//! Settings have been read and targets checked when these are called; they return when the run is over.

use std::path::Path;

use crate::{
    command::{ExitCode, Failure},
    config::Settings,
};

/// Watches until a signal or [`Settings::duration`] ends it.
///
/// # Errors
/// When the kernel, the privileges or an output do not allow it.
pub fn run(_settings: &Settings) -> Result<(), Failure> {
    Err(absent())
}

/// As [`run`]; the events go to a new file at `output`.
///
/// # Errors
/// As [`run`], and when the file cannot be written.
pub fn record(_settings: &Settings, _output: &Path) -> Result<(), Failure> {
    Err(absent())
}

/// Turns a recording into documents.
///
/// # Errors
/// When the recording or an output cannot be opened.
pub fn replay(_settings: &Settings, _recording: &Path) -> Result<(), Failure> {
    Err(absent())
}

fn absent() -> Failure {
    Failure::new(ExitCode::Internal, "this build has no kernel programs to run", "use a release build of the agent")
}
