//! The libraries that a program of Node.js has beside it, and what the script would do with them. They are looked for as
//! Node.js does: in `node_modules` beside the main script and above, and in `NODE_PATH`; parts of a library also from where
//! that lies. Nothing of the process is asked, so that some of them may never be loaded.

use std::path::{Component, Path, PathBuf};

use super::{
    recognise::{CLIMB, package_of, script},
    script::{Known, known},
};
use crate::runtime::Subject;

/// What is told of each library, by the script's name of it, and packages that it comes with, where their name is another.
const LIBRARIES: &[(&str, &str, &[&str])] = &[
    ("express", "routes, errors", &[]),
    ("fastify", "routes, errors", &[]),
    ("koa", "routes, errors", &[]),
    ("hapi", "routes, errors", &["@hapi/hapi"]),
    ("restify", "routes, errors", &[]),
    ("pg", "statements", &[]),
    ("mysql", "statements", &[]),
    ("mysql2", "statements", &[]),
    ("tedious", "statements", &[]),
    ("cassandra-driver", "statements", &[]),
    ("ioredis", "commands", &[]),
    ("redis", "commands", &[]),
    ("memcached", "commands", &[]),
    ("mongodb", "commands", &[]),
    ("elasticsearch", "requests to it", &["@elastic/elasticsearch"]),
    ("ws", "messages sent", &[]),
    ("kafkajs", "messages sent and received", &[]),
    ("graphql", "operations", &[]),
    ("@apollo/server", "names of operations", &[]),
    ("@smithy/smithy-client", "calls of S3, SQS, SNS, DynamoDB", AWS),
];

const AWS: &[&str] = &["@aws-sdk/client-s3", "@aws-sdk/client-sqs", "@aws-sdk/client-sns", "@aws-sdk/client-dynamodb"];

/// Most folders of `NODE_PATH`, and most characters of a version.
const PATHS: usize = 16;
const VERSION: usize = 40;

/// A library that is installed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Installed {
    /// Name under which it can be left alone.
    pub name: &'static str,
    /// Packages with their versions: the library, and what of it is changed.
    pub packages: Vec<String>,
    /// What the script would tell of it.
    pub tells: &'static str,
    /// Why the script would leave it alone.
    pub left_alone: Option<String>,
}

/// Libraries the script knows that `subject` has beside it; `off` are switched off. `None`: where its script lies is not
/// known.
pub fn installed(subject: &Subject, off: &[String]) -> Option<Vec<Installed>> {
    let main = script(subject)?;
    let places = Places { subject, main: main.parent()?.to_owned(), others: node_path(subject) };
    let known = known();
    let one = |library: &(&'static str, &'static str, &[&str])| places.library(library, &known, off);
    Some(LIBRARIES.iter().filter_map(one).collect())
}

/// Frameworks by their packages, as Elastic's agent calls them.
const FRAMEWORKS: [(&str, &str); 5] =
    [("express", "express"), ("fastify", "fastify"), ("koa", "koa"), ("@hapi/hapi", "hapi"), ("restify", "restify")];

/// The framework that the program's own package depends on, and its version; `None` also if there are several.
pub(super) fn framework(subject: &Subject) -> Option<(String, String)> {
    let main = script(subject)?;
    let (_, about) = package_of(subject, &main)?;
    let depends = |package: &str| about.get("dependencies").is_some_and(|all| all.get(package).is_some());
    let mut used = FRAMEWORKS.iter().filter(|(package, _)| depends(package));
    let ((package, name), None) = (used.next()?, used.next()) else { return None };
    let places = Places { subject, main: main.parent()?.to_owned(), others: node_path(subject) };
    let installed = places.package(package, &places.main).filter(|installed| installed.major().is_some())?;
    Some(((*name).to_owned(), installed.version))
}

/// Folders of modules that are named by the environment.
fn node_path(subject: &Subject) -> Vec<PathBuf> {
    let folders = subject.environ.get("NODE_PATH").unwrap_or_default().split(':');
    folders.filter(|folder| folder.starts_with('/')).take(PATHS).map(PathBuf::from).collect()
}

