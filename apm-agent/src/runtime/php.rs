//! PHP (FPM, CLI, embedded). Known by the function `php_module_startup` the executable exports for its extensions.

use super::{ARCHITECTURE, Detected, Named, Runtime, Subject, is_version};

pub(super) struct Php;

impl Runtime for Php {
    fn name(&self) -> &'static str {
        "PHP"
    }

    fn detect(&self, subject: &Subject) -> Option<Detected> {
        if !subject.binary.exports("php_module_startup") {
            return None;
        }
        // The header PHP adds to every answer.
        let version = subject.binary.text_after(b"X-Powered-By: PHP/", is_version);
        Some(Detected {
            agent_name: "ebpf-php",
            language: Some(("php".into(), version.clone())),
            runtime: version.map(|version| ("php".into(), version)),
            architecture: ARCHITECTURE,
            evidence: "the executable exports `php_module_startup`".into(),
        })
    }

    fn service(&self, subject: &Subject) -> Option<Named> {
        Some(Named::new(subject.executable_name()?, "name of the executable"))
    }
}
