//! What the agent tells of itself: counters, checks of the machine, and what it would hook at what price.

pub mod check;
pub mod counters;
pub mod hooks;
pub mod reporter;
pub mod system;

pub use check::{Check, Probe, Status};
pub use counters::Counters;
pub use reporter::Reporter;
