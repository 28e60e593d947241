//! Kinds of values: how they are written, and what is allowed.

use std::{path::PathBuf, time::Duration};

use super::{Color, Continuation, Orphans, Propagation};
use crate::process::glob::Glob;

/// How an option's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number in a range, both ends allowed.
    Integer(u64, u64),
    /// A whole number up to this, or -1 for no limit.
    Limit(u64),
    /// A number from 0 to 1.
    Fraction,
    /// A time with its unit.
    Duration,
    /// Bytes with their unit, steps of 1024.
    Size,
    /// Free text.
    Text,
    /// A base URL.
    Url,
    /// A file.
    Path,
    /// Several texts or wildcard patterns.
    List,
    /// Several executables: paths, file names or globs.
    Executables,
    /// Several whole numbers in a range.
    Integers(u64, u64),
    /// `key=value` pairs.
    Mapping,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// What is allowed, for messages: continues "expected …".
    pub fn allowed(self) -> String {
        match self {
            Self::Boolean => "`true` or `false`".into(),
            Self::Integer(low, high) => format!("a whole number from {low} to {high}"),
            Self::Limit(high) => format!("a whole number from 0 to {high}, or -1 for no limit"),
            Self::Fraction => "a number from 0 to 1, such as `0.25`".into(),
            Self::Duration => "a time with its unit `us`, `ms`, `s` or `m`, such as `500ms` or `30s`".into(),
            Self::Size => "a size with its unit `b`, `kb`, `mb` or `gb`, such as `768kb`".into(),
            Self::Text => "text that is not empty".into(),
            Self::Url => "a URL that starts with `http://` or `https://`, such as `http://127.0.0.1:8200`".into(),
            Self::Path => "a file's path".into(),
            Self::List => "one or more values, separated by commas".into(),
            Self::Executables => {
                "paths (`/usr/bin/node`), file names (`node`) or globs (`/srv/**/bin/*`), separated by commas".into()
            }
            Self::Integers(low, high) => format!("whole numbers from {low} to {high}, separated by commas"),
            Self::Mapping => "pairs `key=value`, separated by commas".into(),
            Self::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                format!("one of {}", quoted.join(", "))
            }
        }
    }

    /// Placeholder of the value in `--help`.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Boolean => "BOOL",
            Self::Integer(..) | Self::Integers(..) | Self::Limit(_) => "N",
            Self::Fraction => "0..1",
            Self::Duration => "TIME",
            Self::Size => "SIZE",
            Self::Text => "TEXT",
            Self::Url => "URL",
            Self::Path => "FILE",
            Self::List => "LIST",
            Self::Executables => "GLOB",
            Self::Mapping => "KEY=VALUE",
            Self::Choice(_) => "WORD",
        }
    }

    /// Several values are allowed.
    pub fn is_list(self) -> bool {
        matches!(self, Self::List | Self::Executables | Self::Integers(..) | Self::Mapping)
    }
}

/// The value is not one of its kind; what is allowed is said by [`Kind::allowed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

/// `true` or `false`.
pub fn boolean(text: &str) -> Result<bool, Unfit> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Unfit),
    }
}

/// A whole number from `low` to `high`.
pub fn integer(text: &str, low: u64, high: u64) -> Result<u64, Unfit> {
    let number: u64 = text.parse().map_err(|_| Unfit)?;
    if (low..=high).contains(&number) { Ok(number) } else { Err(Unfit) }
}

/// A whole number up to `high`; -1 is as much as there is.
pub fn limit(text: &str, high: u64) -> Result<usize, Unfit> {
    if text == "-1" {
        return Ok(usize::MAX);
    }
    usize::try_from(integer(text, 0, high)?).map_err(|_| Unfit)
}

/// A number from 0 to 1, rounded to four digits as Elastic's sampling wants; above zero it stays above.
pub fn fraction(text: &str) -> Result<f64, Unfit> {
    let number: f64 = text.parse().map_err(|_| Unfit)?;
    if !(0.0..=1.0).contains(&number) {
        return Err(Unfit);
    }
    let rounded = (number * 10_000.0).round() / 10_000.0;
    Ok(if number > 0.0 { rounded.max(0.0001) } else { 0.0 })
}

/// A time with its unit.
pub fn duration(text: &str) -> Result<Duration, Unfit> {
    let (number, unit) = number_and_unit(text)?;
    let micros = match unit.as_str() {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        _ => return Err(Unfit),
    };
    number.checked_mul(micros).map(Duration::from_micros).ok_or(Unfit)
}

/// A size in bytes.
pub fn size(text: &str) -> Result<u64, Unfit> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit.as_str() {
        "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        _ => return Err(Unfit),
    };
    number.checked_mul(bytes).ok_or(Unfit)
}

fn number_and_unit(text: &str) -> Result<(u64, String), Unfit> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).ok_or(Unfit)?;
    let (number, unit) = text.split_at(end);
    Ok((number.parse().map_err(|_| Unfit)?, unit.trim_start().to_ascii_lowercase()))
}

/// Text that is not empty.
pub fn text(text: &str) -> Result<String, Unfit> {
    if text.trim().is_empty() { Err(Unfit) } else { Ok(text.to_string()) }
}

/// A base URL, without a slash at its end.
pub fn url(text: &str) -> Result<String, Unfit> {
    let trimmed = text.trim().trim_end_matches('/');
    let rest = trimmed.strip_prefix("http://").or_else(|| trimmed.strip_prefix("https://")).ok_or(Unfit)?;
    let authority = rest.split('/').next().unwrap_or_default();
    let usable = !authority.is_empty() && !rest.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    if usable { Ok(trimmed.to_string()) } else { Err(Unfit) }
}

