//! `apm-agent doctor`: every check with its finding and remedy.

use std::io::IsTerminal;

use clap::ArgMatches;

use super::{ExitCode, Failure, print};
use crate::{
    config::{Color, Loaded, Settings},
    kernel::KernelProbe,
    report::{
        Check, Probe, Status,
        system::{OutputCheck, System},
    },
};

/// Everything that is checked, in the order it is shown: the causes first, then whether it works.
fn probes(settings: &Settings) -> Vec<Box<dyn Probe + '_>> {
    vec![Box::new(System::default()), Box::new(KernelProbe), Box::new(OutputCheck(&settings.outputs))]
}

pub(super) fn command(loaded: &Loaded, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let checks: Vec<Check> = probes(&loaded.settings).iter().flat_map(|probe| probe.checks()).collect();
    let code = verdict(&checks);
    if matches.get_flag("json") {
        let document = serde_json::json!({ "works": code == ExitCode::Ok, "exit_code": code as u8, "checks": checks });
        print(&format!("{document:#}"));
    } else {
        let colour = wants_colour(loaded.settings.outputs.color);
        let lines: Vec<String> = checks.iter().map(|check| check.line(colour)).collect();
        print(&lines.join("\n"));
        print(summary(&checks));
    }
    Ok(code)
}

/// How `run` would end: by the first check that failed.
fn verdict(checks: &[Check]) -> ExitCode {
    checks.iter().find(|check| check.status == Status::Fail).map_or(ExitCode::Ok, |check| check.code)
}

fn summary(checks: &[Check]) -> &'static str {
    let any = |status| checks.iter().any(|check| check.status == status);
    match (any(Status::Fail), any(Status::Warn)) {
        (true, _) => "\n`apm-agent run` does not work here: see the lines marked FAIL.",
        (false, true) => "\n`apm-agent run` works here, with less: see the lines marked warn.",
        (false, false) => "\n`apm-agent run` works here.",
    }
}

/// Standard output is to be coloured.
pub(super) fn wants_colour(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_as_run_would() {
        let good = Check::ok("a", "fine");
        let poor = Check::warn("b", "poor", "x");
        let bad = Check::fail("c", ExitCode::Kernel, "bad", "x");
        assert_eq!(verdict(&[good.clone(), poor.clone()]), ExitCode::Ok);
        assert_eq!(verdict(&[good.clone(), bad.clone()]), ExitCode::Kernel);
        assert!(summary(std::slice::from_ref(&good)).contains("works here."));
        assert!(summary(&[good, poor]).contains("with less"));
        assert!(summary(&[bad]).contains("does not work"));
    }
}
