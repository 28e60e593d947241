//! One event.

use super::Field;

/// How important an event is: `EventLevel` of .NET.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u32);

impl Level {
    /// Always told.
    pub const ALWAYS: Self = Self(0);
    /// The application is about to end.
    pub const CRITICAL: Self = Self(1);
    /// An error.
    pub const ERROR: Self = Self(2);
    /// A warning.
    pub const WARNING: Self = Self(3);
    /// No trouble.
    pub const INFORMATIONAL: Self = Self(4);
    /// For those who look for faults.
    pub const VERBOSE: Self = Self(5);
}

/// An event and what describes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// Who told it, as `System.Runtime`.
    pub provider: &'a str,
    /// Number of its kind within the provider.
    pub id: u32,
    /// Name of its kind; empty for the run time's own.
    pub name: &'a str,
    /// Version of its kind: the newer, the more fields.
    pub version: u32,
    /// How important it is.
    pub level: Level,
    /// Groups of the provider it belongs to.
    pub keywords: u64,
    /// When: nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// Thread it is about, by the kernel's number for it in the process's own pid namespace.
    pub thread: u64,
    /// `EventSource.CurrentThreadActivityId`; all 0 where there is none.
    pub activity: [u8; 16],
    /// Names and kinds of its fields; none for the run time's own.
    pub fields: &'a [Field],
    /// Its fields, packed.
    pub payload: &'a [u8],
}
