//! The design's invariants, read off the source tree. What clippy can hold is held by lints at the top of the modules;
//! this file holds the rest, and that the lints are there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Longest source file, in lines.
const MOST_LINES: usize = 520;

/// Modules that read foreign bytes: nothing in them may panic.
const READERS: [&str; 15] = [
    "protocol/mod.rs",
    "stream/mod.rs",
    "intake/mod.rs",
    "build/mod.rs",
    "pipeline/mod.rs",
    "metric/mod.rs",
    "process/mod.rs",
    "binary/mod.rs",
    "event.rs",
    "recording.rs",
    "kernel/btf.rs",
    "correlate/trace_context.rs",
    "runtime/dotnet/mod.rs",
    "runtime/go/mod.rs",
    "runtime/node/mod.rs",
];

/// Lints each of them denies outside of tests.
const LINTS: [&str; 5] = ["unwrap_used", "expect_used", "panic", "unreachable", "indexing_slicing"];

/// A source file, its path from where the search began.
struct Source {
    path: String,
    /// Without line comments.
    code: String,
    whole: String,
}

impl Source {
    fn is_in(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// The code up to its unit tests.
    fn without_tests(&self) -> &str {
        self.code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }

    /// Words of the code, each `a::b` in its parts.
    fn words(&self) -> BTreeSet<&str> {
        self.without_tests().split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// Every file below a folder of the repository; what is built or cached is left out.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let name = entry.file_name();
            let built = ["target", "corpus", "artifacts", ".git", ".work", "node_modules", "bin", "obj"];
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                // `src/bin` would be ours.
                if !built.iter().any(|built| name == *built) {
                    folders.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources(folder: &str) -> Vec<Source> {
    let folder = root().join(folder);
    let rust = files(&folder).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read = |path: PathBuf| {
        let whole = fs::read_to_string(&path).expect("text");
        let code = whole.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
        Source { path: path.strip_prefix(&folder).expect("inside").display().to_string(), code, whole }
    };
    rust.map(read).collect()
}

/// The agent's own sources without the modules that are tests only.
fn agent() -> Vec<Source> {
    let mut all = sources("apm-agent/src");
    all.retain(|source| !source.path.contains("/tests/") && !source.path.ends_with("tests.rs"));
    assert!(all.len() > 80, "the sources are found");
    all
}

/// Files outside of `folders` in which one of `words` stands.
fn strangers(words: &[&str], folders: &[&str]) -> Vec<String> {
    let uses = |source: &Source| words.iter().any(|word| source.words().contains(word));
    agent().iter().filter(|source| !source.is_in(folders) && uses(source)).map(|source| source.path.clone()).collect()
}

fn none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}: {}", found.join(", "));
}

#[test]
fn only_kernel_names_aya() {
    none(&strangers(&["aya", "aya_ebpf"], &["kernel/"]), "only src/kernel names aya");
}

#[test]
fn only_send_names_an_http_client() {
    none(&strangers(&["ureq", "rustls", "reqwest", "hyper"], &["send/"]), "only src/send names HTTP clients");
}

/// Names of fields of Elastic's documents that nothing else would be called. As string literals or as members.
const FIELDS: [&str; 10] = [
    "transaction_id",
    "parent_id",
    "trace_id",
    "span_count",
    "service_target",
    "is_exception_handled",
    "grouping_key",
    "configured_name",
    "self_time",
    "rows_affected_count",
];

#[test]
fn only_intake_names_elastics_fields() {
    let quoted = |source: &Source| FIELDS.iter().any(|field| source.without_tests().contains(&format!("\"{field}\"")));
    let serialised = |source: &Source| {
        let derives = source.without_tests().contains("Serialize");
        let words = source.words();
        derives && FIELDS.iter().any(|field| words.contains(field))
    };
    let renamed = |source: &Source| source.without_tests().contains("serde(rename =");
    let wrong: Vec<_> = agent()
        .iter()
        .filter(|source| !source.is_in(&["intake/"]))
        .filter(|source| quoted(source) || serialised(source) || renamed(source))
        .map(|source| source.path.clone())
        .collect();
    none(&wrong, "only src/intake names Elastic's fields");
    let intake = agent().into_iter().filter(|source| source.is_in(&["intake/"])).any(|source| {
        let words = source.words();
        words.contains("transaction_id") && words.contains("parent_id")
    });
    assert!(intake, "the names looked for are those that intake uses");
}

#[test]
fn protocols_know_bytes_and_time_only() {
    let foreign = [
        "process",
        "config",
        "correlate",
        "metadata",
        "build",
        "event",
        "kernel",
        "engine",
        "pipeline",
        "send",
        "intake",
        "runtime",
    ];
    let mut wrong = Vec::new();
    for source in agent().iter().filter(|source| source.is_in(&["protocol/"])) {
        let code = source.without_tests();
        wrong.extend(
            foreign
                .iter()
                .filter(|module| code.contains(&format!("crate::{module}")))
                .map(|module| format!("{} uses {module}", source.path)),
        );
        let words = source.words();
        let named = ["pid", "tid", "TcpStream", "IpAddr", "SocketAddr", "UnixStream"];
        wrong.extend(named.iter().filter(|word| words.contains(*word)).map(|word| format!("{}: {word}", source.path)));
        if code.contains("std::net") {
            wrong.push(format!("{} uses std::net", source.path));
        }
    }
    none(&wrong, "src/protocol knows bytes and time, no process, no socket, no document");
}

#[test]
fn unsafe_code_is_where_it_must_be_and_says_why() {
    none(&strangers(&["unsafe"], &["kernel/", "binary/"]), "no unsafe code outside src/kernel and src/binary");
    let mut wrong = Vec::new();
    for folder in ["apm-agent/src", "apm-ebpf/src", "apm-common/src", "tests/src", "xtask/src"] {
        for source in sources(folder) {
            let lines: Vec<&str> = source.whole.lines().collect();
            for (index, line) in lines.iter().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let opens = code.contains("unsafe {") || code.contains("unsafe impl");
                let before = lines.get(index.saturating_sub(4)..=index).unwrap_or_default();
                if opens && !before.iter().any(|line| line.contains("SAFETY:")) {
                    wrong.push(format!("{folder}/{}:{}", source.path, index + 1));
                }
            }
        }
    }
    none(&wrong, "unsafe code without `// SAFETY:`");
}

#[test]
fn readers_of_foreign_bytes_cannot_panic() {
    let all = agent();
    for reader in READERS {
        let source = all.iter().find(|source| source.path == reader).unwrap_or_else(|| panic!("there is no {reader}"));
        let head = source.code.split("\nuse ").next().unwrap_or_default();
        assert!(head.contains("deny("), "{reader} denies lints");
        for lint in LINTS {
            assert!(head.contains(&format!("clippy::{lint}")), "{reader} denies clippy::{lint}");
        }
    }
    // What the lints at the top of a module do not see: one that is allowed again further down.
    let excused = all.iter().filter(|source| {
        let code = source.without_tests();
        LINTS.iter().any(|lint| ["allow", "expect"].iter().any(|word| code.contains(&format!("{word}(clippy::{lint}"))))
            || code.contains("todo!(")
            || code.contains("unimplemented!(")
    });
    none(&excused.map(|source| source.path.clone()).collect::<Vec<_>>(), "a lint against panics is switched off");
}

#[test]
fn every_counter_is_listed() {
    for (file, name) in
        [("pipeline/counters.rs", "PipelineCounters"), ("correlate/tracer/counters.rs", "TracerCounters")]
    {
        let all = agent();
        let source = all.iter().find(|source| source.path == file).unwrap_or_else(|| panic!("there is no {file}"));
        let body = source.code.split(&format!("pub struct {name} {{")).nth(1).expect("the structure");
        let body = body.split('}').next().expect("its end");
        let fields: Vec<&str> =
            body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next()).collect();
        assert!(fields.len() > 5, "{file}: {fields:?}");
        let list = all.iter().find(|source| source.path == "pipeline/counters.rs").expect("the list");
        for field in fields {
            let listed =
                list.code.contains(&format!("self.{field})")) || list.code.contains(&format!("traced.{field})"));
            assert!(listed, "the counter `{field}` of {file} is not listed");
        }
    }
}