/// Where modules may lie.
struct Places<'a> {
    subject: &'a Subject<'a>,
    /// Folder of the main script.
    main: PathBuf,
    /// Folders that hold modules, wherever the main script is.
    others: Vec<PathBuf>,
}

/// A package that was found.
struct Package {
    folder: PathBuf,
    name: String,
    version: String,
}

impl Package {
    fn label(&self) -> String {
        format!("{} {}", self.name, self.version).trim_end().to_owned()
    }

    /// As the script has it: digits at the beginning.
    fn major(&self) -> Option<u32> {
        self.version.split(|digit: char| !digit.is_ascii_digit()).next()?.parse().ok()
    }
}

impl Places<'_> {
    fn library(
        &self,
        (name, tells, owners): &(&'static str, &'static str, &[&str]),
        known: &[Known],
        off: &[String],
    ) -> Option<Installed> {
        let owners = if owners.is_empty() { std::slice::from_ref(name) } else { *owners };
        let owner = owners.iter().find_map(|owner| self.package(owner, &self.main));
        let parts = known.iter().filter(|known| known.name == *name);
        let found: Vec<(&Known, Package)> =
            parts.filter_map(|part| Some((part, self.part(part, owner.as_ref())?))).collect();
        let is_known = |(known, package): &&(&Known, Package)| package.major().is_some_and(|major| known.has(major));
        let (fit, unfit): (Vec<_>, Vec<_>) = found.iter().partition(is_known);
        let changed = if fit.is_empty() { &unfit } else { &fit };
        let first = owner.as_ref().or(changed.first().map(|(_, package)| package))?;
        let parts = changed.iter().map(|(_, package)| package).filter(|package| package.name != first.name);
        let packages = std::iter::once(first).chain(parts).map(Package::label).collect();
        let left_alone = match () {
            () if off.iter().any(|off| off == name) => Some("switched off".to_owned()),
            () if fit.is_empty() => Some(unfit.first().map_or_else(|| "not a version that is known".into(), reason)),
            () => None,
        };
        Some(Installed { name, packages, tells, left_alone })
    }

    /// What the script changes of a library: the library itself, or a package below it.
    fn part(&self, part: &Known, owner: Option<&Package>) -> Option<Package> {
        let below = owner.and_then(|owner| self.package(part.package, &owner.folder));
        below.or_else(|| self.package(part.package, &self.main))
    }

    /// The package that `require` finds from a folder.
    fn package(&self, name: &str, from: &Path) -> Option<Package> {
        let is_modules = |folder: &&Path| folder.file_name().is_some_and(|name| name == "node_modules");
        let above = from.ancestors().take(CLIMB).filter(|folder| !is_modules(folder));
        let mut folders = above.map(|folder| folder.join("node_modules")).chain(self.others.iter().cloned());
        folders.find_map(|folder| self.read(name, &folder.join(name)))
    }

    fn read(&self, name: &str, folder: &Path) -> Option<Package> {
        let text = self.subject.text(&folder.join("package.json"))?;
        let about: serde_json::Value = serde_json::from_str(&text).ok()?;
        let version = about.get("version").and_then(serde_json::Value::as_str).unwrap_or_default();
        let printable = version.chars().filter(char::is_ascii_graphic).take(VERSION).collect();
        // pnpm's folders are links into its store, beside whose targets lie the parts.
        let linked = std::fs::read_link(self.subject.ours(folder)).ok();
        let folder = linked.and_then(|link| Some(straight(&folder.parent()?.join(link)))).unwrap_or(folder.to_owned());
        Some(Package { folder, name: name.to_owned(), version: printable })
    }
}

/// Why a version is not changed.
fn reason((known, package): &&(&Known, Package)) -> String {
    match package.major() {
        Some(major) if major < known.first => format!("too old, known from {} on", known.first),
        Some(_) => format!("too new, known up to {}", known.last),
        None => "of unknown version".to_owned(),
    }
}

