//! Who is whose parent: trace context, ids, sampling, and the evidence that ties a call to the request that made it.
//!
//! A wrong link is worse than none: a call without certain evidence becomes a transaction of its own, and is counted.

mod bridged;
mod carried;
mod id;
mod mark;
mod named;
mod panics;
mod parent;
mod request;
pub mod trace_context;
mod tracer;

pub use carried::Carried;
pub use id::{Ids, SpanId, TraceId};
pub use mark::Mark;
pub use parent::{CallSite, Evidence, PARENT_SOURCES, ParentSource, Rank};
pub use request::{OpenRequest, RequestKey, Requests};
pub use tracer::{CallEnd, Party, Tracer, TracerCounters};
