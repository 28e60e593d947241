//! Node.js: recognising its processes, and putting a script into one that runs, through the inspector that every node opens
//! on SIGUSR1. The script tells what the wire cannot: whose call a call is.
//!
//! ```text
//! process → guard → attach → inspector → session (one evaluate) → script: lease, channel
//! script → records in batches, written to /dev/null → record → telling → bridge
//! ```
//!
//! The process on the other side may answer and write anything: it is read within bounds and never trusted.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

mod attach;
mod bridge;
mod guard;
mod inspector;
mod installed;
mod lease;
mod recognise;
pub mod record;
pub mod script;
mod session;
mod source;
mod source_map;
mod stack;
mod telling;

pub use attach::{Approach, AttachError};
pub use bridge::Script;
pub use guard::Refusal;
pub use installed::{Installed, installed};
pub use recognise::{AGENT_NAME, NodeJs};
pub use telling::Telling;
