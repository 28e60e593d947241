//! Counters the kernel programs keep: one slot each in a per-CPU array map, summed by user space.

/// Index of a counter in the kernel's per-CPU array.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Events written to the ring buffer.
    EventsSent = 0,
    /// Events that did not fit into the ring buffer.
    EventsLost = 1,
    /// Lost events that carried the first bytes of a client's turn: each is at least one request never seen.
    TurnsLost = 2,
    /// Payload bytes not captured because the budget of their turn was used up (intended, not a loss).
    BytesOverBudget = 3,
    /// User memory that could not be read (paged out or unmapped); the bytes become a gap.
    ReadFaults = 4,
    /// `iovec`s or `mmsghdr`s beyond the number looked at in one system call; the bytes become a gap.
    VectorsTruncated = 5,
    /// Connections not watched because the connection map was full.
    ConnectionsFull = 6,
    /// Processes not watched because the process map was full.
    ProcessesFull = 7,
    /// Connection attempts whose start time could not be kept because the map was full.
    ConnectsFull = 8,
    /// Kernel structures that could not be read (a layout the settings do not describe).
    KernelReadFaults = 9,
    /// Writes to a channel that were longer than a batch can be; they are dropped whole.
    BatchesTooLong = 10,
    /// Calls into which the place in the trace was written.
    CallsCarrying = 11,
    /// Calls left alone, as the program sends a place of its own.
    CallsPlaced = 12,
    /// Calls left alone, as their head did not come whole in the first 4 KiB of one write, or was not understood.
    CallsNotWhole = 13,
    /// Calls left alone, as the trace of their request is not known.
    CallsTraceUnknown = 14,
    /// Calls left alone on connections that are older than the agent, or not in TCP.
    CallsUnreachable = 15,
    /// Calls left alone, as the kernel had no room to put something in, or was busy.
    CallsNoRoom = 16,
    /// Goroutines of Go programs of which it is not told any more in which request they were made: there are too many
    /// generations between, or they make a call for another request.
    DescentGivenUp = 17,
    /// Calls left alone, as the program's memory could not be written.
    CallsWriteFailed = 18,
    /// Calls left alone, as the process was stopped for one already, or too often.
    CallsStopsSpared = 19,
}

/// Number of counters, the length of the kernel's array.
pub const COUNTERS: u32 = 20;

impl Counter {
    /// Every counter with its name as `report` prints it, in index order.
    pub const ALL: [(Counter, &'static str); COUNTERS as usize] = [
        (Counter::EventsSent, "kernel.events.sent"),
        (Counter::EventsLost, "kernel.events.lost"),
        (Counter::TurnsLost, "kernel.turns.lost"),
        (Counter::BytesOverBudget, "kernel.bytes.over_budget"),
        (Counter::ReadFaults, "kernel.read_faults"),
        (Counter::VectorsTruncated, "kernel.vectors_truncated"),
        (Counter::ConnectionsFull, "kernel.connections_full"),
        (Counter::ProcessesFull, "kernel.processes_full"),
        (Counter::ConnectsFull, "kernel.connects_full"),
        (Counter::KernelReadFaults, "kernel.kernel_read_faults"),
        (Counter::BatchesTooLong, "kernel.batches_too_long"),
        (Counter::CallsCarrying, "propagation.written"),
        (Counter::CallsPlaced, "propagation.there_already"),
        (Counter::CallsNotWhole, "propagation.head_not_whole"),
        (Counter::CallsTraceUnknown, "propagation.trace_unknown"),
        (Counter::CallsUnreachable, "propagation.connection_unreachable"),
        (Counter::CallsNoRoom, "propagation.no_room"),
        (Counter::DescentGivenUp, "kernel.descent_given_up"),
        (Counter::CallsWriteFailed, "propagation.write_failed"),
        (Counter::CallsStopsSpared, "propagation.stops_spared"),
    ];
}
