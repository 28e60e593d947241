//! Named counters of all parts, collected for one report.

use std::collections::BTreeMap;

/// A snapshot: name → value, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Counters {
    values: BTreeMap<String, u64>,
}

impl Counters {
    /// Adds to a counter; several parts may add to one name.
    pub fn add(&mut self, name: impl Into<String>, value: u64) {
        let slot = self.values.entry(name.into()).or_default();
        *slot = slot.saturating_add(value);
    }

    /// Adds counters under a common first word: `send` and `dropped` make `send.dropped`.
    pub fn extend<'a>(&mut self, prefix: &str, counters: impl IntoIterator<Item = (&'a str, u64)>) {
        for (name, value) in counters {
            self.add(format!("{prefix}.{name}"), value);
        }
    }

    /// A counter's value; 0 when nobody has counted.
    pub fn get(&self, name: &str) -> u64 {
        self.values.get(name).copied().unwrap_or_default()
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.values.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Two columns, names left and values right, one counter a line.
    pub fn table(&self) -> String {
        let width = self.values.keys().map(|name| name.chars().count()).max().unwrap_or_default();
        let line = |(name, value): (&String, &u64)| format!("{name:<width$}  {value:>12}\n");
        self.values.iter().map(line).collect()
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_sorts_and_prints() {
        let mut counters = Counters::default();
        counters.add("kernel.events.sent", 12);
        counters.extend("file", [("documents", 7), ("dropped", u64::MAX)]);
        counters.add("file.dropped", 1);
        assert_eq!(counters.get("file.dropped"), u64::MAX, "no wrap");
        assert_eq!(counters.get("absent"), 0);
        assert_eq!(
            counters.table(),
            "file.documents                 7\nfile.dropped        18446744073709551615\nkernel.events.sent            12\n"
        );
        assert_eq!(
            counters.json(),
            "{\n  \"file.documents\": 7,\n  \"file.dropped\": 18446744073709551615,\n  \"kernel.events.sent\": 12\n}"
        );
    }
}
