//! `apm-agent run`: checks what can be checked before the kernel is asked, then hands over to [`crate::run`].

use super::{ExitCode, Failure, log_preamble};
use crate::{
    config::{Loaded, Settings},
    process::{Proc, Rules},
    report::system,
};

pub(super) fn command(loaded: &Loaded) -> Result<ExitCode, Failure> {
    check_targets(&loaded.settings, &Proc::default())?;
    check_privileges()?;
    log_preamble(loaded);
    crate::run::run(&loaded.settings)?;
    Ok(ExitCode::Ok)
}

/// The rules for choosing processes: something is named, patterns are patterns, and named processes are there.
pub(super) fn check_targets(settings: &Settings, proc: &Proc) -> Result<Rules, Failure> {
    let rules = Rules::new(&settings.targets, std::process::id())?;
    if rules.is_empty() {
        return Err(Failure::usage(
            "no process is named to watch",
            "name one by its id (`--pid 4711`), its executable (`--exe node`) or its port (`--port 8080`), or take `--all`",
        ));
    }
    for pid in &settings.targets.pids {
        proc.process(*pid)?;
    }
    Ok(rules)
}

/// Without these the kernel would only answer with an error number.
pub(super) fn check_privileges() -> Result<(), Failure> {
    system::may_run().map_err(|check| Failure::new(check.code, format!("the agent {}", check.finding), check.remedy))
}
