//! What became of requests and calls, in numbers.

/// What became of requests and calls. All but `transactions` and `spans` are losses or refusals, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TracerCounters {
    /// Transactions of requests reported.
    pub transactions: u64,
    /// Spans reported, exit transactions' own included.
    pub spans: u64,
    /// Errors reported.
    pub errors: u64,
    /// Calls whose parent was certain.
    pub calls_linked: u64,
    /// Calls with no evidence of a parent.
    pub calls_without_parent: u64,
    /// Those of them whose run time named a request that is over or not known.
    pub calls_late: u64,
    /// Calls for which several requests could be the parent.
    pub calls_ambiguous: u64,
    /// Calls unlinked because they carried another trace than their request was known to have.
    pub calls_carrying_another_trace: u64,
    /// Calls unlinked afterwards: another thread answered the request than read it.
    pub calls_unlinked: u64,
    /// Calls without parent dropped by setting.
    pub orphans_dropped: u64,
    /// Requests not reported: bytes of their head were lost.
    pub requests_lost: u64,
    /// Calls not reported: bytes of their head were lost.
    pub calls_lost: u64,
    /// Exchanges still open when watching ended.
    pub unfinished: u64,
    /// Requests ignored by setting (`transaction_ignore_urls`).
    pub requests_ignored: u64,
    /// Requests of traces that are not sampled.
    pub requests_unsampled: u64,
    /// Exchanges a database served; they are not reported.
    pub served_statements: u64,
    /// Requests that could have no spans because too many were open.
    pub requests_over_limit: u64,
    /// Requests the run time told of as the wire saw them.
    pub requests_joined: u64,
    /// Requests the run time should have told of and did not, or not certainly.
    pub requests_alone: u64,
    /// Requests the run time told of that were not seen on the wire (TLS, HTTP/2), or not certainly.
    pub requests_unseen: u64,
    /// Calls a database driver made for itself, by its run time's word.
    pub calls_internal: u64,
    /// Spans whose transaction never became known.
    pub spans_without_transaction: u64,
    /// Requests their run time named.
    pub requests_named: u64,
    /// Requests a run time named of which the wire shows none (TLS, HTTP/2), or on a connection not known.
    pub requests_unplaced: u64,
    /// Errors that handlers gave back and that no open request could take.
    pub failures_unplaced: u64,
    /// Requests reported that only probes show (TLS, HTTP/2).
    pub requests_hidden: u64,
    /// Calls reported that only probes show (HTTP/2).
    pub calls_hidden: u64,
    /// Calls not reported because too many of those were open.
    pub calls_over_limit: u64,
    /// Panics not reported because too many were under way.
    pub panics_over_limit: u64,
    /// Messages of run times lost before they reached us.
    pub messages_lost: u64,
}
