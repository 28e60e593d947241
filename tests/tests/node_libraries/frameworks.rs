//! Fastify, Koa and hapi: routes, errors, and a crash.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, text},
    http,
    node::{Libraries, Major},
    programs::Program,
};

use super::{service, thrown};

/// The frameworks' program; each has a port of its own.
pub struct Frameworks {
    program: Program,
    koa: u16,
    hapi: u16,
}

impl Frameworks {
    /// Starts it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(major: Major, libraries: Libraries) -> Result<Self> {
        let (koa, hapi) = (http::free_port()?, http::free_port()?);
        let program = service("node/frameworks.js", major, libraries, &[("KOA_PORT", koa), ("HAPI_PORT", hapi)])?;
        Ok(Self { program, koa, hapi })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Asks each for an item and for an error. The last request ends the process.
    ///
    /// # Errors
    /// If an answer is not as expected.
    pub fn converse(&self) -> Result<()> {
        let fastify = self.program.port();
        let fetch = format!("/fastify/fetch?url=http://127.0.0.1:{fastify}/fastify/item/9");
        for (port, path, status) in [
            (fastify, "/fastify/item/1", 200),
            (fastify, "/fastify/throw", 500),
            (fastify, &fetch, 200),
            (self.koa, "/koa/item/1", 200),
            (self.koa, "/koa/throw", 500),
            (self.hapi, "/hapi/item/1", 200),
            (self.hapi, "/hapi/throw", 500),
            (fastify, "/fastify/crash", 200),
        ] {
            let answer = http::get(port, path)?;
            ensure!(answer.status == status, "{path}: {answer:?}\n{}", self.program.output());
        }
        Ok(())
    }

    /// Requests are named by their routes (of hapi by their fingerprints), calls carry the trace, and every error is told once.
    ///
    /// # Errors
    /// If one is not.
    pub fn check(&self, documents: &Documents) -> Result<()> {
        for (framework, pattern) in [("fastify", ":id"), ("koa", ":id"), ("hapi", "?")] {
            let item = documents.request(&format!("/{framework}/item/1"))?;
            ensure!(text(item, "transaction.name") == format!("GET /{framework}/item/{pattern}"), "{item}");
            let path = format!("/{framework}/throw");
            thrown(documents, &path, &format!("GET {path}"))?;
        }
        let called = documents.request("/fastify/item/9")?;
        let caller = documents.request("/fastify/fetch")?;
        let call = documents.spans_of(caller).next().with_context(|| documents.summary())?;
        ensure!(text(called, "parent.id") == text(call, "span.id"), "{called}\n{call}");
        let crash = text(documents.request("/fastify/crash")?, "trace.id");
        let mut last = documents.errors().filter(|error| text(error, "trace.id") == crash);
        let last = last.next().with_context(|| documents.summary())?;
        ensure!(last.to_string().contains("caught by nobody"), "{last}");
        Ok(())
    }
}
