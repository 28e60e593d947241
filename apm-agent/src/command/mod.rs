//! The commands: arguments in, exit code out.

use std::{io::Write, process};

use clap::ArgMatches;
use tracing_subscriber::filter::LevelFilter;

use crate::config::{Loaded, preamble};

pub mod arguments;
pub mod doctor;
pub mod failure;
pub mod inspect;
pub mod record;
pub mod replay;
pub mod run;

pub use failure::{ExitCode, Failure};

use crate::kernel::stopping;

/// Runs the command line this process was started with.
pub fn main() -> process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_some_and(|name| name == stopping::COMMAND) {
        let ended = stopping::hand::run(&arguments.collect::<Vec<_>>());
        return process::ExitCode::from(if ended.is_some() { 0 } else { ExitCode::Kernel as u8 });
    }
    let matches = arguments::command().get_matches();
    let code = dispatch(&matches).unwrap_or_else(|failure| {
        // Standard error may be gone; the exit code still tells.
        let _ = writeln!(std::io::stderr(), "{}", failure.report());
        failure.code
    });
    process::ExitCode::from(code as u8)
}

fn dispatch(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let Some((name, matches)) = matches.subcommand() else {
        return Err(Failure::usage("no command is given", "`apm-agent --help` lists the commands"));
    };
    let loaded = arguments::load(matches, arguments::environment())?;
    start_log(&loaded)?;
    match name {
        "run" => run::command(&loaded),
        "record" => record::command(&loaded, matches),
        "replay" => replay::command(&loaded, matches),
        "doctor" => doctor::command(&loaded, matches),
        "inspect" => inspect::command(&loaded, matches),
        _ => Err(Failure::internal(format!("command `{name}` has no body"))),
    }
}

/// Logs go to standard error, so that standard output holds only what was asked for.
fn start_log(loaded: &Loaded) -> Result<(), Failure> {
    let level: LevelFilter = loaded
        .settings
        .log_level
        .parse()
        .map_err(|_| Failure::internal(format!("log level `{}` is not understood", loaded.settings.log_level)))?;
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .init();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Logs who we are and what was decided.
fn log_preamble(loaded: &Loaded) {
    for line in preamble::lines(env!("CARGO_PKG_VERSION"), process::id(), &loaded.chosen) {
        tracing::info!("{line}");
    }
}

/// Prints to standard output; a reader that has gone away (`| head`) is no mistake.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}
