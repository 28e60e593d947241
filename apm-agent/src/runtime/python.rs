//! CPython. Known by the library `libpython` it links or by the interpreter's functions it exports. The version is the
//! constant `Py_Version` (3.11 on, Include/patchlevel.h), before that the text in the read-only data.

use std::path::Path;

use super::{ARCHITECTURE, Detected, Named, Runtime, Subject, stem};
use crate::binary::Binary;

pub(super) struct Python;

/// Servers that take the application as `module:object`.
const SERVERS: [&str; 6] = ["gunicorn", "uvicorn", "hypercorn", "daphne", "waitress-serve", "granian"];

/// Script names that say nothing of the service; the folder's name says more.
const EVERYDAY: [&str; 3] = ["manage", "__main__", "wsgi"];

/// Options of the interpreter that take the next argument as their value.
const WITH_VALUE: [&str; 3] = ["-W", "-X", "--check-hash-based-pycs"];

impl Runtime for Python {
    fn name(&self) -> &'static str {
        "Python"
    }

    fn detect(&self, subject: &Subject) -> Option<Detected> {
        let library = subject.binary.links("libpython");
        let inside = subject.binary.exports("Py_BytesMain") || subject.binary.exports("Py_Main");
        let (version, evidence) = match library {
            _ if inside => {
                (version(&subject.binary, subject.executable_name()), "the executable exports `Py_Main`".to_string())
            }
            Some(name) => {
                let loaded =
                    subject.mapped_binary("libpython").and_then(|binary| version(&binary, Some(name.to_string())));
                (loaded.or_else(|| minor(name)), format!("the executable links `{name}`"))
            }
            None => return None,
        };
        Some(Detected {
            agent_name: "ebpf-python",
            language: Some(("python".into(), version.clone())),
            runtime: version.map(|version| ("CPython".into(), version)),
            architecture: ARCHITECTURE,
            evidence,
        })
    }

    fn service(&self, subject: &Subject) -> Option<Named> {
        named(&subject.arguments).or_else(|| by_folder(subject))
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "TLS: Python loads the system's OpenSSL, which is not hooked yet; encrypted connections give no transactions and spans",
        ]
    }
}

/// `3.11.7` of a binary; `hint` is a file name that holds major and minor.
fn version(binary: &Binary, hint: Option<String>) -> Option<String> {
    if let Some(word) = binary.constant::<4>("Py_Version") {
        let [_, micro, minor, major] = u32::from_ne_bytes(word).to_le_bytes();
        return Some(format!("{major}.{minor}.{micro}"));
    }
    let minor = minor(&hint?)?;
    let marker = format!("\0{minor}.");
    let digits = |text: &str| !text.is_empty() && text.len() <= 2 && text.chars().all(|letter| letter.is_ascii_digit());
    let micro = binary.text_after(marker.as_bytes(), digits);
    Some(micro.map_or(minor.clone(), |micro| format!("{minor}.{micro}")))
}

/// `3.11` of `libpython3.11.so.1.0` or `python3.11`.
fn minor(name: &str) -> Option<String> {
    let rest = name.split("python").nth(1)?;
    let number: String = rest.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    let number = number.trim_matches('.');
    number.contains('.').then(|| number.to_string())
}

/// The script's or module's name; for an application server, the application's package.
fn named(arguments: &[String]) -> Option<Named> {
    if let Some(title) = arguments.first().filter(|title| title.contains(": ") && title.contains('[')) {
        // gunicorn with setproctitle: `gunicorn: master [shop:app]`.
        let inside = title.split_once('[')?.1.split(']').next()?;
        return Some(Named::new(package(inside)?, "application named in the process title"));
    }
    let mut words = arguments.iter().skip(1);
    while let Some(word) = words.next() {
        let rest = || words.clone().cloned().collect::<Vec<_>>();
        match word.as_str() {
            "-m" => {
                let module = words.next()?;
                let rest = words.cloned().collect::<Vec<_>>();
                return application(module, &rest).or_else(|| Some(Named::new(module, "module in the arguments")));
            }
            "-c" | "-" => return None,
            option if WITH_VALUE.contains(&option) => drop(words.next()),
            option if option.starts_with('-') => {}
            script => {
                let name = stem(Path::new(script))?;
                return application(&name, &rest()).or_else(|| {
                    let everyday = EVERYDAY.contains(&name.as_str());
                    (!everyday).then(|| Named::new(name, "script in the arguments"))
                });
            }
        }
    }
    None
}

fn application(server: &str, rest: &[String]) -> Option<Named> {
    if server == "celery" {
        let app = rest.iter().skip_while(|word| *word != "-A" && *word != "--app").nth(1)?;
        return Some(Named::new(package(app)?, "application of celery"));
    }
    if !SERVERS.contains(&server) {
        return None;
    }
    let app = rest.iter().rev().filter(|word| !word.starts_with('-')).find_map(|word| {
        let (module, object) = word.split_once(':')?;
        // `localhost:8000` is an address to bind to.
        let identifier = |text: &str| {
            text.starts_with(|first: char| first.is_alphabetic() || first == '_')
                && text.chars().all(|letter| letter.is_alphanumeric() || "._()".contains(letter))
        };
        (identifier(module) && identifier(object)).then_some(module)
    })?;
    Some(Named::new(package(app)?, format!("application of {server}")))
}

/// `shop` of `shop.main:app`.
fn package(application: &str) -> Option<String> {
    let name = application.split([':', '.']).find(|part| !part.is_empty())?;
    Some(name.to_string())
}

fn by_folder(subject: &Subject) -> Option<Named> {
    let script = subject.arguments.iter().skip(1).find(|word| word.ends_with(".py"))?;
    let folder = subject.absolute(script)?;
    Some(Named::new(folder.parent()?.file_name()?.to_string_lossy(), "folder of the script"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(line: &[&str]) -> Option<String> {
        named(&line.iter().map(|word| word.to_string()).collect::<Vec<_>>()).map(|named| named.name)
    }

    #[test]
    fn names_by_arguments() {
        for (line, expected) in [
            (&["python3", "/srv/shop.py"][..], Some("shop")),
            (&["python3", "-u", "-X", "dev", "shop.py", "x.py"], Some("shop")),
            (&["python3", "-m", "http.server", "8000"], Some("http.server")),
            (
                &["/usr/bin/python3", "/usr/bin/gunicorn", "-w", "4", "-b", "127.0.0.1:80", "shop.main:app"],
                Some("shop"),
            ),
            (&["python", "/usr/bin/gunicorn", "shop:app", "-b", "localhost:8000"], Some("shop")),
            (&["python", "-m", "uvicorn", "api:app", "--host", "0.0.0.0"], Some("api")),
            (&["gunicorn: master [shop.wsgi:application]"], Some("shop")),
            (&["python", "/usr/bin/celery", "-A", "jobs.tasks", "worker"], Some("jobs")),
            (&["python", "-c", "pass"], None),
            (&["python", "manage.py", "runserver"], None),
            (&["python"], None),
            (&[], None),
        ] {
            assert_eq!(name(line).as_deref(), expected, "{line:?}");
        }
    }

    #[test]
    fn minor_of_file_names() {
        assert_eq!(minor("libpython3.11.so.1.0").as_deref(), Some("3.11"));
        assert_eq!(minor("python3.8").as_deref(), Some("3.8"));
        assert_eq!(minor("python3"), None);
        assert_eq!(minor("node"), None);
    }
}
