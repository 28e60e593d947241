//! What the agent says of itself: every counter, for people and for machines.

use std::{fmt, fs, io, path::Path};

/// A snapshot of all counters, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(Vec<(&'static str, u64)>);

impl Counters {
    /// A snapshot of these; values of the same name are added up.
    pub fn new(mut counters: Vec<(&'static str, u64)>) -> Self {
        counters.sort_unstable();
        let mut all: Vec<(&'static str, u64)> = Vec::with_capacity(counters.len());
        for (name, value) in counters {
            match all.last_mut() {
                Some((last, sum)) if *last == name => *sum = sum.saturating_add(value),
                _ => all.push((name, value)),
            }
        }
        Self(all)
    }
}

/// One counter a line, those at zero left out.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = || self.0.iter().filter(|(_, value)| *value > 0);
        let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0);
        shown().try_for_each(|(name, value)| writeln!(f, "{name:width$}  {value}"))
    }
}

/// Writes all counters as one JSON object; readers see the old file or the new one, never half of one.
///
/// # Errors
/// When the file or one beside it cannot be written.
pub fn write_file(path: &Path, counters: &Counters) -> io::Result<()> {
    let object: serde_json::Map<String, serde_json::Value> =
        counters.0.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, serde_json::to_vec_pretty(&object)?)?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_one_name_are_added_and_zeros_not_shown() {
        let counters = Counters::new(vec![("b.two", 2), ("a", 1), ("none", 0), ("b.two", 3)]);
        assert_eq!(counters.to_string(), "a      1\nb.two  5\n");
    }

    #[test]
    fn the_file_holds_every_counter() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stats.json");
        write_file(&path, &Counters::new(vec![("a", 1), ("none", 0)])).expect("written");
        let read: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("there")).expect("JSON");
        assert_eq!(read, serde_json::json!({"a": 1, "none": 0}));
        assert!(write_file(Path::new("/no/such/folder/stats"), &counters_of_nothing()).is_err());
    }

    fn counters_of_nothing() -> Counters {
        Counters::new(Vec::new())
    }
}
