//! What is in the kernel's BPF tables, to show that nothing of ours stays.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Debian's `bpftool`.
pub const BPFTOOL: &str = "/usr/sbin/bpftool";

/// Programs, maps and links that are loaded now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residue(BTreeSet<String>);

impl Residue {
    /// Takes stock.
    ///
    /// # Errors
    /// If bpftool fails.
    pub fn now() -> Result<Self> {
        let mut all = BTreeSet::new();
        for kind in ["prog", "map", "link"] {
            for object in list(kind)?.iter().filter(|object| !is_held(object)) {
                let id = object.get("id").and_then(Value::as_u64).context("bpftool gives ids")?;
                let name = object.get("name").and_then(Value::as_str).unwrap_or_default();
                all.insert(format!("{kind} {id} {name}"));
            }
        }
        Ok(Self(all))
    }

    /// Held by no living process now and not there before.
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

fn list(kind: &str) -> Result<Vec<Value>> {
    let output = Command::new(BPFTOOL).args(["-j", kind, "list"]).output().context("could not start bpftool")?;
    ensure!(output.status.success(), "bpftool {kind} list: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("bpftool prints JSON")
}

/// True when a process that lives holds it: another program's, not a residue.
fn is_held(object: &Value) -> bool {
    holders(object).any(|pid| Path::new(&format!("/proc/{pid}")).exists())
}

fn holders(object: &Value) -> impl Iterator<Item = u64> + '_ {
    let pids = object.get("pids").and_then(Value::as_array).into_iter().flatten();
    pids.filter_map(|holder| holder.get("pid").and_then(Value::as_u64))
}
