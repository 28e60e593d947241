//! Counters: `EventCounters` of any provider (dotnet/runtime, CounterPayload.cs).

use super::{Value, fields};
use crate::runtime::dotnet::{Utf16, nettrace::Event};

/// What a counter read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// Values in the interval.
    Values {
        /// Their mean.
        mean: f64,
        /// Smallest.
        least: f64,
        /// Largest.
        most: f64,
        /// How many.
        count: u64,
    },
    /// What was added in the interval.
    Increment(f64),
}

/// A counter at the end of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counter<'a> {
    /// Provider, as `System.Runtime`.
    pub provider: &'a str,
    /// Name, as `gen-0-gc-count`.
    pub name: Utf16<'a>,
    /// Unit, as `MB`; may be empty.
    pub unit: Utf16<'a>,
    /// Length of the interval in seconds, as measured.
    pub interval: f64,
    /// What it read.
    pub reading: Reading,
}

impl<'a> Counter<'a> {
    /// Reads one.
    pub fn read(event: &Event<'a>) -> Option<Self> {
        if event.name != "EventCounters" {
            return None;
        }
        let (mut name, mut unit, mut interval, mut count) = (None, Utf16::default(), None, 0);
        let (mut mean, mut least, mut most, mut increment) = (None, None, None, None);
        fields(event, |field, value| match (field, value) {
            ("Name", Value::Text(text)) => name = Some(text),
            ("DisplayUnits", Value::Text(text)) => unit = text,
            ("IntervalSec", value) => interval = value.number(),
            ("Count", value) => count = value.unsigned().unwrap_or_default(),
            ("Mean", value) => mean = value.number(),
            ("Min", value) => least = value.number(),
            ("Max", value) => most = value.number(),
            ("Increment", value) => increment = value.number(),
            _ => {}
        })?;
        let reading = match (increment, mean) {
            (Some(increment), _) => Reading::Increment(increment),
            (None, Some(mean)) => Reading::Values { mean, least: least?, most: most?, count },
            (None, None) => return None,
        };
        Some(Self { provider: event.provider, name: name?, unit, interval: interval?, reading })
    }
}
