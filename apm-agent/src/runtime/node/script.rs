//! The script that is evaluated in a Node.js process, as one expression.
//!
//! It lies in `script/`, in small files that share one scope; their order is [`FILES`]. The expression's value is a text,
//! [`Status`] in JSON.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

use super::record::ATTRIBUTES;
use crate::correlate::trace_context;

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(include_str!(concat!("script/", $name))),*] };
}

/// The files, in the order in which they are evaluated.
const FILES: &[&str] = files![
    "begin.js",
    "hooks.js",
    "record.js",
    "context.js",
    "errors.js",
    "span.js",
    "http_server.js",
    "http2_server.js",
    "http_client.js",
    "http2_client.js",
    "undici.js",
    "metrics.js",
    "workers.js",
    "libraries.js",
    "bundles.js",
    "library/express.js",
    "library/fastify.js",
    "library/koa.js",
    "library/hapi.js",
    "library/restify.js",
    "library/pg.js",
    "library/mysql2.js",
    "library/mysql.js",
    "library/ioredis.js",
    "library/redis.js",
    "library/memcached.js",
    "library/mongodb.js",
    "library/tedious.js",
    "library/elasticsearch.js",
    "library/ws.js",
    "library/cassandra.js",
    "library/kafkajs.js",
    "library/graphql.js",
    "library/aws.js",
    "lease.js",
    "attach.js",
];

/// A package that the script changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Name of the library, by which it is switched off.
    pub name: &'static str,
    /// The package.
    pub package: &'static str,
    /// First and last major that were tried.
    pub first: u32,
    /// See `first`.
    pub last: u32,
}

impl Known {
    /// This major was tried.
    pub fn has(&self, major: u32) -> bool {
        (self.first..=self.last).contains(&major)
    }
}

/// What the files of libraries say of themselves: `name: 'pg', package: 'pg-pool', versions: [2, 3]`.
pub fn known() -> Vec<Known> {
    FILES.iter().flat_map(|file| heads(file)).collect()
}

fn heads(file: &'static str) -> Vec<Known> {
    let mut found = Vec::new();
    let mut above = file;
    while let Some((head, rest)) = above.split_once("versions: [") {
        let Some((versions, rest)) = rest.split_once(']') else { break };
        let named = |text: &'static str, name: &str| {
            let (_, value) = text.rsplit_once(name)?;
            Some((value, value.split_once('\'')?.0))
        };
        if let (Some((behind, name)), Some((first, last))) = (named(head, "name: '"), versions.split_once(", "))
            && let (Ok(first), Ok(last)) = (first.parse(), last.parse())
        {
            let package = named(behind, "package: '").map_or(name, |(_, package)| package);
            found.push(Known { name, package, first, last });
        }
        above = rest;
    }
    found
}

/// Name under which stack traces show functions of the script.
pub const SOURCE: &str = "apm-agent:script";

/// What the script has to know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScriptSettings {
    /// Port on 127.0.0.1, in the process's network namespace, where the agent holds the lease; 0: there is no lease, and
    /// the script stays until its process ends.
    pub lease_port: u16,
    /// Milliseconds after which a record is written at the latest, while the process is not busy.
    pub flush_ms: u32,
    /// Part of the traces that begin in the process that is recorded, 0 to 1.
    pub sample_rate: f64,
    /// Milliseconds between two reports of the run time's own metrics; 0: none.
    pub metrics_interval_ms: u32,
    /// Calls are linked to the request that makes them. Before Node.js 24 that has its price at each `await`.
    pub context: bool,
    /// Request headers are told, where the wire does not show them.
    pub capture_headers: bool,
    /// Calls carry the header `elastic-apm-traceparent`, too.
    pub elastic_header: bool,
    /// Everything is told of requests that the wire shows as well.
    pub all_facts: bool,
    /// Libraries that are left alone, by the names [`Status::patched`] begins with.
    pub off: Vec<String>,
    /// Libraries inside bundles are looked for, where the program may be one.
    pub bundles: bool,
    /// File that gets the records instead of /dev/null. For tests.
    pub output: Option<String>,
}

impl Default for ScriptSettings {
    fn default() -> Self {
        Self {
            lease_port: 0,
            flush_ms: 200,
            sample_rate: 1.0,
            metrics_interval_ms: 30_000,
            context: true,
            capture_headers: true,
            elastic_header: true,
            all_facts: false,
            off: Vec::new(),
            bundles: true,
            output: None,
        }
    }
}

