//! apm-agent: watches processes that run unmodified and sends what Elastic's in-process agents would send.
//!
//! The data path, and the folders:
//!
//! ```text
//! kernel event → stream → protocol → exchange → build → correlate → intake → send
//! ```
//!
//! Invariants (each held by a test or a lint, see ARCHITECTURE.md): `protocol` knows bytes and time only; only
//! `kernel` names aya, only `intake` names Elastic's fields, only `send` names an HTTP client; every buffer has a cap
//! and a counter.

pub mod binary;
pub mod bridge;
pub mod build;
pub mod clock;
pub mod command;
pub mod config;
pub mod correlate;
pub mod engine;
pub mod event;
pub mod exchange;
pub mod intake;
pub mod kernel;
pub mod metadata;
pub mod metric;
pub mod pipeline;
pub mod priority;
pub mod process;
pub mod protocol;
pub mod recording;
pub mod report;
pub mod run;
pub mod runtime;
pub mod send;
pub mod stream;
