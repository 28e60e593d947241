//! nginx. Known by `ngx_cycle`, which it exports for its modules.

use super::{ARCHITECTURE, Detected, Named, Runtime, Subject, is_version};

pub(super) struct Nginx;

impl Runtime for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn detect(&self, subject: &Subject) -> Option<Detected> {
        if !subject.binary.exports("ngx_cycle") {
            return None;
        }
        let version = subject.binary.text_after(b"nginx/", is_version);
        Some(Detected {
            agent_name: "ebpf",
            language: Some(("c".into(), None)),
            runtime: version.map(|version| ("nginx".into(), version)),
            architecture: ARCHITECTURE,
            evidence: "the executable exports `ngx_cycle`".into(),
        })
    }

    fn service(&self, _subject: &Subject) -> Option<Named> {
        Some(Named::new("nginx", "run time"))
    }
}
