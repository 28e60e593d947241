//! Node.js. Known by the functions the executable (or `libnode.so`, in Debian's build) exports for native modules;
//! the version by the text `node.js/v…`, which every build holds as the inspector's name of the target.

use std::path::{Path, PathBuf};

use super::installed::framework;
use crate::{
    binary::Binary,
    runtime::{Detected, Named, Runtime, Subject, is_version},
};

/// `service.agent.name` of the agent whose pages Kibana shows.
pub const AGENT_NAME: &str = "nodejs";

/// The run time.
pub struct NodeJs;

/// Options of node that take the next argument as their value.
const WITH_VALUE: [&str; 9] =
    ["-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file", "--title"];

/// Folders climbed at most in search of `package.json`.
pub(super) const CLIMB: usize = 32;

impl Runtime for NodeJs {
    fn name(&self) -> &'static str {
        "Node.js"
    }

    fn detect(&self, subject: &Subject) -> Option<Detected> {
        let exported = subject.binary.exports("_ZN4node5StartEiPPc") || subject.binary.exports("node_module_register");
        let library = subject.binary.links("libnode.so");
        let evidence = match library {
            _ if exported => "the executable exports `node::Start`".to_string(),
            Some(library) => format!("the executable links `{library}`"),
            None => return None,
        };
        let version = if exported {
            version(&subject.binary)
        } else {
            subject.mapped_binary("libnode.so").as_ref().and_then(version)
        };
        Some(Detected {
            agent_name: AGENT_NAME,
            language: Some(("javascript".into(), None)),
            runtime: version.map(|version| ("node".into(), version)),
            architecture: if cfg!(target_arch = "x86_64") { "x64" } else { "arm64" },
            evidence,
        })
    }

    fn service(&self, subject: &Subject) -> Option<Named> {
        let start = script(subject).or_else(|| subject.process?.folder())?;
        let (path, package) = package_of(subject, &start)?;
        let version = package.get("version").and_then(|value| value.as_str()).map(str::to_string);
        let name = package.get("name").and_then(|value| value.as_str()).unwrap_or_default();
        Some(Named { name: unscoped(name), version, source: format!("`name` in `{}`", path.display()) })
    }

    fn environment(&self, subject: &Subject) -> Option<String> {
        Some(subject.environ.get("NODE_ENV").unwrap_or("development").to_string())
    }

    fn framework(&self, subject: &Subject) -> Option<(String, String)> {
        framework(subject)
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "what the script in the process does not tell (`node_bridge`) comes from the wire alone: where it is refused there are no parents, routes and exceptions, and nothing of what TLS hides",
            "node itself writes \"Debugger listening\" and three to four lines more to standard error each time the script is put in",
        ]
    }
}

fn version(binary: &Binary) -> Option<String> {
    binary.text_after(b"node.js/v", is_version)
}

/// `@scope/name` becomes `scope-name`, as Elastic's agent has it.
fn unscoped(name: &str) -> String {
    match name.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
        Some((scope, name)) => format!("{scope}-{name}"),
        None => name.to_string(),
    }
}

/// The main script, absolute.
pub(super) fn script(subject: &Subject) -> Option<PathBuf> {
    let mut words = subject.arguments.iter().skip(1);
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if ["-e", "--eval", "-p", "--print", "-pe"].contains(&word.as_str()) {
            return None;
        } else if word == "--" {
            return subject.absolute(words.next()?);
        } else if !word.starts_with('-') && word != "inspect" {
            let path = subject.absolute(word)?;
            // `node_modules/.bin/x` is a link into the package.
            let linked = std::fs::read_link(subject.ours(&path)).ok();
            return Some(linked.and_then(|link| Some(path.parent()?.join(link))).unwrap_or(path));
        }
    }
    None
}

/// The nearest `package.json`, in the script's folder or above.
pub(super) fn package_of(subject: &Subject, start: &Path) -> Option<(PathBuf, serde_json::Value)> {
    start.ancestors().take(CLIMB).find_map(|folder| {
        let path = folder.join("package.json");
        let package = serde_json::from_str(&subject.text(&path)?).ok()?;
        Some((path, package))
    })
}
