//! What is in the payloads of events, by provider.
//!
//! Each reader takes an [`Event`](super::Event) and gives `None` when it is not one of its own or its payload makes no
//! sense. Events of an `EventSource` describe their fields, and are known by name: many have other numbers in each process.
//! The run time's own do not, and are known by number.
//!
//! Nothing is copied: texts are those of the payload.

mod counter;
mod diagnostic_source;
mod exception;
mod garbage_collection;
mod log;
mod value;

pub use counter::{Counter, Reading};
pub use diagnostic_source::{Arguments, SourceEvent};
pub use exception::Exception;
pub use garbage_collection::{GarbageCollection, Generation, HeapStatistics};
pub use log::{LogLevel, LogRecord};
pub use value::{Array, Value, fields};

#[cfg(test)]
mod tests;
