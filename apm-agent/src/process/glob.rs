//! Patterns for executables: a path or a glob on the whole path; without `/`, on the file name.

use glob::{MatchOptions, Pattern};
use std::path::Path;

/// One pattern. `*` stays within a folder, `**` crosses folders, `?` and `[abc]` are one letter.
#[derive(Clone, Debug)]
pub struct Glob {
    pattern: Pattern,
    on_path: bool,
}

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// With the reason when it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pattern = Pattern::new(text).map_err(|error| error.msg.to_string())?;
        Ok(Self { pattern, on_path: text.contains('/') })
    }

    /// The pattern fits an executable.
    pub fn fits(&self, executable: &Path) -> bool {
        let text = if self.on_path { Some(executable.as_os_str()) } else { executable.file_name() };
        text.is_some_and(|text| self.pattern.matches_with(&text.to_string_lossy(), OPTIONS))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.pattern.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names() {
        for (pattern, executable, expected) in [
            ("node", "/usr/bin/node", true),
            ("node*", "/usr/bin/nodejs", true),
            ("node", "/usr/bin/nodejs", false),
            ("/usr/bin/node", "/usr/bin/node", true),
            ("/usr/*/node", "/usr/bin/node", true),
            ("/usr/*", "/usr/bin/node", false),
            ("/usr/**/node", "/usr/local/bin/node", true),
            ("**/node", "/usr/bin/node", true),
            ("python3.[0-9]*", "/usr/bin/python3.11", true),
        ] {
            let glob = Glob::parse(pattern).expect("valid");
            assert_eq!(glob.fits(Path::new(executable)), expected, "{pattern} {executable}");
        }
        assert!(Glob::parse("a[").is_err());
    }
}
