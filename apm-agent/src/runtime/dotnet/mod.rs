//! .NET from the outside: recognising its processes, and listening to what its run time tells over the diagnostics port.
//!
//! Every process of .NET Core 3 and later listens on a Unix socket ([`port`]) for a small protocol ([`ipc`]). A session
//! ([`session`]) asked for there sends the events of the named providers as a `Nettrace` stream ([`nettrace`]); what an
//! event holds is read by [`payload`]. Which providers to ask for, and what their events mean, is not known here.
//!
//! ```text
//! process → port → ipc → session → nettrace → payload
//! ```
//!
//! The process on the other side may run anything: all it sends is read within bounds and never trusted.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

mod asking;
mod bridge;
mod command;
mod counters;
mod cursor;
pub mod exception;
pub mod ipc;
mod logged;
pub mod nettrace;
pub mod payload;
pub mod port;
mod recognise;
pub mod session;
mod telling;
mod threads;
mod utf16;

pub use bridge::EventPipe;
pub use ipc::{CollectTracing, IpcError, ProcessInfo, Provider};
pub use nettrace::{Event, Item, NettraceError, Reader};
pub use port::{Absence, Port, PortError};
pub use recognise::{AGENT_NAME, DotNet};
pub use session::{Progress, Session, SessionError};
pub use utf16::Utf16;
