//! The one table of options.
//!
//! Keys without a dot are Elastic's names and stand at the top of the file; `targets.` and `outputs.` keys are ours and
//! stand in the sections of that name. Environment variables are `ELASTIC_APM_…` where Elastic has the option and
//! `APM_AGENT_…` where it has not.

use super::{
    Settings,
    value::{self, Kind, LOG_LEVELS, Unfit},
};

/// Where an option is shown in `--help`, and which commands take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Which processes.
    Targets,
    /// Where documents go.
    Outputs,
    /// How documents are made.
    Capture,
    /// What is measured.
    Metrics,
    /// Service fields.
    Service,
    /// The run itself.
    Run,
}

/// One option.
pub struct Row {
    /// Key in the configuration file.
    pub key: &'static str,
    /// Environment variable.
    pub environment: &'static str,
    /// Flag, without dashes.
    pub flag: &'static str,
    /// How its value is written.
    pub kind: Kind,
    /// Default, for people; empty when there is none.
    pub default: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Where it belongs.
    pub group: Group,
    /// Never shown.
    pub secret: bool,
    /// Puts the value's items (one, unless the kind is a list) into the settings.
    pub set: fn(&mut Settings, &[String]) -> Result<(), Unfit>,
}

/// The row of a key.
pub fn find(key: &str) -> Option<&'static Row> {
    OPTIONS.iter().find(|row| row.key == key)
}

fn one(items: &[String]) -> Result<&str, Unfit> {
    match items {
        [item] => Ok(item),
        _ => Err(Unfit),
    }
}

/// Lists are stored whole; a list option may be written empty to say "none".
fn list(items: &[String]) -> Vec<String> {
    items.to_vec()
}

fn narrow<T: TryFrom<u64>>(numbers: Vec<u64>) -> Result<Vec<T>, Unfit> {
    numbers.into_iter().map(|number| T::try_from(number).map_err(|_| Unfit)).collect()
}

const PIDS: Kind = Kind::Integers(1, 4_194_304);
const PORTS: Kind = Kind::Integers(1, 65_535);
const LARGEST_PID: u64 = 4_194_304;

/// A row: key, environment, flag, kind, default, help, group, then `|settings, items|` and the assignment.
macro_rules! row {
    ($key:literal, $environment:literal, $flag:literal, $kind:expr, $default:literal, $group:ident, $help:literal,
     |$settings:ident, $items:ident| $assign:expr) => {
        row!(@ $key, $environment, $flag, $kind, $default, $group, $help, false, |$settings, $items| $assign)
    };
    (secret $key:literal, $environment:literal, $flag:literal, $kind:expr, $default:literal, $group:ident, $help:literal,
     |$settings:ident, $items:ident| $assign:expr) => {
        row!(@ $key, $environment, $flag, $kind, $default, $group, $help, true, |$settings, $items| $assign)
    };
    (@ $key:literal, $environment:literal, $flag:literal, $kind:expr, $default:literal, $group:ident, $help:literal,
     $secret:literal, |$settings:ident, $items:ident| $assign:expr) => {
        Row {
            key: $key, environment: $environment, flag: $flag, kind: $kind, default: $default, help: $help,
            group: Group::$group, secret: $secret,
            set: |$settings, $items| { $assign; Ok(()) },
        }
    };
}

