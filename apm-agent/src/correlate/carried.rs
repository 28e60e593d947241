//! The place in the trace that a call carried to another service.

use apm_common::event::{CARRIED_SAMPLED, CarriedBody};

use super::{SpanId, TraceId};

/// A trace context that a call carried: the call's own span has this place, for somebody may be its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The trace.
    pub trace: TraceId,
    /// The call's span.
    pub span: SpanId,
    /// The trace is recorded.
    pub sampled: bool,
    /// We wrote it, and not the run time: what it says of recording was decided by our rule.
    pub is_ours: bool,
}

/// What the kernel programs wrote.
impl From<CarriedBody> for Carried {
    fn from(body: CarriedBody) -> Self {
        Self {
            trace: TraceId::of_halves(body.trace),
            span: SpanId(body.span),
            sampled: body.flags & CARRIED_SAMPLED != 0,
            is_ours: true,
        }
    }
}
