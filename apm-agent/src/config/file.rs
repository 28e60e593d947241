//! The configuration file: YAML, Elastic's option names at the top, ours in the sections `targets` and `outputs`.

use std::{fmt, fs, io::Read, path::Path};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::{
    load::ConfigError,
    option::{self, OPTIONS},
    value::split_list,
};

/// Where the file is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/apm-agent/apm-agent.yml";

/// Most bytes of a configuration file.
const LARGEST_FILE: u64 = 1 << 20;

/// One option in the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The option's key, with its section: `targets.pids`.
    pub key: String,
    /// Its values; none when it is written without one.
    pub items: Vec<String>,
    /// Line, counted from 1.
    pub line: u64,
}

/// The options in a file.
///
/// # Errors
/// When the file cannot be read, is larger than 1 MiB, is not YAML, or has a key that is no option.
pub fn read(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_path_buf(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(ConfigError::TooLarge { path: path.to_path_buf() });
    }
    parse(path, &text)
}

/// As [`read`], of text already read.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let Document(entries) = serde_saphyr::from_str(text).map_err(|error| {
        let plain = error.without_snippet();
        let line = plain.location().map_or(1, |location| location.line());
        ConfigError::Syntax { path: path.to_path_buf(), line, message: one_line(&plain.to_string()) }
    })?;
    let known = |entry: &Entry| option::find(&entry.key).is_some();
    match entries.iter().find(|entry| !known(entry)) {
        Some(entry) => Err(unknown(path, entry)),
        None => Ok(entries),
    }
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_string()
}

fn unknown(path: &Path, entry: &Entry) -> ConfigError {
    let keys = OPTIONS.iter().map(|row| row.key).chain(SECTIONS);
    // A key that is only in the wrong section is near too.
    let last = entry.key.rsplit('.').next().unwrap_or_default();
    let misplaced = OPTIONS.iter().map(|row| row.key).find(|key| key.rsplit('.').next() == Some(last));
    let nearest = misplaced.or_else(|| super::nearest::nearest(&entry.key, keys)).map(str::to_string);
    ConfigError::UnknownKey { path: path.to_path_buf(), line: entry.line, key: entry.key.clone(), nearest }
}

/// Sections of the file.
const SECTIONS: [&str; 2] = ["targets", "outputs"];

struct Document(Vec<Entry>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut entries = Vec::new();
        deserializer.deserialize_any(Section { prefix: "", entries: &mut entries })?;
        Ok(Self(entries))
    }
}

/// Reads a mapping of keys to options.
struct Section<'a> {
    prefix: &'a str,
    entries: &'a mut Vec<Entry>,
}

impl<'de> DeserializeSeed<'de> for Section<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Section<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping of option names to values")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            if self.prefix.is_empty() && SECTIONS.contains(&name.value.as_str()) {
                map.next_value_seed(Section { prefix: &name.value, entries: self.entries })?;
                continue;
            }
            let key = if self.prefix.is_empty() { name.value } else { format!("{}.{}", self.prefix, name.value) };
            let items = match option::find(&key).map(|row| row.kind) {
                None => map.next_value::<IgnoredAny>().map(|_| Vec::new())?,
                Some(kind) if kind.is_list() => map.next_value::<Items>()?.0,
                Some(_) => map.next_value::<Option<String>>()?.into_iter().collect(),
            };
            self.entries.push(Entry { key, items, line: name.referenced.line() });
        }
        Ok(())
    }
}

/// Values of a list option: a sequence, a mapping, or one text with commas.
struct Items(Vec<String>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemsVisitor).map(Self)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Vec<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of values")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(split_list(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(vec![number.to_string()])
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(vec![number.to_string()])
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(vec![number.to_string()])
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(vec![truth.to_string()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element::<String>()? {
            items.push(item);
        }
        Ok(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            items.push(format!("{key}={value}"));
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(String, Vec<String>, u64)> {
        let read = parse(Path::new("test.yml"), text).expect("valid");
        read.into_iter().map(|entry| (entry.key, entry.items, entry.line)).collect()
    }

    fn message(text: &str) -> String {
        parse(Path::new("test.yml"), text).expect_err("invalid").to_string()
    }

    #[test]
    fn keys_keep_their_lines_and_values_their_letters() {
        let text = "# comment\nserver_url: http://127.0.0.1:8200\nsecret_token: 0123\nlog_level: off\ntransaction_sample_rate: 0.10\n\
                    targets:\n  pids: [1, 2]\n  executables:\n    - '*/node'\n    - gunicorn*\n  all: true\n\
                    outputs:\n  file: /tmp/x\nglobal_labels:\n  a: 1\n  b: text\n";
        let expected = [
            ("server_url", vec!["http://127.0.0.1:8200"], 2),
            ("secret_token", vec!["0123"], 3),
            ("log_level", vec!["off"], 4),
            ("transaction_sample_rate", vec!["0.10"], 5),
            ("targets.pids", vec!["1", "2"], 7),
            ("targets.executables", vec!["*/node", "gunicorn*"], 8),
            ("targets.all", vec!["true"], 11),
            ("outputs.file", vec!["/tmp/x"], 13),
            ("global_labels", vec!["a=1", "b=text"], 14),
        ];
        let expected: Vec<(String, Vec<String>, u64)> = expected
            .into_iter()
            .map(|(key, items, line)| (key.to_string(), items.into_iter().map(str::to_string).collect(), line))
            .collect();
        assert_eq!(entries(text), expected);
    }

    #[test]
    fn lists_may_be_one_text_or_one_number() {
        assert_eq!(
            entries("targets: {ports: 8080}\ntransaction_ignore_urls: /a*, /b\nservice_name:\n"),
            [
                ("targets.ports".to_string(), vec!["8080".to_string()], 1),
                ("transaction_ignore_urls".to_string(), vec!["/a*".to_string(), "/b".to_string()], 2),
                ("service_name".to_string(), vec![], 3),
            ]
        );
        assert_eq!(entries(""), []);
        assert_eq!(entries("# only a comment\n"), []);
    }

    #[test]
    fn says_line_and_nearest_key_of_what_it_does_not_know() {
        insta::assert_snapshot!(message("log_level: info\nsever_url: http://x\n"));
        insta::assert_snapshot!(message("targets:\n  pid: [1]\n"));
        insta::assert_snapshot!(message("file: /tmp/x\n"));
        insta::assert_snapshot!(message("weather: fine\n"));
    }

    #[test]
    fn says_where_it_is_not_yaml() {
        insta::assert_snapshot!(message("a: [1\nb: 2\n"));
        insta::assert_snapshot!(message("- 1\n- 2\n"));
        insta::assert_snapshot!(message("server_url: [1, 2]\n"));
    }
}