/// The path without `..`.
fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                straight.pop();
            }
            part => straight.push(part),
        }
    }
    straight
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

    use super::*;
    use crate::process::Environ;

    fn put(folder: &Path, package: &str, version: &str) {
        let folder = folder.join("node_modules").join(package);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("package.json"), format!(r#"{{"name":"x","version":"{version}"}}"#)).unwrap();
    }

    fn subject(folder: &Path, variables: &str) -> Subject<'static> {
        let mut subject = Subject::of_binary(Path::new("/proc/self/exe")).unwrap();
        subject.arguments = vec!["node".into(), folder.join("service/main.js").display().to_string()];
        subject.environ = Environ::parse(variables.as_bytes());
        subject
    }

    fn found(folder: &Path, variables: &str, off: &[&str]) -> Vec<String> {
        let off: Vec<String> = off.iter().map(ToString::to_string).collect();
        let line = |library: Installed| format!("{} | {:?}", library.packages.join(", "), library.left_alone);
        installed(&subject(folder, variables), &off).unwrap().into_iter().map(line).collect()
    }

    #[test]
    fn every_library_of_the_script_has_its_line() {
        let names: BTreeSet<&str> = known().iter().map(|known| known.name).collect();
        assert_eq!(names, LIBRARIES.iter().map(|(name, ..)| *name).collect());
    }

    #[test]
    fn finds_what_node_would() {
        let folder = tempfile::tempdir().unwrap();
        let (root, service) = (folder.path(), folder.path().join("service"));
        put(&service, "express", "4.21.2");
        put(root, "express", "3.0.0");
        put(root, "pg", "8.11.3");
        put(&root.join("node_modules/pg"), "pg-pool", "3.6.1");
        put(root, "mysql", "1.9.0");
        put(root, "ws", "99.0.0-rc.1");
        put(root, "koa", "3.0.0");
        put(&root.join("elsewhere"), "redis", "5.12.1");
        put(&root.join("elsewhere"), "@redis/client", "5.12.1");
        let variables = format!("NODE_PATH=relative:{}\0", root.join("elsewhere/node_modules").display());
        assert_eq!(
            found(root, &variables, &["koa"]),
            [
                "express 4.21.2 | None",
                "koa 3.0.0 | Some(\"switched off\")",
                "pg 8.11.3, pg-pool 3.6.1 | None",
                "mysql 1.9.0 | Some(\"too old, known from 2 on\")",
                "redis 5.12.1, @redis/client 5.12.1 | None",
                "ws 99.0.0-rc.1 | Some(\"too new, known up to 8\")",
            ]
        );
    }

    #[test]
    fn the_framework_is_the_one_the_program_depends_on() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "@hapi/hapi", "21.4.10");
        put(folder.path(), "express", "4.21.2");
        let of = |dependencies: &str| {
            fs::write(folder.path().join("package.json"), format!(r#"{{"dependencies":{dependencies}}}"#)).unwrap();
            framework(&subject(folder.path(), ""))
        };
        assert_eq!(of(r#"{"@hapi/hapi":"^21"}"#), Some(("hapi".into(), "21.4.10".into())));
        for none in [r#"{"@hapi/hapi":"^21","express":"*"}"#, r#"{"koa":"3"}"#, "{}", "7", "[\"express\"]"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn parts_lie_beside_what_links_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("node_modules/.pnpm/express@5.1.0");
        put(&store, "express", "5.1.0");
        put(&store, "router", "2.2.0");
        symlink(".pnpm/express@5.1.0/node_modules/express", folder.path().join("node_modules/express")).unwrap();
        assert_eq!(found(folder.path(), "", &[]), ["express 5.1.0, router 2.2.0 | None"]);
    }

    #[test]
    fn hostile_files_are_no_packages() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "express", "\\u001b[31m9");
        put(folder.path(), "pg", &"8".repeat(1000));
        for (package, text) in
            [("koa", "[".repeat(1 << 20)), ("ws", String::new()), ("mysql", "{\"version\":{}}".into())]
        {
            put(folder.path(), package, "");
            fs::write(folder.path().join("node_modules").join(package).join("package.json"), text).unwrap();
        }
        let (eights, unknown) = ("8".repeat(VERSION), "Some(\"of unknown version\")");
        let expected =
            [format!("express [31m9 | {unknown}"), format!("pg {eights} | {unknown}"), format!("mysql | {unknown}")];
        assert_eq!(found(folder.path(), "", &[]), expected);
    }
}
