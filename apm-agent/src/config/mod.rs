//! Settings: from flags, environment, a YAML file and defaults, in that order; every value remembers where it came from.
//!
//! One table ([`option::OPTIONS`]) names every option once: its key in the file, its environment variable, its flag,
//! its kind, default, help and how it is put into [`Settings`]. The command line, the environment, the file, `--help`,
//! the messages and the start-up preamble all derive from it.

use std::{path::PathBuf, time::Duration};

pub mod file;
pub mod load;
pub mod nearest;
pub mod option;
pub mod origin;
pub mod preamble;
pub mod value;

pub use load::{Loaded, Sources};
pub use origin::{Chosen, Origin};

/// Everything a run is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Which processes.
    pub targets: Targets,
    /// Where documents go.
    pub outputs: Outputs,
    /// How documents are made.
    pub capture: Capture,
    /// Which run times are listened to.
    pub bridges: BridgeSwitches,
    /// What is measured.
    pub metrics: Metrics,
    /// Service fields that override detection (`ELASTIC_APM_SERVICE_NAME` and friends of the agent itself).
    pub service: ServiceOverrides,
    /// Service fields from the configuration file: they count less than what the target's own environment says.
    pub service_defaults: ServiceOverrides,
    /// What is told of the run itself.
    pub report: Reporting,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`.
    pub log_level: String,
}

/// What is told of the run itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reporting {
    /// Print every counter at the end.
    pub stats: bool,
    /// File the counters are written to as JSON, at the end and every ten seconds.
    pub stats_file: Option<PathBuf>,
}

/// Which processes to watch: those that match any include and no exclude, and their children.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// Process ids.
    pub pids: Vec<u32>,
    /// Executable paths or globs.
    pub executables: Vec<String>,
    /// Listening ports.
    pub ports: Vec<u16>,
    /// Every process but kernel threads, the agent and its own children.
    pub all: bool,
    /// Executables never watched: paths or globs.
    pub exclude_executables: Vec<String>,
    /// Processes never watched because they listen on one of these ports.
    pub exclude_ports: Vec<u16>,
    /// Process ids never watched.
    pub exclude_pids: Vec<u32>,
}

/// Where documents go. No server and no file: the console.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// Base URL of APM Server.
    pub server_url: Option<String>,
    /// Secret token, sent as `Bearer`.
    pub secret_token: Option<String>,
    /// API key, wins over the token.
    pub api_key: Option<String>,
    /// Check the server's certificate.
    pub verify_server_cert: bool,
    /// Extra root certificates, PEM.
    pub server_ca_cert_file: Option<PathBuf>,
    /// Time for the server's answer.
    pub server_timeout: Duration,
    /// A request ends at this many compressed bytes.
    pub api_request_size: u64,
    /// A request ends after this time.
    pub api_request_time: Duration,
    /// Events queued at most; more are dropped and counted.
    pub max_queue_size: usize,
    /// NDJSON file.
    pub file: Option<PathBuf>,
    /// The file is rotated at this size, bytes.
    pub file_rotate_size: u64,
    /// Rotated files kept.
    pub file_rotate_keep: u32,
    /// Print the live tree: `None` means yes when there is neither server nor file.
    pub console: Option<bool>,
    /// `auto`, `always` or `never`.
    pub color: Color,
}

/// When to colour the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How documents are made. Names and defaults are Elastic's.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// `transaction_sample_rate`
    pub sample_rate: f64,
    /// `transaction_max_spans`
    pub max_spans: u32,
    /// `transaction_ignore_urls`
    pub ignore_urls: Vec<String>,
    /// `capture_headers`
    pub headers: bool,
    /// `sanitize_field_names`
    pub sanitize_field_names: Vec<String>,
    /// `use_path_as_transaction_name`
    pub use_path_as_name: bool,
    /// `transaction_name_groups`
    pub name_groups: Vec<String>,
    /// `span_compression_enabled`
    pub compression: bool,
    /// `span_compression_exact_match_max_duration`
    pub compression_exact_match: Duration,
    /// `span_compression_same_kind_max_duration`
    pub compression_same_kind: Duration,
    /// `exit_span_min_duration`
    pub exit_span_min_duration: Duration,
    /// `stack_trace_limit`
    pub stack_trace_limit: usize,
    /// `trace_continuation_strategy`
    pub continuation: Continuation,
    /// What becomes of a call with no certain parent.
    pub orphans: Orphans,
    /// Errors the program logs are errors.
    pub log_errors: bool,
    /// `log_sending`
    pub log_sending: bool,
}

/// Which run times are listened to through a door of their own, beside the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSwitches {
    /// .NET, through its diagnostics port.
    pub dotnet: bool,
    /// Go, by probes in its code.
    pub go: bool,
    /// Requests of Go programs are named by the patterns of `ServeMux`.
    pub go_routes: bool,
    /// Into which calls of Go programs the place in the trace goes.
    pub propagation: Propagation,
    /// Calls of Go programs without a context are linked by the request in which their goroutine was made.
    pub go_ancestry: bool,
    /// Activity sources of the program to report, for run times that cannot be asked for all (.NET 8).
    pub dotnet_sources: Vec<String>,
    /// Node.js, by a script put into its processes through their inspector.
    pub node: bool,
    /// Its calls are linked to the request that makes them.
    pub node_context: bool,
    /// Its libraries are looked for in bundles, too.
    pub node_bundles: bool,
    /// Its libraries, and groups of Go's probes, that are left alone.
    pub left_alone: Vec<String>,
}

impl Default for BridgeSwitches {
    fn default() -> Self {
        Self {
            dotnet: true,
            go: true,
            go_routes: true,
            propagation: Propagation::Full,
            go_ancestry: false,
            dotnet_sources: Vec::new(),
            node: true,
            node_context: true,
            node_bundles: true,
            left_alone: Vec::new(),
        }
    }
}

/// `propagation`: into which calls the place in the trace goes, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// Into none.
    Off,
    /// Into those that the socket shows.
    Plain,
    /// Into others, too, where the kernel lets programs write into a process' memory.
    #[default]
    Full,
    /// As before; where it does not, the process is stopped and written into.
    StopAndWrite,
}

/// `trace_continuation_strategy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Continuation {
    /// Use the incoming parent.
    #[default]
    Continue,
    /// Always a new trace.
    Restart,
    /// A new trace unless `tracestate` has an `es` entry.
    RestartExternal,
}

