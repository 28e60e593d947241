//! `apm-agent replay`: a recording becomes documents.

use std::{fs, path::PathBuf};

use clap::ArgMatches;

use super::{ExitCode, Failure};
use crate::config::Loaded;

pub(super) fn command(loaded: &Loaded, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let recording = matches
        .get_one::<PathBuf>("recording")
        .ok_or_else(|| Failure::usage("no recording is named", "use `replay FILE`"))?;
    // Opened here so that a wrong path is told in the same words whatever the format; the engine opens it again.
    fs::File::open(recording).map_err(|error| {
        Failure::new(
            ExitCode::Recording,
            format!("cannot read recording `{}`: {error}", recording.display()),
            "name a file written by `apm-agent record`",
        )
    })?;
    crate::run::replay(&loaded.settings, recording)?;
    Ok(ExitCode::Ok)
}
