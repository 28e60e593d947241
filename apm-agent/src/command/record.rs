//! `apm-agent record`: as `run`, but the kernel's events go to a file.

use std::path::PathBuf;

use clap::ArgMatches;

use super::{
    ExitCode, Failure, log_preamble,
    run::{check_privileges, check_targets},
};
use crate::{config::Loaded, process::Proc};

pub(super) fn command(loaded: &Loaded, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    check_targets(&loaded.settings, &Proc::default())?;
    let output = matches
        .get_one::<PathBuf>("output")
        .ok_or_else(|| Failure::usage("no file is named", "use `--output FILE`"))?;
    if output.exists() {
        return Err(Failure::new(
            ExitCode::Recording,
            format!("recording `{}` exists already", output.display()),
            "name another file or remove this one",
        ));
    }
    check_privileges()?;
    log_preamble(loaded);
    crate::run::record(&loaded.settings, output)?;
    Ok(ExitCode::Ok)
}
