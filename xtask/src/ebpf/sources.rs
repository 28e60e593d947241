//! Which sources the BPF object in the repository was built from: one line per file as `sha256sum` writes it, sorted
//! by path, the object itself first. `sha256sum -c apm-agent/ebpf/apm-ebpf.sources` in the root checks it by hand.
//!
//! This file is also compiled into the test `apm-agent/tests/ebpf_object.rs`.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// The object, from the root of the repository.
pub const OBJECT: &str = "apm-agent/ebpf/apm-ebpf.bpf.o";

/// The list of what it was built from.
pub const RECORD: &str = "apm-agent/ebpf/apm-ebpf.sources";

/// Folders whose files go into the object.
const FOLDERS: [&str; 2] = ["apm-ebpf", "apm-common/src"];

/// The list as it should be for the files in the tree.
///
/// # Errors
/// If a file cannot be read.
pub fn listing(root: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    files.insert(0, root.join(OBJECT));
    let mut text = String::new();
    for file in files {
        let digest = Sha256::digest(fs::read(&file)?);
        let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = file.strip_prefix(root).unwrap_or(&file);
        text.push_str(&format!("{hexadecimal}  {}\n", path.display()));
    }
    Ok(text)
}

/// Paths that are not as recorded: changed, new or gone. Empty when the object fits its sources.
///
/// # Errors
/// If a file cannot be read, the record among them.
pub fn differences(root: &Path) -> io::Result<Vec<String>> {
    let recorded = fs::read_to_string(root.join(RECORD))
        .map_err(|error| io::Error::new(error.kind(), format!("{RECORD}: {error}. Run `cargo xtask ebpf`.")))?;
    let actual = listing(root)?;
    let recorded: BTreeSet<&str> = recorded.lines().collect();
    let actual: BTreeSet<&str> = actual.lines().collect();
    let lines = recorded.symmetric_difference(&actual);
    let paths: BTreeSet<&str> = lines.filter_map(|line| line.split_once("  ")).map(|(_, path)| path).collect();
    Ok(paths.into_iter().map(str::to_owned).collect())
}

/// The sentence for a person whose object does not fit the sources.
pub fn complaint(differences: &[String]) -> String {
    format!(
        "{OBJECT} was not built from the sources in the tree (different: {}). Run `cargo xtask ebpf` and commit \
         apm-agent/ebpf/.",
        differences.join(", ")
    )
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                collect(&path, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}
