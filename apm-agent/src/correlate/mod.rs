//! Who is whose parent: trace context, ids, sampling, and the evidence that ties a call to the request that made it.

mod id;
pub mod trace_context;

pub use id::{Ids, SpanId, TraceId};
