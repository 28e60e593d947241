//! Where documents go: APM Server, an NDJSON file, the console.

use std::sync::Arc;

use crate::{build::Document, metadata::ServiceInstance};

/// Takes documents. Called on the pipeline's thread: must not block.
pub trait Output {
    /// One document of a service instance.
    fn publish(&mut self, instance: &Arc<ServiceInstance>, document: &Document);

    /// An instance will publish no more: its stream may be closed.
    fn retire(&mut self, _instance: &Arc<ServiceInstance>) {}

    /// Called every few milliseconds, and at quiet times.
    fn tick(&mut self) {}

    /// Sends what is queued, within a few seconds, and stops.
    fn finish(&mut self);

    /// Counters of this output, name and value, for the report.
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}
