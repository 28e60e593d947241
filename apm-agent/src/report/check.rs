//! Checks of the machine: each a finding with its remedy.

use crate::command::ExitCode;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// The agent works, with less.
    Warn,
    /// The agent does not work.
    Fail,
}

/// One line of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// How it went.
    pub status: Status,
    /// What was found.
    pub finding: String,
    /// What to do; empty when there is nothing to do.
    pub remedy: String,
    /// How `run` would end because of it.
    #[serde(skip)]
    pub code: ExitCode,
}

impl Check {
    /// All is well.
    pub fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, finding: finding.into(), remedy: String::new(), code: ExitCode::Ok }
    }

    /// Works, with less.
    pub fn warn(name: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, finding: finding.into(), remedy: remedy.into(), code: ExitCode::Ok }
    }

    /// Does not work; `run` would end with `code`.
    pub fn fail(name: &'static str, code: ExitCode, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, finding: finding.into(), remedy: remedy.into(), code }
    }

    /// `warn name: finding — remedy`
    pub fn line(&self, colour: bool) -> String {
        let (word, code) = match self.status {
            Status::Ok => ("ok  ", "32"),
            Status::Warn => ("warn", "33"),
            Status::Fail => ("FAIL", "1;31"),
        };
        let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_string() };
        let remedy = if self.remedy.is_empty() { String::new() } else { format!(" — {}", self.remedy) };
        format!("{word} {}: {}{remedy}", self.name, self.finding)
    }
}

/// Something that checks. The kernel layer adds its own by trying what it needs.
pub trait Probe {
    /// Its findings.
    fn checks(&self) -> Vec<Check>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_finding_and_remedy() {
        assert_eq!(Check::ok("BTF", "found").line(false), "ok   BTF: found");
        let failed = Check::fail("BTF", ExitCode::Kernel, "absent", "take another kernel");
        assert_eq!(failed.line(false), "FAIL BTF: absent — take another kernel");
        assert_eq!(failed.line(true), "\u{1b}[1;31mFAIL\u{1b}[0m BTF: absent — take another kernel");
    }
}
