//! The version of Go that built a program.

use std::fmt;

/// A version of Go, such as 1.26.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct GoVersion {
    /// 26 of 1.26.8.
    pub minor: u16,
    /// 8 of 1.26.8; 0 of betas and release candidates, too.
    pub patch: u16,
}

impl GoVersion {
    /// Reads `go1.26.8`, `go1.27rc1`, `go1.26.8 X:nodwarf5` or `devel go1.28-abc123`.
    pub fn parse(text: &str) -> Option<Self> {
        let start = text.find("go1.")? + "go1.".len();
        let mut numbers = text.get(start..)?.splitn(2, '.');
        let minor = numbers.next()?;
        let minor: u16 = digits(minor).parse().ok()?;
        let patch = numbers.next().and_then(|patch| digits(patch).parse().ok()).unwrap_or_default();
        Some(Self { minor, patch })
    }
}

fn digits(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

impl fmt::Display for GoVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "1.{}.{}", self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes() {
        let version = |minor, patch| Some(GoVersion { minor, patch });
        for (text, expected) in [
            ("go1.26.8", version(26, 8)),
            ("go1.19", version(19, 0)),
            ("go1.27rc1", version(27, 0)),
            ("go1.26.8 X:nodwarf5", version(26, 8)),
            ("devel go1.28-5ba6c3b", version(28, 0)),
            ("go1.22.12-fips", version(22, 12)),
            ("unknown", None),
            ("go2.0", None),
            ("go1.99999999", None),
        ] {
            assert_eq!(GoVersion::parse(text), expected, "{text}");
        }
    }
}
