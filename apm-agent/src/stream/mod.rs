//! Bytes in order per connection and direction, gaps known as gaps, and the parser that reads them.
//!
//! A connection first collects evidence of its protocol, bounded by [`EVIDENCE_BYTES`]; then it hands every byte on and
//! keeps none itself. What is never recognised is given up, and the kernel is told to send no more of it.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

mod connection;
mod direction;

pub use connection::{Connection, Role, Told};
pub use direction::{Arrival, Direction};

/// Bytes kept of a connection while its protocol is not known: the first turn of either side must tell.
pub const EVIDENCE_BYTES: usize = 16 * 1024;
