//! Where a value came from.

use std::{fmt, path::PathBuf};

/// Where a value came from, strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line, without its dashes.
    Flag(&'static str),
    /// An environment variable of the agent.
    Environment(&'static str),
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: u64,
    },
    /// Built in.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(formatter, "flag `--{name}`"),
            Self::Environment(name) => write!(formatter, "environment variable `{name}`"),
            Self::File { path, line } => write!(formatter, "file `{}`, line {line}", path.display()),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// One option as it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The option's key, as in the configuration file.
    pub key: &'static str,
    /// Its value as text, `[REDACTED]` when it is a secret.
    pub shown: String,
    /// Where the value came from.
    pub origin: Origin,
}
