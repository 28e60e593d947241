//! Everything else: C, C++, Rust and what we do not know. The wire tells its transactions and spans.

use super::{ARCHITECTURE, Detected, Named, Runtime, Subject};

pub(super) struct Native;

impl Runtime for Native {
    fn name(&self) -> &'static str {
        "native code"
    }

    fn detect(&self, _subject: &Subject) -> Option<Detected> {
        Some(Detected {
            agent_name: "ebpf",
            language: None,
            runtime: None,
            architecture: ARCHITECTURE,
            evidence: "no run time was recognised in the executable".into(),
        })
    }

    fn service(&self, subject: &Subject) -> Option<Named> {
        Some(Named::new(subject.executable_name()?, "name of the executable"))
    }

    fn limits(&self) -> &'static [&'static str] {
        &["TLS: libraries are not hooked yet; encrypted connections give no transactions and spans"]
    }
}
