//! Go. Known by the section `.go.buildinfo`, which every Go linker writes and `strip` keeps.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

mod fasthttp;
mod group;
mod grpc;
mod headers;
mod heads;
mod hidden;
mod hook;
mod layout;
mod outgoing;
mod panic;
mod plan;
mod reader;
mod sqlite;
mod vitals;

pub use panic::Code;
pub use plan::{Placed, Plan, places};
pub use reader::{Asked, Known, Reader};
pub use vitals::Vitals;

use crate::binary::GoModule;

use super::{ARCHITECTURE, Detected, Named, Runtime, Subject};

/// `service.agent.name` of Go services: that of Elastic's agent.
pub const AGENT_NAME: &str = "go";

/// Frameworks that Elastic's agent names, with what their versions begin with there: gin's as gin itself says it.
const FRAMEWORKS: [(&str, &str, &str); 2] =
    [("github.com/gin-gonic/gin", "gin", "v"), ("github.com/labstack/echo/v4", "echo", "")];

/// The framework that a program is built with, and its version; `None` also where there is more than one.
fn framework(modules: &[GoModule]) -> Option<(String, String)> {
    let known = |module: &GoModule| {
        let (_, name, prefix) = FRAMEWORKS.iter().find(|(path, ..)| *path == module.path)?;
        let version = module.version.strip_prefix('v').unwrap_or(&module.version);
        Some(((*name).to_owned(), format!("{prefix}{version}")))
    };
    let mut found = modules.iter().filter_map(known);
    found.next().filter(|_| found.next().is_none())
}

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

    fn framework(&self, subject: &Subject) -> Option<(String, String)> {
        framework(&subject.binary.go.as_ref()?.modules)
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "`traceparent` goes into plain HTTP/1 calls of `net/http`, on connections older than the agent from the second call on; into calls over TLS, HTTP/2 and gRPC where the kernel is not locked down (`doctor` says), or with `--propagation=stop-and-write`",
            "a call is linked to its request by its context, or when the request's own goroutine makes it; others are told as transactions of their own, or linked by a guess (`--go-ancestry`)",
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_framework() {
        let module = |path: &str, version: &str| GoModule { path: path.into(), version: version.into() };
        let (shop, gin) = (module("example.org/shop", "v1.0.0"), module("github.com/gin-gonic/gin", "v1.10.0"));
        let echo = module("github.com/labstack/echo/v4", "v4.11.4");
        let named = |name: &str, version: &str| Some((name.to_owned(), version.to_owned()));
        assert_eq!(framework(&[shop.clone(), gin.clone()]), named("gin", "v1.10.0"));
        assert_eq!(framework(std::slice::from_ref(&echo)), named("echo", "4.11.4"));
        assert_eq!(framework(&[gin, echo]), None);
        assert_eq!(framework(&[shop]), None);
    }
}
