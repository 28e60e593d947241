//! How a command ends: one exit code and, when it fails, one sentence with its remedy.

use std::fmt;

use crate::{
    config::load::ConfigError,
    process::{ProcessError, discover::BadPattern},
};

/// Exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It worked.
    Ok = 0,
    /// Wrong command line or configuration.
    Usage = 2,
    /// The agent lacks privileges.
    Privileges = 3,
    /// The kernel lacks what is needed.
    Kernel = 4,
    /// A target is not there or cannot be read.
    Target = 5,
    /// An output cannot be opened.
    Output = 6,
    /// A recording cannot be read or written.
    Recording = 7,
    /// A mistake in the agent itself.
    Internal = 70,
}

impl ExitCode {
    /// Every code with its meaning, for `--help`.
    pub const ALL: [(ExitCode, &'static str); 8] = [
        (ExitCode::Ok, "it worked"),
        (ExitCode::Usage, "wrong command line or configuration"),
        (ExitCode::Privileges, "missing privileges"),
        (ExitCode::Kernel, "the kernel lacks what is needed (BTF, tracepoints)"),
        (ExitCode::Target, "target not found or not readable"),
        (ExitCode::Output, "an output cannot be opened"),
        (ExitCode::Recording, "a recording cannot be read or written"),
        (ExitCode::Internal, "a mistake in the agent itself"),
    ];
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// How the process ends.
    pub code: ExitCode,
    /// What happened, without a full stop.
    pub sentence: String,
    /// What to do about it; empty when there is nothing.
    pub remedy: String,
}

impl Failure {
    /// A failure with its remedy.
    pub fn new(code: ExitCode, sentence: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self { code, sentence: sentence.to_string(), remedy: remedy.to_string() }
    }

    /// Wrong command line or configuration.
    pub fn usage(sentence: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self::new(ExitCode::Usage, sentence, remedy)
    }

    /// A mistake in the agent itself.
    pub fn internal(sentence: impl fmt::Display) -> Self {
        Self::new(ExitCode::Internal, sentence, "please report this with the output of `apm-agent doctor`")
    }

    /// As it is printed on standard error.
    pub fn report(&self) -> String {
        let help = if self.remedy.is_empty() { String::new() } else { format!("\nhelp: {}", self.remedy) };
        format!("error: {}{help}", self.sentence)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let remedy = match &error {
            ConfigError::WrongValue { .. } | ConfigError::UnknownKey { .. } => {
                "`apm-agent run --help` lists every option with its default"
            }
            ConfigError::Syntax { .. } => {
                "the file must be YAML: option names at the top, `targets:` and `outputs:` below"
            }
            ConfigError::Unreadable { .. } => "name another file with `--config` or make this one readable",
            ConfigError::TooLarge { .. } => "name another file with `--config`",
        };
        Self::usage(error, remedy)
    }
}

impl From<BadPattern> for Failure {
    fn from(error: BadPattern) -> Self {
        Self::usage(error, "write a path (`/usr/bin/node`), a file name (`node`) or a glob (`/srv/**/bin/*`)")
    }
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Self {
        let remedy = match &error {
            ProcessError::Absent(_) => {
                "`ps -e` lists the processes; use the id as seen in the agent's own pid namespace"
            }
            ProcessError::Unreadable { .. } => "run the agent as root or with CAP_SYS_PTRACE",
        };
        Self::new(ExitCode::Target, error, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_code_once() {
        let codes: Vec<u8> = ExitCode::ALL.iter().map(|(code, _)| *code as u8).collect();
        assert_eq!(codes, [0, 2, 3, 4, 5, 6, 7, 70]);
    }

    #[test]
    fn is_one_sentence_and_its_remedy() {
        let failure: Failure = ProcessError::Absent(7).into();
        assert_eq!(failure.code, ExitCode::Target);
        assert!(failure.report().starts_with("error: there is no process with id 7\nhelp: "));
        assert!(!Failure::usage("x", "").report().contains("help"));
    }
}
