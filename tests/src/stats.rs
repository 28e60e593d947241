//! What the agent counted, from the file it writes with `--stats-file`: a JSON object of counters by dotted name.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Counters by dotted name.
#[derive(Clone, Debug, Default)]
pub struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// Reads the file.
    ///
    /// # Errors
    /// If it is missing or not JSON.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("the agent left no stats in {}", path.display()))?;
        let value: Value = serde_json::from_str(&text).with_context(|| format!("stats are not JSON: {text}"))?;
        let mut counters = BTreeMap::new();
        flatten("", &value, &mut counters);
        Ok(Self(counters))
    }

    /// A counter; 0 when it was never counted.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Every counter that counted something, for messages.
    pub fn non_zero(&self) -> Vec<(&str, u64)> {
        self.0.iter().filter(|(_, value)| **value > 0).map(|(name, value)| (name.as_str(), *value)).collect()
    }

    /// All counters whose name `choose` likes, summed.
    pub fn sum(&self, choose: impl Fn(&str) -> bool) -> u64 {
        self.0.iter().filter(|(name, _)| choose(name)).map(|(_, value)| value).sum()
    }

    /// Requests and calls that were counted instead of reported: those whose first bytes were lost in the kernel, those
    /// whose head was not understood for a gap, and those above the limit of open requests.
    pub fn lost_exchanges(&self) -> u64 {
        LOST_EXCHANGES.iter().map(|name| self.get(name)).sum()
    }
}

/// Counters that stand for one exchange (request or call) each.
const LOST_EXCHANGES: [&str; 4] =
    ["kernel.turns.lost", "trace.requests.lost", "trace.calls.lost", "trace.requests.over_limit"];

fn flatten(prefix: &str, value: &Value, counters: &mut BTreeMap<String, u64>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, counters);
            }
        }
        other => {
            if let Some(number) = other.as_u64() {
                counters.insert(prefix.to_owned(), number);
            }
        }
    }
}
