//! Puts the layers together: flags over environment over file over defaults.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    Chosen, Origin, Settings, file, nearest,
    option::{self, Group, OPTIONS, Row},
    value,
};

/// What settings are read from. The environment is handed in so that tests need not change their own.
#[derive(Default)]
pub struct Sources {
    /// Flags that were given: the option's key and each value as written.
    pub flags: Vec<(&'static str, Vec<String>)>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Configuration file, and whether it was named (a file at the default place may be absent).
    pub file: Option<PathBuf>,
}

/// Settings with their history.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every option, its value and where it came from, in the table's order.
    pub chosen: Vec<Chosen>,
    /// Things that are odd but do no harm, each one sentence.
    pub warnings: Vec<String>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is not what its option takes.
    #[error("`{key}` cannot be {given} ({origin}): expected {allowed}")]
    WrongValue {
        /// Option.
        key: &'static str,
        /// The value in backticks, or words in its place when it is a secret.
        given: String,
        /// Where it came from.
        origin: Origin,
        /// What would be right.
        allowed: String,
    },
    /// The file has a key that is no option.
    #[error("`{key}` in file `{}`, line {line}, is not an option{}", path.display(), did_you_mean(nearest))]
    UnknownKey {
        /// File.
        path: PathBuf,
        /// Line.
        line: u64,
        /// Key.
        key: String,
        /// A key that was perhaps meant.
        nearest: Option<String>,
    },
    /// The file is not YAML, or not of the expected shape.
    #[error("cannot understand file `{}`, line {line}: {message}", path.display())]
    Syntax {
        /// File.
        path: PathBuf,
        /// Line.
        line: u64,
        /// The parser's words.
        message: String,
    },
    /// The file cannot be read.
    #[error("cannot read configuration file `{}`: {source}", path.display())]
    Unreadable {
        /// File.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("configuration file `{}` is larger than 1 MiB", path.display())]
    TooLarge {
        /// File.
        path: PathBuf,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|key| format!("; did you mean `{key}`?")).unwrap_or_default()
}

/// One value on its way into the settings.
struct Given {
    row: &'static Row,
    items: Vec<String>,
    origin: Origin,
}

impl Loaded {
    /// Reads all layers.
    ///
    /// # Errors
    /// When the file cannot be read or understood, or a value is not what its option takes, wherever it came from:
    /// a wrong value in a weak layer is an error even if a stronger one hides it.
    pub fn read(sources: Sources) -> Result<Self, ConfigError> {
        let mut layers = match &sources.file {
            Some(path) => from_file(path)?,
            None => Vec::new(),
        };
        layers.extend(from_environment(&sources.environment));
        layers.extend(from_flags(&sources.flags));
        for given in &layers {
            put(&mut Settings::default(), given)?;
        }
        let layers = drop_weaker_targets(layers);
        let mut settings = Settings::default();
        let mut in_file = Settings::default();
        let mut chosen = Vec::with_capacity(OPTIONS.len());
        for row in OPTIONS {
            // Later layers are stronger.
            let Some(given) = layers.iter().rev().find(|given| given.row.key == row.key) else {
                chosen.push(Chosen { key: row.key, shown: row.default.to_string(), origin: Origin::Default });
                continue;
            };
            let from_file = row.group == Group::Service && matches!(given.origin, Origin::File { .. });
            put(if from_file { &mut in_file } else { &mut settings }, given)?;
            chosen.push(Chosen { key: row.key, shown: show(row, &given.items), origin: given.origin.clone() });
        }
        settings.service_defaults = in_file.service;
        Ok(Self { settings, chosen, warnings: unknown_variables(&sources.environment) })
    }
}

fn put(settings: &mut Settings, given: &Given) -> Result<(), ConfigError> {
    (given.row.set)(settings, &given.items).map_err(|_| ConfigError::WrongValue {
        key: given.row.key,
        given: match given.row.secret {
            true => "what was given".to_string(),
            false => format!("`{}`", given.items.join(",")),
        },
        origin: given.origin.clone(),
        allowed: given.row.kind.allowed(),
    })
}

fn show(row: &Row, items: &[String]) -> String {
    if row.secret { "[REDACTED]".to_string() } else { items.join(", ") }
}

fn from_file(path: &Path) -> Result<Vec<Given>, ConfigError> {
    let given = file::read(path)?.into_iter().filter_map(|entry| {
        let row = option::find(&entry.key)?;
        let origin = Origin::File { path: path.to_path_buf(), line: entry.line };
        // A key without a value says nothing, except that a list is empty.
        (row.kind.is_list() || !entry.items.is_empty()).then_some(Given { row, items: entry.items, origin })
    });
    Ok(given.collect())
}

fn from_environment(environment: &[(String, String)]) -> Vec<Given> {
    let given = environment.iter().filter_map(|(name, text)| {
        let row = OPTIONS.iter().find(|row| row.environment == name)?;
        let origin = Origin::Environment(row.environment);
        // Set to nothing is how a variable is unset in many a deployment file.
        (!text.trim().is_empty()).then(|| Given { row, items: items_of(row, text), origin })
    });
    given.collect()
}

fn from_flags(flags: &[(&'static str, Vec<String>)]) -> Vec<Given> {
    let given = flags.iter().filter_map(|(key, texts)| {
        let row = option::find(key)?;
        let items = texts.iter().flat_map(|text| items_of(row, text)).collect();
        Some(Given { row, items, origin: Origin::Flag(row.flag) })
    });
    given.collect()
}

fn items_of(row: &Row, text: &str) -> Vec<String> {
    if row.kind.is_list() { value::split_list(text) } else { vec![text.trim().to_string()] }
}

/// Options that name targets. They count as one: whoever writes `--pid 1` does not want what the file says as well.
const NAMING: [&str; 4] = ["targets.pids", "targets.executables", "targets.ports", "targets.all"];

fn drop_weaker_targets(layers: Vec<Given>) -> Vec<Given> {
    let strength = |given: &Given| match given.origin {
        Origin::Flag(_) => 3,
        Origin::Environment(_) => 2,
        Origin::File { .. } => 1,
        Origin::Default => 0,
    };
    let naming = |given: &Given| NAMING.contains(&given.row.key);
    let strongest = layers.iter().filter(|given| naming(given)).map(strength).max().unwrap_or_default();
    layers.into_iter().filter(|given| !naming(given) || strength(given) == strongest).collect()
}

/// Variables that look like options and are none.
fn unknown_variables(environment: &[(String, String)]) -> Vec<String> {
    let ours = |name: &str| name.starts_with("ELASTIC_APM_") || name.starts_with("APM_AGENT_");
    let unknown = |name: &str| !OPTIONS.iter().any(|row| row.environment == name) && name != CONFIG_VARIABLE;
    environment
        .iter()
        .filter(|(name, _)| ours(name) && unknown(name))
        .map(|(name, _)| {
            let near = nearest::nearest(name, OPTIONS.iter().map(|row| row.environment));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("environment variable `{name}` is not an option of this agent and is ignored{hint}")
        })
        .collect()
}

/// Names the configuration file.
pub const CONFIG_VARIABLE: &str = "APM_AGENT_CONFIG";

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    fn load(
        flags: &[(&'static str, &[&str])],
        environment: &[(&str, &str)],
        text: &str,
    ) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("apm-agent.yml");
        fs::write(&path, text).expect("written");
        Loaded::read(Sources {
            flags: flags
                .iter()
                .map(|(key, items)| (*key, items.iter().map(|item| item.to_string()).collect()))
                .collect(),
            environment: environment.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect(),
            file: Some(path),
        })
    }

    fn origin_of<'a>(loaded: &'a Loaded, key: &str) -> &'a Origin {
        &loaded.chosen.iter().find(|chosen| chosen.key == key).expect("known").origin
    }

    #[test]
    fn flags_beat_environment_beats_file_beats_defaults() {
        let loaded = load(
            &[("server_timeout", &["1s"])],
            &[("ELASTIC_APM_SERVER_TIMEOUT", "2s"), ("ELASTIC_APM_API_REQUEST_TIME", "3s")],
            "server_timeout: 4s\napi_request_time: 5s\napi_request_size: 6kb\n",
        )
        .expect("valid");
        let outputs = &loaded.settings.outputs;
        assert_eq!(outputs.server_timeout, Duration::from_secs(1));
        assert_eq!(outputs.api_request_time, Duration::from_secs(3));
        assert_eq!(outputs.api_request_size, 6 * 1024);
        assert_eq!(outputs.max_queue_size, 8192);
        assert_eq!(origin_of(&loaded, "server_timeout"), &Origin::Flag("server-timeout"));
        assert_eq!(origin_of(&loaded, "api_request_time"), &Origin::Environment("ELASTIC_APM_API_REQUEST_TIME"));
        assert!(matches!(origin_of(&loaded, "api_request_size"), Origin::File { line: 3, .. }));
        assert_eq!(origin_of(&loaded, "max_queue_size"), &Origin::Default);
    }

    #[test]
    fn targets_named_by_flags_replace_those_of_weaker_layers() {
        let file = "targets:\n  all: true\n  exclude_ports: [22]\n";
        let loaded = load(&[("targets.pids", &["7", "8,9"])], &[("APM_AGENT_PORTS", "80")], file).expect("valid");
        let targets = &loaded.settings.targets;
        assert_eq!(targets.pids, [7, 8, 9]);
        assert!(!targets.all && targets.ports.is_empty());
        assert_eq!(targets.exclude_ports, [22], "excludes of all layers hold");
    }

    #[test]
    fn service_fields_of_the_file_are_only_defaults() {
        let loaded =
            load(&[("service_name", &["flag"])], &[], "environment: staging\nservice_name: file\n").expect("valid");
        assert_eq!(loaded.settings.service.name.as_deref(), Some("flag"));
        assert_eq!(loaded.settings.service.environment, None);
        assert_eq!(loaded.settings.service_defaults.environment.as_deref(), Some("staging"));
    }

    #[test]
    fn an_empty_variable_is_no_value_and_an_empty_list_is_one() {
        let loaded = load(&[], &[("ELASTIC_APM_SERVER_URL", "")], "sanitize_field_names: []\n").expect("valid");
        assert_eq!(loaded.settings.outputs.server_url, None);
        assert!(loaded.settings.capture.sanitize_field_names.is_empty());
    }

    #[test]
    fn a_wrong_value_names_option_origin_and_what_is_allowed() {
        let message = |result: Result<Loaded, ConfigError>| result.expect_err("wrong").to_string();
        insta::assert_snapshot!(message(load(&[("transaction_sample_rate", &["2"])], &[], "")));
        insta::assert_snapshot!(message(load(&[], &[("ELASTIC_APM_SERVER_TIMEOUT", "30")], "")));
        let in_file = message(load(&[], &[], "\norphans: burn\n"));
        assert!(in_file.starts_with("`orphans` cannot be `burn` (file `"), "{in_file}");
        assert!(in_file.ends_with("apm-agent.yml`, line 2): expected one of `keep`, `drop`"), "{in_file}");
        let hidden = message(load(&[("api_request_size", &["1kb"])], &[], "api_request_size: many\n"));
        assert!(hidden.contains("line 1"), "a hidden wrong value is told: {hidden}");
    }

    #[test]
    fn secrets_are_never_shown() {
        let loaded = load(&[], &[("ELASTIC_APM_SECRET_TOKEN", "hunter2")], "api_key: hunter3\n").expect("valid");
        assert_eq!(loaded.settings.outputs.secret_token.as_deref(), Some("hunter2"));
        assert!(!format!("{:?}", loaded.chosen).contains("hunter"));
    }

    #[test]
    fn misspelt_variables_are_told() {
        let loaded = load(&[], &[("ELASTIC_APM_SERVER_ULR", "x"), ("HOME", "/")], "").expect("valid");
        insta::assert_snapshot!(loaded.warnings.join("\n"));
    }
}
