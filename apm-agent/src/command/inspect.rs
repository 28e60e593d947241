//! (in progress)
use super::{ExitCode, Failure};
use crate::config::Loaded;
use clap::ArgMatches;
pub(super) fn command(_loaded: &Loaded, _matches: &ArgMatches) -> Result<ExitCode, Failure> {
    Ok(ExitCode::Ok)
}