/// Every option, in the order `--help` shows them.
#[rustfmt::skip]
pub static OPTIONS: &[Row] = &[
    row!("targets.pids", "APM_AGENT_PIDS", "pid", PIDS, "", Targets,
        "Watch the process with this id and its children",
        |s, items| s.targets.pids = narrow(value::integers(items, 1, LARGEST_PID)?)?),
    row!("targets.executables", "APM_AGENT_EXECUTABLES", "exe", Kind::Executables, "", Targets,
        "Watch processes that run this executable: a path, a glob, or a file name (no `/`), also ones that start later",
        |s, items| s.targets.executables = value::executables(items)?),
    row!("targets.ports", "APM_AGENT_PORTS", "port", PORTS, "", Targets,
        "Watch processes that listen on this TCP port",
        |s, items| s.targets.ports = narrow(value::integers(items, 1, 65_535)?)?),
    row!("targets.all", "APM_AGENT_ALL", "all", Kind::Boolean, "false", Targets,
        "Watch every process but kernel threads and the agent itself",
        |s, items| s.targets.all = value::boolean(one(items)?)?),
    row!("targets.exclude_executables", "APM_AGENT_EXCLUDE_EXECUTABLES", "exclude-exe", Kind::Executables, "", Targets,
        "Never watch this executable: a path, a glob, or a file name",
        |s, items| s.targets.exclude_executables = value::executables(items)?),
    row!("targets.exclude_ports", "APM_AGENT_EXCLUDE_PORTS", "exclude-port", PORTS, "", Targets,
        "Never watch processes that listen on this TCP port",
        |s, items| s.targets.exclude_ports = narrow(value::integers(items, 1, 65_535)?)?),
    row!("targets.exclude_pids", "APM_AGENT_EXCLUDE_PIDS", "exclude-pid", PIDS, "", Targets,
        "Never watch the process with this id",
        |s, items| s.targets.exclude_pids = narrow(value::integers(items, 1, LARGEST_PID)?)?),

    row!("server_url", "ELASTIC_APM_SERVER_URL", "server-url", Kind::Url, "", Outputs,
        "Send to APM Server at this base URL",
        |s, items| s.outputs.server_url = Some(value::url(one(items)?)?)),
    row!(secret "secret_token", "ELASTIC_APM_SECRET_TOKEN", "secret-token", Kind::Text, "", Outputs,
        "Secret token of APM Server (better set in the environment: flags are visible to everybody)",
        |s, items| s.outputs.secret_token = Some(value::text(one(items)?)?)),
    row!(secret "api_key", "ELASTIC_APM_API_KEY", "api-key", Kind::Text, "", Outputs,
        "API key of APM Server; wins over the secret token",
        |s, items| s.outputs.api_key = Some(value::text(one(items)?)?)),
    row!("verify_server_cert", "ELASTIC_APM_VERIFY_SERVER_CERT", "verify-server-cert", Kind::Boolean, "true", Outputs,
        "Check the server's certificate",
        |s, items| s.outputs.verify_server_cert = value::boolean(one(items)?)?),
    row!("server_ca_cert_file", "ELASTIC_APM_SERVER_CA_CERT_FILE", "server-ca-cert-file", Kind::Path, "", Outputs,
        "Trust the root certificates in this PEM file as well",
        |s, items| s.outputs.server_ca_cert_file = Some(value::path(one(items)?)?)),
    row!("server_timeout", "ELASTIC_APM_SERVER_TIMEOUT", "server-timeout", Kind::Duration, "30s", Outputs,
        "Wait this long for the server's answer",
        |s, items| s.outputs.server_timeout = value::duration(one(items)?)?),
    row!("api_request_size", "ELASTIC_APM_API_REQUEST_SIZE", "api-request-size", Kind::Size, "768kb", Outputs,
        "End a request to the server at this many compressed bytes",
        |s, items| s.outputs.api_request_size = value::size(one(items)?)?),
    row!("api_request_time", "ELASTIC_APM_API_REQUEST_TIME", "api-request-time", Kind::Duration, "10s", Outputs,
        "End a request to the server after this time",
        |s, items| s.outputs.api_request_time = value::duration(one(items)?)?),
    row!("max_queue_size", "ELASTIC_APM_MAX_QUEUE_SIZE", "max-queue-size", Kind::Integer(1, 1_000_000), "8192", Outputs,
        "Keep at most this many events for the server; more are dropped and counted",
        |s, items| s.outputs.max_queue_size = value::integer(one(items)?, 1, 1_000_000)? as usize),
    row!("outputs.file", "APM_AGENT_FILE", "file", Kind::Path, "", Outputs,
        "Append documents to this file, one JSON object per line",
        |s, items| s.outputs.file = Some(value::path(one(items)?)?)),
    row!("outputs.file_rotate_size", "APM_AGENT_FILE_ROTATE_SIZE", "file-rotate-size", Kind::Size, "100mb", Outputs,
        "Start a new file when the old one has this size",
        |s, items| s.outputs.file_rotate_size = value::size(one(items)?)?),
    row!("outputs.file_rotate_keep", "APM_AGENT_FILE_ROTATE_KEEP", "file-rotate-keep", Kind::Integer(0, 1000), "3", Outputs,
        "Keep this many full files",
        |s, items| s.outputs.file_rotate_keep = value::integer(one(items)?, 0, 1000)? as u32),
    row!("outputs.console", "APM_AGENT_CONSOLE", "console", Kind::Boolean, "true without server and file", Outputs,
        "Print each transaction with its spans as a tree",
        |s, items| s.outputs.console = Some(value::boolean(one(items)?)?)),
    row!("outputs.color", "APM_AGENT_COLOR", "color", Kind::Choice(&["auto", "always", "never"]), "auto", Outputs,
        "Colour the console: on a terminal, always or never",
        |s, items| s.outputs.color = value::color(one(items)?)?),

    row!("transaction_sample_rate", "ELASTIC_APM_TRANSACTION_SAMPLE_RATE", "transaction-sample-rate", Kind::Fraction, "1", Capture,
        "Report this part of the transactions that start here with all their details",
        |s, items| s.capture.sample_rate = value::fraction(one(items)?)?),
    row!("transaction_max_spans", "ELASTIC_APM_TRANSACTION_MAX_SPANS", "transaction-max-spans", Kind::Integer(0, 1_000_000), "500", Capture,
        "Report at most this many spans of a transaction; more are dropped and counted in it",
        |s, items| s.capture.max_spans = value::integer(one(items)?, 0, 1_000_000)? as u32),
    row!("transaction_ignore_urls", "ELASTIC_APM_TRANSACTION_IGNORE_URLS", "transaction-ignore-urls", Kind::List, "", Capture,
        "Report no transaction for paths that match one of these wildcards, such as `/health*`",
        |s, items| s.capture.ignore_urls = list(items)),
    row!("capture_headers", "ELASTIC_APM_CAPTURE_HEADERS", "capture-headers", Kind::Boolean, "true", Capture,
        "Report request and response headers",
        |s, items| s.capture.headers = value::boolean(one(items)?)?),
    row!("sanitize_field_names", "ELASTIC_APM_SANITIZE_FIELD_NAMES", "sanitize-field-names", Kind::List,
        "password, passwd, pwd, secret, *key, *token*, *session*, *credit*, *card*, *auth*, set-cookie, *principal*", Capture,
        "Replace the values of headers, cookies and form fields whose name matches one of these wildcards",
        |s, items| s.capture.sanitize_field_names = list(items)),
    row!("use_path_as_transaction_name", "ELASTIC_APM_USE_PATH_AS_TRANSACTION_NAME", "use-path-as-transaction-name", Kind::Boolean, "false", Capture,
        "Name a transaction by its path where no route is known",
        |s, items| s.capture.use_path_as_name = value::boolean(one(items)?)?),
    row!("transaction_name_groups", "ELASTIC_APM_TRANSACTION_NAME_GROUPS", "transaction-name-groups", Kind::List, "", Capture,
        "Give transactions whose name matches one of these wildcards that wildcard as name",
        |s, items| s.capture.name_groups = list(items)),
    row!("span_compression_enabled", "ELASTIC_APM_SPAN_COMPRESSION_ENABLED", "span-compression-enabled", Kind::Boolean, "true", Capture,
        "Report a run of similar short calls as one span",
        |s, items| s.capture.compression = value::boolean(one(items)?)?),
    row!("span_compression_exact_match_max_duration", "ELASTIC_APM_SPAN_COMPRESSION_EXACT_MATCH_MAX_DURATION",
        "span-compression-exact-match-max-duration", Kind::Duration, "50ms", Capture,
        "Longest call that is put together with equal ones",
        |s, items| s.capture.compression_exact_match = value::duration(one(items)?)?),
    row!("span_compression_same_kind_max_duration", "ELASTIC_APM_SPAN_COMPRESSION_SAME_KIND_MAX_DURATION",
        "span-compression-same-kind-max-duration", Kind::Duration, "0ms", Capture,
        "Longest call that is put together with others to the same destination",
        |s, items| s.capture.compression_same_kind = value::duration(one(items)?)?),
    row!("exit_span_min_duration", "ELASTIC_APM_EXIT_SPAN_MIN_DURATION", "exit-span-min-duration", Kind::Duration, "0ms", Capture,
        "Drop calls shorter than this, and count them",
        |s, items| s.capture.exit_span_min_duration = value::duration(one(items)?)?),
    row!("stack_trace_limit", "ELASTIC_APM_STACK_TRACE_LIMIT", "stack-trace-limit", Kind::Limit(10_000), "50", Capture,
        "Report at most this many frames of a stack; 0: none, -1: all",
        |s, items| s.capture.stack_trace_limit = value::limit(one(items)?, 10_000)?),
    row!("trace_continuation_strategy", "ELASTIC_APM_TRACE_CONTINUATION_STRATEGY", "trace-continuation-strategy",
        Kind::Choice(&["continue", "restart", "restart_external"]), "continue", Capture,
        "Continue an incoming trace, start a new one, or start a new one unless Elastic started the incoming one",
        |s, items| s.capture.continuation = value::continuation(one(items)?)?),
    row!("orphans", "APM_AGENT_ORPHANS", "orphans", Kind::Choice(&["keep", "drop"]), "keep", Capture,
        "Report a call with no certain parent as a transaction of its own, or drop and count it",
        |s, items| s.capture.orphans = value::orphans(one(items)?)?),
    row!("capture_log_errors", "APM_AGENT_CAPTURE_LOG_ERRORS", "capture-log-errors", Kind::Boolean, "true", Capture,
        "Report what a .NET program logs as an error (`ILogger`, level Error or Critical)",
        |s, items| s.capture.log_errors = value::boolean(one(items)?)?),
    row!("log_sending", "ELASTIC_APM_LOG_SENDING", "log-sending", Kind::Boolean, "false", Capture,
        "Send what a .NET program logs (`ILogger`, by its own filters) as log events with their trace; APM Server from 8.6 on",
        |s, items| s.capture.log_sending = value::boolean(one(items)?)?),
    row!("dotnet_bridge", "APM_AGENT_DOTNET_BRIDGE", "dotnet-bridge", Kind::Boolean, "true", Capture,
        "Listen to .NET through its diagnostics port: exact parents, routes, errors, metrics",
        |s, items| s.bridges.dotnet = value::boolean(one(items)?)?),
    row!("dotnet_activity_sources", "APM_AGENT_DOTNET_ACTIVITY_SOURCES", "dotnet-activity-sources", Kind::List, "", Capture,
        "Activity sources to report on .NET 8, which cannot be asked for all of them",
        |s, items| s.bridges.dotnet_sources = list(items)),
    row!("go_probes", "APM_AGENT_GO_PROBES", "go-probes", Kind::Boolean, "true", Capture,
        "Set probes in the code of Go programs: exact parents of calls, and routes",
        |s, items| s.bridges.go = value::boolean(one(items)?)?),
    row!("go_routes", "APM_AGENT_GO_ROUTES", "go-routes", Kind::Boolean, "true", Capture,
        "Name requests of Go programs by the patterns of `http.ServeMux` (Go 1.22 on)",
        |s, items| s.bridges.go_routes = value::boolean(one(items)?)?),
    row!("propagation", "APM_AGENT_PROPAGATION", "propagation",
        Kind::Choice(&["true", "plain", "stop-and-write", "false"]), "true", Capture,
        "Put `traceparent` into the calls of Go programs: plain HTTP/1 at the socket (on a connection older than the agent from the second call on), and those over TLS, HTTP/2 and gRPC in the program's memory, where the kernel lets us; `plain` leaves memory alone; `stop-and-write` stops the program for each such call where the kernel does not",
        |s, items| s.bridges.propagation = value::propagation(one(items)?)?),
    row!("go_ancestry", "APM_AGENT_GO_ANCESTRY", "go-ancestry", Kind::Boolean, "false", Capture,
        "Link calls of Go programs that are made without a context to the open request that made their goroutine: a guess, wrong for workers that serve others too; every `go` statement costs about 1 µs more",
        |s, items| s.bridges.go_ancestry = value::boolean(one(items)?)?),
    row!("node_bridge", "APM_AGENT_NODE_BRIDGE", "node-bridge", Kind::Boolean, "true", Capture,
        "Put a script into Node.js through its inspector: exact parents, routes, errors, metrics, what TLS hides",
        |s, items| s.bridges.node = value::boolean(one(items)?)?),
    row!("node_context", "APM_AGENT_NODE_CONTEXT", "node-context", Kind::Boolean, "true", Capture,
        "Let the script in Node.js know which request makes a call; before Node.js 24 every `await` costs some 90 ns more",
        |s, items| s.bridges.node_context = value::boolean(one(items)?)?),
    row!("node_bundles", "APM_AGENT_NODE_BUNDLES", "node-bundles", Kind::Boolean, "true", Capture,
        "Find libraries that are bundled into one file with a Node.js program, with its debugger, which is on for a minute at most and stops nothing",
        |s, items| s.bridges.node_bundles = value::boolean(one(items)?)?),
    row!("disable_instrumentations", "ELASTIC_APM_DISABLE_INSTRUMENTATIONS", "disable-instrumentations", Kind::List, "", Capture,
        "Libraries of Node.js and groups of Go's probes to leave alone, such as `pg,ioredis,gin` (`inspect` names those of Go); what they do on the wire is still told",
        |s, items| s.bridges.left_alone = list(items)),

    row!("metrics_interval", "ELASTIC_APM_METRICS_INTERVAL", "metrics-interval", Kind::Duration, "30s", Metrics,
        "Measure CPU and memory of each service instance this often, at most once a second; `0s`: never",
        |s, items| s.metrics.interval = value::duration(one(items)?)?),
    row!("disable_metrics", "ELASTIC_APM_DISABLE_METRICS", "disable-metrics", Kind::List, "", Metrics,
        "Report no metric whose name matches one of these wildcards, such as `system.process.cgroup.*`",
        |s, items| s.metrics.disabled = list(items)),

    row!("service_name", "ELASTIC_APM_SERVICE_NAME", "service-name", Kind::Text, "detected for each process", Service,
        "Service name of every process watched",
        |s, items| s.service.name = Some(value::text(one(items)?)?)),
    row!("service_version", "ELASTIC_APM_SERVICE_VERSION", "service-version", Kind::Text, "", Service,
        "Service version of every process watched",
        |s, items| s.service.version = Some(value::text(one(items)?)?)),
    row!("environment", "ELASTIC_APM_ENVIRONMENT", "environment", Kind::Text, "", Service,
        "Environment of every process watched, such as `production`",
        |s, items| s.service.environment = Some(value::text(one(items)?)?)),
    row!("service_node_name", "ELASTIC_APM_SERVICE_NODE_NAME", "service-node-name", Kind::Text, "", Service,
        "Name of the instance among others of its service",
        |s, items| s.service.node_name = Some(value::text(one(items)?)?)),
    row!("hostname", "ELASTIC_APM_HOSTNAME", "hostname", Kind::Text, "detected for each process", Service,
        "Host name to report",
        |s, items| s.service.hostname = Some(value::text(one(items)?)?)),
    row!("global_labels", "ELASTIC_APM_GLOBAL_LABELS", "global-labels", Kind::Mapping, "", Service,
        "Labels of every document",
        |s, items| s.service.global_labels = value::mapping(items)?),

    row!("duration", "APM_AGENT_DURATION", "duration", Kind::Duration, "until stopped", Run,
        "Stop after this time",
        |s, items| s.duration = Some(value::duration(one(items)?)?)),
    row!("stats", "APM_AGENT_STATS", "stats", Kind::Boolean, "false", Run,
        "Print every counter at the end (SIGUSR1 prints them at any time)",
        |s, items| s.report.stats = value::boolean(one(items)?)?),
    row!("stats_file", "APM_AGENT_STATS_FILE", "stats-file", Kind::Path, "", Run,
        "Write every counter to this file as JSON, every 10 s and at the end",
        |s, items| s.report.stats_file = Some(value::path(one(items)?)?)),
    row!("log_level", "ELASTIC_APM_LOG_LEVEL", "log-level", Kind::Choice(LOG_LEVELS), "info", Run,
        "How much is written to standard error",
        |s, items| s.log_level = value::log_level(one(items)?)?),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Defaults that are a sentence and not a value.
    const DESCRIBED: &[&str] = &["outputs.console", "service_name", "hostname", "duration"];

    #[test]
    fn defaults_in_the_table_are_the_defaults_of_the_structs() {
        for row in OPTIONS.iter().filter(|row| !row.default.is_empty() && !DESCRIBED.contains(&row.key)) {
            let items = if row.kind.is_list() { value::split_list(row.default) } else { vec![row.default.to_string()] };
            let mut settings = Settings::default();
            assert_eq!((row.set)(&mut settings, &items), Ok(()), "{}", row.key);
            assert_eq!(settings, Settings::default(), "{}", row.key);
        }
    }

    #[test]
    fn keys_flags_and_variables_are_unique() {
        for name in [|row: &Row| row.key, |row: &Row| row.flag, |row: &Row| row.environment] {
            let names: HashSet<_> = OPTIONS.iter().map(name).collect();
            assert_eq!(names.len(), OPTIONS.len());
        }
    }

    #[test]
    fn elastic_options_have_elastic_names() {
        for row in OPTIONS.iter().filter(|row| row.environment.starts_with("ELASTIC_APM_")) {
            assert_eq!(row.environment, format!("ELASTIC_APM_{}", row.key.to_uppercase()));
            assert_eq!(row.flag, row.key.replace('_', "-"));
        }
    }

    #[test]
    fn every_row_changes_the_settings_and_refuses_two_values_unless_it_is_a_list() {
        for row in OPTIONS {
            let sample = match row.kind {
                Kind::Boolean if row.default == "true" => "false",
                Kind::Boolean => "true",
                Kind::Integer(..) | Kind::Integers(..) | Kind::Limit(_) => "77",
                Kind::Fraction => "0.5",
                Kind::Duration => "7s",
                Kind::Size => "7kb",
                Kind::Url => "http://127.0.0.1:1",
                Kind::Mapping => "a=b",
                Kind::Choice(words) => words.iter().find(|word| **word != row.default).copied().unwrap_or_default(),
                Kind::Text | Kind::Path | Kind::List | Kind::Executables => "sample",
            };
            let mut settings = Settings::default();
            assert_eq!((row.set)(&mut settings, &[sample.to_string()]), Ok(()), "{}", row.key);
            assert_ne!(settings, Settings::default(), "{}", row.key);
            if !row.kind.is_list() {
                let two = [sample.to_string(), sample.to_string()];
                assert_eq!((row.set)(&mut settings, &two), Err(Unfit), "{}", row.key);
            }
        }
    }
}
