//! Every cap of the kernel side, with its reason. User-space caps live beside what they bound.

/// Bytes of the ring buffer. At 100,000 events of 300 bytes a second it holds a quarter of a second of an agent that
/// does not run at all; a power of two and a multiple of the page size, as the kernel demands.
pub const RING_BYTES: u32 = 8 * 1024 * 1024;

/// Bytes in the ring buffer from which the kernel wakes the reader; below, the reader comes by itself every few ms.
pub const RING_WAKE_BYTES: u64 = 512 * 1024;

/// Largest payload of one data event. A larger read or write becomes several events.
pub const CHUNK_BYTES: usize = 4096;

/// Chunks and `iovec`s dealt with in one system call: the whole request budget in one buffer, or a response header spread
/// over several `iovec`s.
pub const STEPS_PER_CALL: u32 = 16;

/// Payload captured of one turn from client to server: a statement of 10,000 characters of four bytes each.
pub const REQUEST_BUDGET: u32 = 44 * 1024;

/// Payload captured of one turn from server to client: a response header of 16 KiB and the first rows.
pub const RESPONSE_BUDGET: u32 = 20 * 1024;

/// Last bytes of a call captured when its turn is over budget: enough for a PostgreSQL command tag with its
/// `ReadyForQuery`, or the last chunk of a chunked HTTP body with short trailers.
pub const TAIL_BYTES: usize = 128;

/// Most `mmsghdr`s looked at in one `recvmmsg` or `sendmmsg`.
pub const MESSAGES: u32 = 4;

/// Most processes watched at once.
pub const PROCESSES: u32 = 8192;

/// Most sockets known at once, of all watched processes.
pub const CONNECTIONS: u32 = 65_536;

/// Most connection attempts under way at once.
pub const CONNECTS: u32 = 8192;

/// Bytes of one batch that a run time hands over by a write to its channel; the script that writes keeps to it.
pub const CHANNEL_BYTES: usize = 16 * 1024;

/// Most channels at once: a process has one for each of its JavaScript threads.
pub const CHANNELS: u32 = 4096;

/// Most processes at once whose next inspector is to listen elsewhere.
pub const DIVERSIONS: u32 = 1024;

/// Bytes of a unix socket path (`sun_path` of `unix(7)`).
pub const UNIX_PATH_BYTES: usize = 108;

/// Bytes of an executable's path in an exec event; a longer one is cut and read again from `/proc`.
pub const EXEC_PATH_BYTES: usize = 256;

/// Bytes of a route; a longer one is left out.
pub const ROUTE_BYTES: usize = 192;

/// Most Go processes with probes at once.
pub const GO_PROCESSES: u32 = 1024;

/// Most types of contexts, of all Go processes together; a binary has ten to thirty.
pub const GO_CONTEXT_TYPES: u32 = 16_384;

/// Most requests that Go programs handle at once, and goroutines that make a call for one; beyond, those not used for
/// the longest time are forgotten, and calls have no parent.
pub const GO_GOROUTINES: u32 = 16_384;

/// Connections that a place in the trace may be written into, of all processes together.
pub const CARRIERS: u32 = 16_384;

/// Processes that it is written for at once.
pub const CARRYING_PROCESSES: u32 = GO_PROCESSES;

/// Requests at once whose caller sent a `tracestate` that goes on; beyond, those not used for the longest time are
/// forgotten, and calls go without.
pub const TRACE_STATES: u32 = 2048;

/// Bytes from the beginning of a call that are searched for the end of its head.
pub const HEAD_BYTES: usize = 4096;

/// Steps of that search: a step is eight bytes without the end of a line, or one.
pub const HEAD_STEPS: u32 = 512;

/// Largest write into which something is put.
pub const CARRYING_BYTES: u32 = 16 * 1024;

/// Calls over HTTP/2 at once whose place in the trace is kept for them, of all processes together; beyond, those not used
/// for the longest time are forgotten.
pub const CARRYING_CALLS: u32 = 8192;

/// Heads that are written into at once.
pub const WRITES: u32 = 256;

/// Most header fields of a gRPC call that are searched for those of a trace; one with more goes as it is.
pub const CALL_FIELDS: u32 = 64;

/// Most generations from the goroutine that handles a request to one that makes a call.
pub const GO_GENERATIONS: u64 = 8;

/// Frames of a panicking goroutine's stack.
pub const PANIC_FRAMES: usize = 64;

/// Bytes of the text of an error, or of what a goroutine panicked with; the rest is cut off.
pub const VALUE_TEXT_BYTES: usize = 512;

/// Bytes of a statement's text that a probe takes; Elastic keeps 10,000 characters.
pub const STATEMENT_BYTES: usize = 10_000;

/// Bytes of most of them, which take no more room than that.
pub const SHORT_STATEMENT_BYTES: usize = 512;

/// Words of such a value.
pub const VALUE_WORDS: usize = 4;

/// Parts of a route; chi has one for each router in a router.
pub const ROUTE_PARTS: u32 = 8;

/// Groups of eight headers that are searched for those of a trace; before Go 1.24 half of them are those that hang on
/// others. With more it is not known whether there are any.
pub const HEADER_GROUPS: u32 = 8;

/// Errors of one request that gin's handlers gave back.
pub const GIN_ERRORS: u32 = 8;

/// Steps up a chain of Go's contexts.
pub const GO_CONTEXT_STEPS: u32 = 24;
