//! What passed through the pipeline, and every way in which something did not.

use crate::correlate::Tracer;

/// Counts of the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineCounters {
    /// Events handled.
    pub events: u64,
    /// Events of processes nobody watches any more.
    pub events_unwatched: u64,
    /// Events whose bytes lie before what had passed.
    pub events_out_of_order: u64,
    /// Bytes followed.
    pub bytes: u64,
    /// Connections announced.
    pub connections: u64,
    /// Connections whose announcement was lost.
    pub connections_unannounced: u64,
    /// Connections not followed because there were too many.
    pub connections_over_limit: u64,
    /// Connections announced again before they ended.
    pub connections_replaced: u64,
    /// Connections that speak nothing we know.
    pub connections_unknown: u64,
    /// Connections that became opaque (an upgrade, TLS).
    pub connections_opaque: u64,
    /// Connection attempts that failed.
    pub connects_failed: u64,
    /// Exchanges parsers yielded.
    pub exchanges: u64,
    /// Times a parser lost its place and found it again.
    pub resynchronised: u64,
    /// Bytes parsers could not understand.
    pub bytes_not_understood: u64,
    /// Processes that ended while watched.
    pub processes_ended: u64,
}

impl PipelineCounters {
    /// All counters with their names, the tracer's too.
    pub fn list(&self, tracer: &Tracer, connections_open: usize) -> Vec<(&'static str, u64)> {
        let traced = &tracer.counters;
        let (requests_open, calls_open) = tracer.open();
        vec![
            ("pipeline.events", self.events),
            ("pipeline.events.unwatched", self.events_unwatched),
            ("pipeline.events.out_of_order", self.events_out_of_order),
            ("pipeline.bytes", self.bytes),
            ("pipeline.connections", self.connections),
            ("pipeline.connections.open", connections_open as u64),
            ("pipeline.connections.unannounced", self.connections_unannounced),
            ("pipeline.connections.over_limit", self.connections_over_limit),
            ("pipeline.connections.replaced", self.connections_replaced),
            ("pipeline.connections.unknown", self.connections_unknown),
            ("pipeline.connections.opaque", self.connections_opaque),
            ("pipeline.connects.failed", self.connects_failed),
            ("pipeline.exchanges", self.exchanges),
            ("pipeline.resynchronised", self.resynchronised),
            ("pipeline.bytes.not_understood", self.bytes_not_understood),
            ("pipeline.processes.ended", self.processes_ended),
            ("trace.transactions", traced.transactions),
            ("trace.spans", traced.spans),
            ("trace.errors", traced.errors),
            ("trace.requests.open", requests_open as u64),
            ("trace.requests.lost", traced.requests_lost),
            ("trace.requests.ignored", traced.requests_ignored),
            ("trace.requests.unsampled", traced.requests_unsampled),
            ("trace.requests.over_limit", traced.requests_over_limit),
            ("trace.served_statements", traced.served_statements),
            ("trace.unfinished", traced.unfinished),
            ("trace.calls.open", calls_open as u64),
            ("trace.calls.linked", traced.calls_linked),
            ("trace.calls.without_parent", traced.calls_without_parent),
            ("trace.calls.late", traced.calls_late),
            ("trace.calls.ambiguous", traced.calls_ambiguous),
            ("trace.calls.carrying_another_trace", traced.calls_carrying_another_trace),
            ("trace.calls.unlinked", traced.calls_unlinked),
            ("trace.calls.lost", traced.calls_lost),
            ("trace.calls.internal", traced.calls_internal),
            ("trace.requests.joined", traced.requests_joined),
            ("trace.requests.alone", traced.requests_alone),
            ("trace.requests.unseen", traced.requests_unseen),
            ("trace.requests.named", traced.requests_named),
            ("trace.requests.unplaced", traced.requests_unplaced),
            ("trace.spans.without_transaction", traced.spans_without_transaction),
            ("trace.waiting", tracer.waiting() as u64),
            ("bridge.messages.lost", traced.messages_lost),
            ("trace.requests.hidden", traced.requests_hidden),
            ("trace.failures.unplaced", traced.failures_unplaced),
            ("trace.calls.hidden", traced.calls_hidden),
            ("trace.calls.over_limit", traced.calls_over_limit),
            ("trace.panics.over_limit", traced.panics_over_limit),
            ("trace.orphans.dropped", traced.orphans_dropped),
        ]
    }
}