/// A path that is not empty.
pub fn path(raw: &str) -> Result<PathBuf, Unfit> {
    text(raw).map(PathBuf::from)
}

/// Several whole numbers.
pub fn integers(items: &[String], low: u64, high: u64) -> Result<Vec<u64>, Unfit> {
    items.iter().map(|item| integer(item, low, high)).collect()
}

/// Several executables, each a pattern.
pub fn executables(items: &[String]) -> Result<Vec<String>, Unfit> {
    match items.iter().all(|item| Glob::parse(item).is_ok()) {
        true => Ok(items.to_vec()),
        false => Err(Unfit),
    }
}

/// `key=value` pairs; keys are not empty.
pub fn mapping(items: &[String]) -> Result<Vec<(String, String)>, Unfit> {
    let pair = |item: &String| {
        let (key, value) = item.split_once('=').ok_or(Unfit)?;
        let key = key.trim();
        if key.is_empty() { Err(Unfit) } else { Ok((key.to_string(), value.trim().to_string())) }
    };
    items.iter().map(pair).collect()
}

/// Values of a list as written in one text: separated by commas, trimmed, empty ones left out.
pub fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_string).collect()
}

/// Words of `log_level`, in Elastic's and in `tracing`'s spelling.
pub const LOG_LEVELS: &[&str] = &["trace", "debug", "info", "warn", "warning", "error", "critical", "off"];

/// A log level in any case and either spelling, as `tracing` spells it.
pub fn log_level(text: &str) -> Result<String, Unfit> {
    let word = match text.to_ascii_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "info" => "info",
        "warn" | "warning" => "warn",
        "error" | "critical" => "error",
        "off" => "off",
        _ => return Err(Unfit),
    };
    Ok(word.to_string())
}

/// `--color`
pub fn color(text: &str) -> Result<Color, Unfit> {
    Ok(match text {
        "auto" => Color::Auto,
        "always" => Color::Always,
        "never" => Color::Never,
        _ => return Err(Unfit),
    })
}

/// `trace_continuation_strategy`
pub fn continuation(text: &str) -> Result<Continuation, Unfit> {
    Ok(match text {
        "continue" => Continuation::Continue,
        "restart" => Continuation::Restart,
        "restart_external" => Continuation::RestartExternal,
        _ => return Err(Unfit),
    })
}

/// `propagation`: a choice, and whatever else says yes or no.
pub fn propagation(text: &str) -> Result<Propagation, Unfit> {
    Ok(match text {
        "plain" => Propagation::Plain,
        "stop-and-write" => Propagation::StopAndWrite,
        other if boolean(other)? => Propagation::Full,
        _ => Propagation::Off,
    })
}

/// `orphans`
pub fn orphans(text: &str) -> Result<Orphans, Unfit> {
    Ok(match text {
        "keep" => Orphans::Keep,
        "drop" => Orphans::Drop,
        _ => return Err(Unfit),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        for (text, expected) in [
            ("30s", Ok(Duration::from_secs(30))),
            ("5ms", Ok(Duration::from_millis(5))),
            ("250us", Ok(Duration::from_micros(250))),
            ("2m", Ok(Duration::from_secs(120))),
            ("0ms", Ok(Duration::ZERO)),
            ("30", Err(Unfit)),
            ("s", Err(Unfit)),
            ("-1s", Err(Unfit)),
            ("1.5s", Err(Unfit)),
            ("", Err(Unfit)),
            ("99999999999999999999s", Err(Unfit)),
            ("18446744073709551615m", Err(Unfit)),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_count_in_steps_of_1024() {
        for (text, expected) in [
            ("768kb", Ok(768 * 1024)),
            ("1MB", Ok(1 << 20)),
            ("7b", Ok(7)),
            ("2Gb", Ok(2 << 30)),
            ("768", Err(Unfit)),
            ("1tb", Err(Unfit)),
            ("18446744073709551615kb", Err(Unfit)),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn fractions_are_rounded_to_four_digits() {
        for (text, expected) in [
            ("1", Ok(1.0)),
            ("0", Ok(0.0)),
            ("0.55554", Ok(0.5555)),
            ("0.55555", Ok(0.5556)),
            ("0.00001", Ok(0.0001)),
            ("1.01", Err(Unfit)),
            ("-0.1", Err(Unfit)),
            ("NaN", Err(Unfit)),
            ("much", Err(Unfit)),
        ] {
            assert_eq!(fraction(text), expected, "{text}");
        }
    }

    #[test]
    fn urls_have_a_scheme_and_a_host() {
        assert_eq!(url("http://127.0.0.1:8200/"), Ok("http://127.0.0.1:8200".into()));
        assert_eq!(url("https://apm.example/base"), Ok("https://apm.example/base".into()));
        for wrong in ["127.0.0.1:8200", "ftp://host", "http://", "http:///path", "http://a b"] {
            assert_eq!(url(wrong), Err(Unfit), "{wrong}");
        }
    }

    #[test]
    fn lists_are_trimmed_and_mappings_need_an_equals_sign() {
        assert_eq!(split_list(" a, b ,,c"), ["a", "b", "c"]);
        assert_eq!(
            mapping(&split_list("a=1, b = x=y")),
            Ok(vec![("a".into(), "1".into()), ("b".into(), "x=y".into())])
        );
        assert_eq!(mapping(&["a".into()]), Err(Unfit));
        assert_eq!(mapping(&["=1".into()]), Err(Unfit));
    }

    #[test]
    fn every_word_of_log_level_is_understood_in_any_case() {
        for word in LOG_LEVELS {
            assert!(log_level(word).is_ok(), "{word}");
            assert!(log_level(&word.to_uppercase()).is_ok(), "{word}");
        }
        assert_eq!(log_level("loud"), Err(Unfit));
    }
}