/// What becomes of a call with no certain parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// Reported as an exit transaction with one span.
    #[default]
    Keep,
    /// Dropped and counted.
    Drop,
}

/// What is measured of every target, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// `metrics_interval`; zero: never.
    pub interval: Duration,
    /// `disable_metrics`
    pub disabled: Vec<String>,
}

/// Service fields set for every target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceOverrides {
    /// Service name.
    pub name: Option<String>,
    /// Service version.
    pub version: Option<String>,
    /// Environment.
    pub environment: Option<String>,
    /// Instance name.
    pub node_name: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Labels.
    pub global_labels: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            targets: Targets::default(),
            outputs: Outputs::default(),
            capture: Capture::default(),
            bridges: BridgeSwitches::default(),
            metrics: Metrics::default(),
            service: ServiceOverrides::default(),
            service_defaults: ServiceOverrides::default(),
            report: Reporting::default(),
            duration: None,
            log_level: "info".into(),
        }
    }
}

impl Default for Outputs {
    fn default() -> Self {
        Self {
            server_url: None,
            secret_token: None,
            api_key: None,
            verify_server_cert: true,
            server_ca_cert_file: None,
            server_timeout: Duration::from_secs(30),
            api_request_size: 768 * 1024,
            api_request_time: Duration::from_secs(10),
            max_queue_size: 8192,
            file: None,
            file_rotate_size: 100 * 1024 * 1024,
            file_rotate_keep: 3,
            console: None,
            color: Color::Auto,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), disabled: Vec::new() }
    }
}

impl Default for Capture {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(|word| word.to_string()).collect();
        Self {
            sample_rate: 1.0,
            max_spans: 500,
            ignore_urls: Vec::new(),
            headers: true,
            sanitize_field_names: words(&[
                "password",
                "passwd",
                "pwd",
                "secret",
                "*key",
                "*token*",
                "*session*",
                "*credit*",
                "*card*",
                "*auth*",
                "set-cookie",
                "*principal*",
            ]),
            use_path_as_name: false,
            name_groups: Vec::new(),
            compression: true,
            compression_exact_match: Duration::from_millis(50),
            compression_same_kind: Duration::ZERO,
            exit_span_min_duration: Duration::ZERO,
            stack_trace_limit: 50,
            continuation: Continuation::Continue,
            orphans: Orphans::Keep,
            log_errors: true,
            log_sending: false,
        }
    }
}
