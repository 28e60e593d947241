//! Ruby (MRI). Known by `libruby` linked or by the interpreter's functions exported; the version is the exported text
//! `ruby_version`.

use std::path::Path;

use super::{ARCHITECTURE, Detected, Named, Runtime, Subject, stem};

pub(super) struct Ruby;

impl Runtime for Ruby {
    fn name(&self) -> &'static str {
        "Ruby"
    }

    fn detect(&self, subject: &Subject) -> Option<Detected> {
        let inside = subject.binary.exports("ruby_init");
        let evidence = match subject.binary.links("libruby") {
            _ if inside => "the executable exports `ruby_init`".to_string(),
            Some(name) => format!("the executable links `{name}`"),
            None => return None,
        };
        let loaded = if inside { None } else { subject.mapped_binary("libruby") };
        let text = loaded.as_ref().unwrap_or(&subject.binary).constant::<8>("ruby_version");
        let version =
            text.map(|text| String::from_utf8_lossy(&text).split('\0').next().unwrap_or_default().to_string());
        Some(Detected {
            agent_name: "ebpf-ruby",
            language: Some(("ruby".into(), version.clone())),
            runtime: version.map(|version| ("ruby".into(), version)),
            architecture: ARCHITECTURE,
            evidence,
        })
    }

    /// Puma names the application in its title (`puma 6.4 (tcp://…) [shop]`); else the script's name.
    fn service(&self, subject: &Subject) -> Option<Named> {
        let title = subject.arguments.first()?;
        if let Some(name) = title.rsplit_once('[').and_then(|(_, rest)| rest.strip_suffix(']')) {
            return Some(Named::new(name, "application named in the process title"));
        }
        let script = subject.arguments.iter().skip(1).find(|word| !word.starts_with('-'))?;
        Some(Named::new(stem(Path::new(script))?, "script in the arguments"))
    }
}
