//! The command line, made from the table of options.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Failure, failure::ExitCode};
use crate::config::{
    Loaded, Sources, file,
    load::CONFIG_VARIABLE,
    option::{Group, OPTIONS, Row},
    value::Kind,
};

/// The whole command line.
pub fn command() -> Command {
    Command::new("apm-agent")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Watches processes that run unmodified and sends their transactions and spans to Elastic APM")
        .after_help(EXAMPLES)
        .after_long_help(format!("{EXAMPLES}\n\n{}", exit_codes()))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(110)
        .subcommands([run(), doctor(), inspect(), record(), replay()])
}

const EXAMPLES: &str = "\
Examples:
  apm-agent run --pid 4711                          watch one process, print its requests as trees
  apm-agent run --exe node --exe '/srv/**/bin/*'    watch executables, also ones that start later
  apm-agent run --port 8080 --server-url http://127.0.0.1:8200
                                                    watch who listens on 8080, send to APM Server
  apm-agent doctor                                  what this kernel and these privileges allow
  apm-agent inspect 4711                            what would be hooked in a process, and at what cost";

fn exit_codes() -> String {
    let lines: Vec<String> =
        ExitCode::ALL.iter().map(|(code, meaning)| format!("  {:<3} {meaning}", *code as u8)).collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}

fn layers() -> String {
    format!(
        "Every option can also be set by the environment variable shown with it and in a YAML file\n\
         (`--config`, variable {CONFIG_VARIABLE}; {} is read when it exists).\n\
         Flags win over the environment, the environment over the file. In the file, options have Elastic's names\n\
         (`server_url: …`); targets and outputs are sections:\n\n  \
         server_url: http://127.0.0.1:8200\n  \
         targets:\n    executables: [node, '/srv/**/bin/*']\n    exclude_ports: [22]\n  \
         outputs:\n    file: /var/log/apm.ndjson\n\n\
         Targets named in a stronger place replace those of weaker places; excludes of the strongest place hold.\n\
         Variables ELASTIC_APM_SERVICE_NAME, _SERVICE_VERSION, _ENVIRONMENT, _SERVICE_NODE_NAME, _HOSTNAME and\n\
         _GLOBAL_LABELS (or OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) in the environment of a watched process\n\
         are honoured for that process.",
        file::DEFAULT_PATH
    )
}

fn after_options() -> String {
    format!("{}\n\n{}", layers(), exit_codes())
}

fn run() -> Command {
    Command::new("run")
        .about("Watch processes until interrupted (Ctrl-C or SIGTERM)")
        .after_long_help(format!("{RUN_EXAMPLES}\n\n{}", after_options()))
        .arg(config_argument())
        .args(arguments(|_| true))
}

const RUN_EXAMPLES: &str = "\
Examples:
  apm-agent run --pid 4711
  apm-agent run --exe gunicorn --console --file /tmp/apm.ndjson --duration 30s --stats
  ELASTIC_APM_SECRET_TOKEN=… apm-agent run --all --exclude-exe sshd --server-url https://apm.example:8200";

fn record() -> Command {
    Command::new("record")
        .about("Write the kernel's events of the watched processes to a file, for `replay`")
        .after_long_help(format!(
            "Examples:\n  apm-agent record --output run.apmrec --port 8080 --duration 10s\n\n{}",
            after_options()
        ))
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FILE")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("File to write; it must not exist (it holds what the processes said: treat it as a secret)"),
        )
        .arg(config_argument())
        .args(arguments(|row| matches!(row.group, Group::Targets | Group::Run)))
}

fn replay() -> Command {
    Command::new("replay")
        .about("Turn a recording into documents, the same ones every time; needs no privileges")
        .after_long_help(format!(
            "Examples:\n  apm-agent replay run.apmrec\n  apm-agent replay run.apmrec --file /tmp/apm.ndjson\n\n{}",
            after_options()
        ))
        .arg(
            Arg::new("recording")
                .value_name("FILE")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("A file written by `apm-agent record`"),
        )
        .arg(config_argument())
        .args(arguments(|row| !matches!(row.group, Group::Targets | Group::Metrics) && row.key != "duration"))
}