#[test]
fn files_are_small() {
    let mut wrong = Vec::new();
    for folder in ["apm-agent", "apm-common", "apm-ebpf", "tests", "xtask"] {
        for source in sources(folder) {
            let lines = source.whole.lines().count();
            if lines > MOST_LINES {
                wrong.push(format!("{folder}/{}: {lines} lines", source.path));
            }
        }
    }
    none(&wrong, "files that should be several");
}

#[test]
fn no_package_registry_is_named() {
    // Put together here, so that this file names none.
    let hosts = ["crates", "npmjs", "pypi", "nuget", "rubygems", "golang"].map(|name| {
        let ends: &[&str] = match name {
            "crates" => &["io"],
            "npmjs" => &["org", "com"],
            "golang" => &["org"],
            _ => &["org"],
        };
        ends.iter()
            .map(|end| if name == "golang" { format!("proxy.{name}.{end}") } else { format!("{name}.{end}") })
            .collect::<Vec<_>>()
    });
    let hosts: Vec<String> = hosts.into_iter().flatten().collect();
    let mut wrong = Vec::new();
    for path in files(root()) {
        // Cargo writes the host of its own registry's index into lock files.
        if path.file_name().is_some_and(|name| name == "Cargo.lock") {
            continue;
        }
        let Ok(bytes) = fs::read(&path) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        wrong.extend(
            hosts.iter().filter(|host| text.contains(host.as_str())).map(|host| format!("{}: {host}", path.display())),
        );
    }
    none(&wrong, "hosts of package registries");
}
