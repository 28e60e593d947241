//! Java (HotSpot and OpenJ9). Known by `libjvm.so` mapped, or by the launcher's library `libjli.so`; the version stands
//! in the file `release` of the Java home.

use std::path::Path;

use super::{ARCHITECTURE, Detected, Named, Runtime, Subject, stem};

pub(super) struct Java;

/// Options of the launcher that take the next argument as their value.
const WITH_VALUE: [&str; 7] =
    ["-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--upgrade-module-path"];

impl Runtime for Java {
    fn name(&self) -> &'static str {
        "Java"
    }

    fn detect(&self, subject: &Subject) -> Option<Detected> {
        let mapped = subject.mapped("libjvm.so");
        let evidence = match mapped {
            Some(_) => "`libjvm.so` is mapped",
            None if subject.binary.links("libjli.so").is_some() => "the executable links `libjli.so`",
            None => return None,
        };
        let version = version(subject, mapped.unwrap_or(&subject.executable));
        Some(Detected {
            agent_name: "ebpf-java",
            language: Some(("java".into(), version.clone())),
            runtime: version.map(|version| ("Java".into(), version)),
            architecture: ARCHITECTURE,
            evidence: evidence.into(),
        })
    }

    /// The jar's name, or the main class's.
    fn service(&self, subject: &Subject) -> Option<Named> {
        let mut words = subject.arguments.iter().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-jar" => return Some(Named::new(stem(Path::new(words.next()?))?, "jar in the arguments")),
                "-m" | "--module" => {
                    let name = words.next()?.split('/').next_back()?;
                    return Some(Named::new(name.rsplit('.').next()?, "module in the arguments"));
                }
                option if WITH_VALUE.contains(&option) => drop(words.next()),
                option if option.starts_with('-') || option.starts_with('@') => {}
                class => return Some(Named::new(class.rsplit('.').next()?, "main class in the arguments")),
            }
        }
        None
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "TLS: Java has its own, which cannot be hooked from outside; encrypted connections give no transactions and spans",
        ]
    }
}

/// `JAVA_VERSION="17.0.1"` of the `release` file above the library (`lib/server/libjvm.so`) or launcher (`bin/java`).
fn version(subject: &Subject, inside: &Path) -> Option<String> {
    let text = inside.ancestors().skip(2).take(4).find_map(|home| subject.text(&home.join("release")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    Some(line.trim().trim_matches('"').to_string())
}