fn doctor() -> Command {
    Command::new("doctor")
        .about("Say what this kernel and these privileges allow, each line with its reason and remedy")
        .after_long_help(format!("Ends with 0 when `apm-agent run` would work.\n\n{}", exit_codes()))
        .arg(json_argument())
        .arg(config_argument())
        .args(arguments(|row| row.group == Group::Outputs || row.key == "log_level"))
}

fn inspect() -> Command {
    Command::new("inspect")
        .about("Say what a process or binary is, what would be hooked in it, and at what cost")
        .after_long_help(format!(
            "Examples:\n  apm-agent inspect 4711\n  apm-agent inspect /usr/bin/node --json\n\n{}",
            exit_codes()
        ))
        .arg(
            Arg::new("subject")
                .value_name("PID|BINARY")
                .required(true)
                .help("A process id, or the path of an executable"),
        )
        .arg(json_argument())
        .arg(config_argument())
        .args(arguments(|row| row.group == Group::Service || row.key == "log_level" || row.key == "outputs.color"))
}

fn json_argument() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON")
}

fn config_argument() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Read options from this YAML file")
        .long_help(format!(
            "Read options from this YAML file\n[default: {} when it exists] [env: {CONFIG_VARIABLE}]",
            file::DEFAULT_PATH
        ))
}

fn arguments(wanted: impl Fn(&Row) -> bool) -> impl Iterator<Item = Arg> {
    OPTIONS.iter().filter(move |row| wanted(row)).map(argument)
}

fn argument(row: &'static Row) -> Arg {
    let several = row.kind.is_list();
    let mut notes = Vec::new();
    if !row.default.is_empty() {
        notes.push(format!("[default: {}]", row.default));
    }
    notes.push(format!("[env: {}]", row.environment));
    if let Kind::Choice(words) = row.kind {
        notes.insert(0, format!("[one of: {}]", words.join(", ")));
    }
    let repeat = if several { "; may be given several times" } else { "" };
    let brief =
        if row.default.is_empty() { row.help.to_string() } else { format!("{} [default: {}]", row.help, row.default) };
    let argument = Arg::new(row.key)
        .long(row.flag)
        .value_name(row.kind.placeholder())
        .help(brief)
        .long_help(format!("{}{repeat}\n{}", row.help, notes.join(" ")))
        .help_heading(heading(row.group))
        .action(if several { ArgAction::Append } else { ArgAction::Set });
    match row.kind {
        Kind::Boolean => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => argument.allow_hyphen_values(true),
    }
}

fn heading(group: Group) -> &'static str {
    match group {
        Group::Targets => "Which processes",
        Group::Outputs => "Where documents go",
        Group::Capture => "How documents are made",
        Group::Metrics => "What is measured",
        Group::Service => "Service",
        Group::Run => "This run",
    }
}

/// Settings of a command line, with the agent's environment and file beneath.
///
/// # Errors
/// As [`Loaded::read`].
pub fn load(matches: &ArgMatches, environment: Vec<(String, String)>) -> Result<Loaded, Failure> {
    let flags = OPTIONS.iter().filter_map(|row| {
        let values = matches.try_get_many::<String>(row.key).ok()??;
        Some((row.key, values.cloned().collect()))
    });
    let variable = environment.iter().find(|(name, text)| name == CONFIG_VARIABLE && !text.is_empty());
    let named = matches.get_one::<PathBuf>("config").cloned().or_else(|| variable.map(|(_, text)| PathBuf::from(text)));
    let standard = || Some(PathBuf::from(file::DEFAULT_PATH)).filter(|path| path.exists());
    let sources = Sources { flags: flags.collect(), file: named.or_else(standard), environment };
    Ok(Loaded::read(sources)?)
}

/// The agent's environment; names and values that are not UTF-8 are left out.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn flags_reach_the_settings() {
        let words = [
            "apm-agent",
            "run",
            "--pid",
            "1",
            "--pid",
            "2,3",
            "--all",
            "--capture-headers=false",
            "--config",
            "/dev/null",
        ];
        let matches = command().try_get_matches_from(words).expect("valid");
        let (_, run) = matches.subcommand().expect("run");
        let loaded = load(run, Vec::new()).expect("valid");
        assert_eq!(loaded.settings.targets.pids, [1, 2, 3]);
        assert!(loaded.settings.targets.all && !loaded.settings.capture.headers);
    }
}
