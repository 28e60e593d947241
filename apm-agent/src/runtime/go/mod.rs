//! Go. Known by the section `.go.buildinfo`, which every Go linker writes and `strip` keeps.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

mod group;
mod grpc;
mod headers;
mod hidden;
mod hook;
mod layout;
mod panic;
mod plan;
mod reader;
mod vitals;

pub use panic::Code;
pub use plan::{Placed, Plan, places};
pub use reader::{Asked, Known, Reader};
pub use vitals::Vitals;

use super::{ARCHITECTURE, Detected, Named, Runtime, Subject};

/// `service.agent.name` of Go services: that of Elastic's agent.
pub const AGENT_NAME: &str = "go";

pub(super) struct Go;

impl Runtime for Go {
    fn name(&self) -> &'static str {
        "Go"
    }

    fn detect(&self, subject: &Subject) -> Option<Detected> {
        let build = subject.binary.go.as_ref()?;
        // `go1.26.8 X:experiment`: the first word is the version.
        let version = build.version.split(' ').next().unwrap_or_default().to_string();
        Some(Detected {
            agent_name: AGENT_NAME,
            language: Some(("go".into(), Some(version.clone()))),
            runtime: Some(("gc".into(), version)),
            architecture: ARCHITECTURE,
            evidence: "build information in `.go.buildinfo`".into(),
        })
    }

    fn service(&self, subject: &Subject) -> Option<Named> {
        Some(Named::new(subject.executable_name()?, "name of the executable"))
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "calls over TLS or HTTP/2 give no spans, but those of gRPC do",
            "a call is linked to its request by its context, or when the request's own goroutine makes it; others are told as transactions of their own",
        ]
    }
}