/// What evaluating the script gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// It is in place. If not, everything is as it was before.
    pub ok: bool,
    /// Why it is not.
    pub reason: String,
    /// `process.version`.
    pub version: String,
    /// The process, by its number in its own namespace.
    pub pid: u32,
    /// The descriptor it writes its records to.
    pub fd: i32,
    /// What is watched, with the versions of libraries and of packages they come with: `http`, `pg 8.11.3`,
    /// `pg (pg-pool 3.6.1)`. More may come as modules are loaded.
    pub patched: Vec<String>,
    /// What could be watched and is not.
    pub refused: Vec<Refusal>,
    /// Errors of the script itself, kept from the application.
    pub bugs: Vec<String>,
}

/// A library that is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// Name and version.
    pub library: String,
    /// Why.
    pub reason: String,
}

/// What the script sees besides [`ScriptSettings`].
#[derive(Serialize)]
struct Given<'a> {
    #[serde(flatten)]
    settings: &'a ScriptSettings,
    /// The same in two scripts that do the same.
    build: String,
    /// `tracestate` of a trace that begins in the process and is recorded.
    tracestate: String,
    /// Under what name stack traces show it.
    source: &'static str,
    /// Names of attributes; their place is their code.
    attributes: &'a [&'static str],
}

/// The expression, to be evaluated with the command line API (`includeCommandLineAPI`), which has `require`.
///
/// Evaluated where a script is already, it takes over when it would do something else, and else only takes the new lease.
pub fn expression(settings: &ScriptSettings) -> String {
    let tracestate = trace_context::format_tracestate(settings.sample_rate);
    let given = Given { settings, build: build(settings), tracestate, source: SOURCE, attributes: ATTRIBUTES };
    let given = serde_json::to_string(&given).unwrap_or_default();
    let script = FILES.concat();
    format!(
        "(function script (require, settings) {{ 'use strict'\n{script}\n}})(typeof require === 'function' ? require : \
         undefined, {given})\n//# sourceURL={SOURCE}\n"
    )
}

fn build(settings: &ScriptSettings) -> String {
    let mut hasher = DefaultHasher::new();
    FILES.hash(&mut hasher);
    let settings = ScriptSettings { lease_port: 0, ..settings.clone() };
    serde_json::to_string(&settings).unwrap_or_default().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_part_of_the_expression() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/runtime/node/script");
        let files = |folder: &std::path::Path| {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "js")).collect::<Vec<_>>()
        };
        let all = [files(&folder), files(&folder.join("library"))].concat();
        assert_eq!(all.len(), FILES.len());
        let expression = expression(&ScriptSettings::default());
        for path in all {
            assert!(expression.contains(&std::fs::read_to_string(&path).unwrap()), "{}", path.display());
        }
    }

    /// The files share one scope, and JavaScript takes the last function of a name.
    #[test]
    fn no_function_is_hidden_by_another_of_its_name() {
        let text = FILES.concat();
        let named = text.lines().filter_map(|line| line.trim_start_matches("async ").strip_prefix("function "));
        let mut names: Vec<&str> =
            named.filter_map(|rest| rest.trim_start_matches("* ").split([' ', '(']).next()).collect();
        names.sort_unstable();
        let twice: Vec<&[&str]> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(names.len() > 100 && twice.is_empty(), "{} functions, {twice:?}", names.len());
    }

    #[test]
    fn libraries_say_what_they_are() {
        let files = FILES.iter().filter(|file| file.contains("libraries.push(")).count();
        let (known, said) = (known(), FILES.concat().matches("versions: [").count());
        assert!(files > 15 && known.len() == said, "{known:?}");
        for wanted in [
            Known { name: "express", package: "express", first: 4, last: 4 },
            Known { name: "express", package: "router", first: 2, last: 2 },
            Known { name: "pg", package: "pg-pool", first: 2, last: 3 },
            Known { name: "@smithy/smithy-client", package: "@smithy/core", first: 3, last: 3 },
        ] {
            assert!(known.contains(&wanted), "{wanted:?} {known:?}");
        }
    }

    #[test]
    fn the_same_script_is_known_by_its_build() {
        let settings = ScriptSettings::default();
        assert_eq!(build(&settings), build(&ScriptSettings { lease_port: 9, ..settings.clone() }));
        assert_ne!(build(&settings), build(&ScriptSettings { sample_rate: 0.5, ..settings }));
    }

    #[test]
    fn settings_are_part_of_the_expression() {
        let settings = ScriptSettings { sample_rate: 0.5, off: vec!["p\"g".into()], ..ScriptSettings::default() };
        let expression = expression(&settings);
        assert!(expression.contains(r#""off":["p\"g"]"#) && expression.contains(r#""tracestate":"es=s:0.5""#));
        assert!(expression.ends_with(&format!("\n//# sourceURL={SOURCE}\n")));
    }

    #[test]
    fn a_status_may_lack_anything() {
        let status: Status = serde_json::from_str(r#"{"ok":false,"reason":"x","more":1}"#).unwrap();
        assert_eq!(status, Status { reason: "x".into(), ..Status::default() });
    }
}
