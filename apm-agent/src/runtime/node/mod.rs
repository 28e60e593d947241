//! Node.js from the outside: recognising its processes, and putting a script into one that runs, through the inspector
//! that every node opens on SIGUSR1. The script tells what the wire cannot: whose call a call is.
//!
//! ```text
//! process → guard → attach → inspector → session (one evaluate) → the script: lease, channel
//! ```
//!
//! What the process answers is read within bounds and never trusted, and what a refusal leaves undone is said.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

mod attach;
mod guard;
mod inspector;
mod lease;
mod recognise;
mod session;

pub use attach::{Approach, AttachError, Status};
pub use guard::{Refusal, look};
pub use lease::Lease;
pub use recognise::{AGENT_NAME, NodeJs};
