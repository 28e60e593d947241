//! Node.js from the inside: a script that is evaluated in a process that runs, and what it tells.
//!
//! ```text
//! script → records in batches, written to /dev/null → record → telling → bridge
//! ```
//!
//! The process on the other side may write anything: it is read within bounds and never trusted.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

pub mod record;
pub mod script;
mod stack;
mod telling;

pub use telling::Telling;
