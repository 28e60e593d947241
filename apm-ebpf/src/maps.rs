//! All maps: key, owner, life time, worst-case bytes.

use apm_common::{
    counter::COUNTERS,
    event::{CarriedBody, ProcessEntry, Text},
    go::{GoKey, GoLayout},
    limits,
    propagation::{Propagation, STATE_BYTES},
    stopping::{ORDERS_RING_BYTES, STOPPED_PROCESSES},
};
use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf, SockHash},
};

use crate::{
    channel::Batch,
    propagate::{Lines, Work},
    ring::Scratch,
};

/// What the kernel keeps of a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Connection {
    /// Bytes passed since the connection was first seen: outgoing, incoming.
    pub position: [u64; 2],
    /// Bytes captured in the current turn: outgoing, incoming.
    pub captured: [u32; 2],
    /// One of the `ROLE_` values of `apm_common::event`.
    pub role: u8,
    /// [`WATCHED`] or [`IGNORED`]; user space sets the latter when nothing it knows is spoken here.
    pub mode: u8,
    /// Direction of the last bytes: [`OUTGOING`], [`INCOMING`], or neither yet.
    pub direction: u8,
    /// Always 0.
    pub reserved: u8,
    /// Always 0.
    pub reserved2: u32,
    /// The request for which a run time sends on it (`HandleBody::request`), where that is known of the connection and
    /// not of who sends; 0: not known.
    pub owner: u64,
    /// The call that is about to begin on it.
    pub call: Call,
}

/// The place of a call that is to be written into it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    /// The trace and the call's span; flags of [`CarriedBody`].
    pub place: CarriedBody,
    /// One of [`CALL_NONE`], [`CALL_WANTED`], [`CALL_CARRIES`], [`CALL_WRITING`].
    pub state: u32,
    /// 1: its trace began with the request.
    pub begins: u32,
}

impl Call {
    /// None is about to begin.
    pub const NONE: Call =
        Call { place: CarriedBody { trace: [0; 2], span: 0, flags: 0 }, state: CALL_NONE, begins: 0 };
}

/// There is nothing to write.
pub const CALL_NONE: u32 = 0;
/// Its place is to be written.
pub const CALL_WANTED: u32 = 1;
/// Its place was written.
pub const CALL_CARRIES: u32 = 2;

/// The process is stopped so that its place is written ([`STOP_WRITTEN`]).
pub const CALL_WRITING: u32 = 3;

/// Events are sent.
pub const WATCHED: u8 = 0;
/// Nothing is sent: not a stream socket, or user space lost interest.
pub const IGNORED: u8 = 1;

/// Index of the outgoing direction.
pub const OUTGOING: usize = 0;
/// Index of the incoming direction.
pub const INCOMING: usize = 1;
/// No bytes have passed.
pub const NEITHER: u8 = 2;

/// Every watched process. Key: tgid. Written by user space and by exec and fork; removed by exit. About 1 MiB full.
#[map]
pub static PROCESSES: HashMap<u32, ProcessEntry> = HashMap::with_max_entries(limits::PROCESSES, BPF_F_NO_PREALLOC);

/// Every socket of a watched process that did something. Key: inode number. Removed by the last close, or by user space
/// when the process ended. About 6 MiB full, allocated as needed.
#[map]
pub static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(limits::CONNECTIONS, BPF_F_NO_PREALLOC);

/// Connection attempts under way. Key: pid and tid; value: when connect was called. Removed by its return.
#[map]
pub static CONNECTS: HashMap<u64, u64> = HashMap::with_max_entries(limits::CONNECTS, BPF_F_NO_PREALLOC);

/// Events to user space.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(limits::RING_BYTES, 0);

/// Where a system call's events are put together before they go to the ring buffer: tracepoint programs run with
/// preemption disabled and do not nest, so one a CPU is enough.
#[map]
pub static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// One slot for each `apm_common::counter::Counter`.
#[map]
pub static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS, 0);

/// Go processes with probes. Key: process id. Written by user space. About 100 KiB full, allocated as needed.
#[map]
pub static GO_PROCESSES: HashMap<u32, GoLayout> = HashMap::with_max_entries(limits::GO_PROCESSES, BPF_F_NO_PREALLOC);

/// Types that are contexts, and where in them the context above lies. Written by user space. About 1 MiB full, allocated
/// as needed.
#[map]
pub static GO_CONTEXT_TYPES: HashMap<GoKey, u32> =
    HashMap::with_max_entries(limits::GO_CONTEXT_TYPES, BPF_F_NO_PREALLOC);

/// A context that a server made for a request.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoContext {
    /// The request.
    pub request: u64,
    /// What lay at the context's address: memory that is something else now is told by it.
    pub content: [u64; 2],
    /// When the request was told of, `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// Address of the `*http.Request` whose headers say the trace; 0: they have been read, or there is none.
    pub asked: u64,
    /// The trace the request is part of.
    pub trace: GoTrace,
    /// What its caller said of that.
    pub headers: GoTraceHeaders,
}

/// The headers of a request that speak of traces: address and length of the first value of each. Found in a loop, so they
/// are kept here, where the verifier knows nothing of them, and not in registers ([`ring::Scratch::capture`]).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoTraceHeaders {
    pub traceparent: [u64; 2],
    pub elastic_traceparent: [u64; 2],
    pub tracestate: [u64; 2],
    /// The host, in metadata of gRPC.
    pub authority: [u64; 2],
    /// Not 0: one of them has several values, or they could not all be read.
    pub is_unclear: u64,
}

impl GoTraceHeaders {
    /// None of them.
    const NONE: GoTraceHeaders = GoTraceHeaders {
        traceparent: [0; 2],
        elastic_traceparent: [0; 2],
        tracestate: [0; 2],
        authority: [0; 2],
        is_unclear: 0,
    };
}

/// The trace of a request.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoTrace {
    /// Its id, the upper half first; zeros: not known.
    pub id: [u64; 2],
    /// 1: it is recorded.
    pub sampled: u32,
    /// 1: it begins with the request.
    pub begins: u32,
}

impl GoTrace {
    /// Nobody may speak of it.
    pub const UNKNOWN: GoTrace = GoTrace { id: [0; 2], sampled: 0, begins: 0 };
}

impl GoContext {
    /// The context changes while it is one: only its address tells it.
    pub const ANY_CONTENT: [u64; 2] = [0; 2];

    /// That of a request of whose trace nothing is known.
    #[inline(always)]
    pub fn new(request: u64, content: [u64; 2]) -> Self {
        Self { request, content, time: 0, asked: 0, trace: GoTrace::UNKNOWN, headers: GoTraceHeaders::NONE }
    }
}

/// Contexts of requests being handled. Key: the context's address. Written when handling begins, removed when it ends, or
/// where no probe sees that, when the goroutine handles the next one; else it is left to be displaced. About 3.5 MiB.
#[map]
pub static GO_CONTEXTS: LruHashMap<GoKey, GoContext> = LruHashMap::with_max_entries(limits::GO_GOROUTINES, 0);

/// What a goroutine is about. Only the goroutine itself writes it, so there are no races.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Goroutine {
    /// The request it handles; 0: none.
    pub handles: u64,
    /// Address of that request's context.
    pub context: u64,
    /// The request for which it makes a call, as the call's context says; 0: it makes none, or the context is none's.
    pub calls: u64,
    /// The connection on which it made that call; 0: none yet. One call is made on one connection.
    pub connection: u64,
    /// Address of the context of a router that searches for the request's route, or has found it; 0: there is none.
    pub router: u64,
    /// Whose context that is: `go::route` knows.
    pub router_kind: u32,
    /// 1: its route was told.
    pub router_told: u32,
    /// 0: the wire shows the request it handles; else [`HIDDEN_HTTP`] or [`HIDDEN_GRPC`].
    pub is_hidden: u64,
    /// The connection it serves, one request after the other: a goroutine of `net/http` serves no other, ever. 0: not
    /// known.
    pub serves: u64,
    /// The visit in which that was seen ([`GoLayout::visit`]).
    pub visit: u64,
    /// 1: a driver executes a statement for it that no wire shows.
    pub is_asking: u64,
    /// The text of the statement that it is about to have executed.
    pub text: [u64; 2],
}

/// `net/http` handles it.
pub const HIDDEN_HTTP: u64 = 1;
/// gRPC handles it.
pub const HIDDEN_GRPC: u64 = 2;

impl Goroutine {
    /// About nothing.
    pub const NONE: Goroutine = Goroutine {
        handles: 0,
        context: 0,
        calls: 0,
        connection: 0,
        router: 0,
        router_kind: 0,
        router_told: 0,
        is_hidden: 0,
        serves: 0,
        visit: 0,
        is_asking: 0,
        text: [0; 2],
    };
}

/// Goroutines that handle a request or make a call for one. Key: number of the goroutine, never used again. Removed when
/// the connection it serves is closed, else displaced. About 2.5 MiB.
#[map]
pub static GOROUTINES: LruHashMap<GoKey, Goroutine> = LruHashMap::with_max_entries(limits::GO_GOROUTINES, 0);

/// In which request a goroutine was made.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoDescent {
    /// The request.
    pub request: u64,
    /// Goroutines from the one that handles it to this one: 1 for those it made itself.
    pub generation: u64,
}

/// Goroutines that were made in a request, by its own goroutine or one of these. Key: number of the goroutine. Written
/// only where the user asks for it (`go_ancestry`); displaced. About 1 MiB.
#[map]
pub static GO_DESCENTS: LruHashMap<GoKey, GoDescent> = LruHashMap::with_max_entries(limits::GO_GOROUTINES, 0);

/// A gRPC call under way.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoRpc {
    /// Its name.
    pub call: u64,
    /// The request it is made for; 0: none.
    pub request: u64,
    /// `CLOCK_MONOTONIC` nanoseconds when it began.
    pub started: u64,
    /// Address of its context.
    pub context: u64,
}

/// gRPC calls under way. Key: address of the `clientStream`. Removed when it is over, else displaced. About 1.5 MiB.
#[map]
pub static GO_RPCS: LruHashMap<GoKey, GoRpc> = LruHashMap::with_max_entries(limits::GO_GOROUTINES, 0);

/// A call over HTTP/2, or the head of one that is being written, that is to carry its place in the trace.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoCall {
    /// The place.
    pub call: Call,
    /// The request for which it is made.
    pub request: u64,
    /// Address of what sees to it: of a `http2clientStream`, of a `grpc.clientStream`, then of a `loopyWriter`.
    pub about: u64,
    /// Address of the request it sends; of gRPC that of the call's context.
    pub asked: u64,
    /// Number of its stream, of gRPC.
    pub stream: u32,
    /// Always 0.
    pub reserved: u32,
    /// What the program sends itself.
    pub headers: GoTraceHeaders,
}

impl GoCall {
    /// None.
    pub const NONE: GoCall = GoCall {
        call: Call::NONE,
        request: 0,
        about: 0,
        asked: 0,
        stream: 0,
        reserved: 0,
        headers: GoTraceHeaders::NONE,
    };
}

/// Such calls. Key: number of the goroutine that sees to the call; of gRPC address of the call's context, then of the array
/// of its fields. Removed when the call is over, else displaced. About 2 MiB.
#[map]
pub static GO_CALLS: LruHashMap<GoKey, GoCall> = LruHashMap::with_max_entries(limits::CARRYING_CALLS, 0);

/// What is written into heads. Key: number of the goroutine. Removed when that is done. About 200 KiB.
#[map]
pub static WRITES: LruHashMap<GoKey, Text<{ size_of::<Lines>() - 8 }>> =
    LruHashMap::with_max_entries(limits::WRITES, 0);

/// Heads that user space is to write into, of processes that are stopped.
#[map]
pub static STOP_ORDERS: RingBuf = RingBuf::with_byte_size(ORDERS_RING_BYTES, 0);

/// Processes that are stopped for that. Key: tgid; value: since when. Removed by user space when they go on.
#[map]
pub static STOPPED: HashMap<u32, u64> = HashMap::with_max_entries(STOPPED_PROCESSES, 0);

/// Those that may be stopped again, and are about to go on. Key: tgid; value: as of [`STOPPED`]. Owner: user space.
#[map]
pub static STOP_ENDING: HashMap<u32, u64> = HashMap::with_max_entries(STOPPED_PROCESSES, 0);

/// How often they were. Key: tgid; value: beginning of a second, and stops in it.
#[map]
pub static STOP_RATES: LruHashMap<u32, [u64; 2]> = LruHashMap::with_max_entries(STOPPED_PROCESSES, 0);

/// Spans of calls whose heads were written into. Owner: user space, but for those that are displaced.
#[map]
pub static STOP_WRITTEN: LruHashMap<u64, u8> = LruHashMap::with_max_entries(limits::CARRYING_CALLS, 0);

/// Not 0: there is somebody who has stopped processes go on. Owner: user space.
#[map]
pub static STOPPING: Array<u32> = Array::with_max_entries(1, 0);

/// Channels of run times. Key: [`channel::key`](crate::channel::key); the value says nothing. Owner: user space. About 400 KiB full.
#[map]
pub static CHANNELS: HashMap<u64, u8> = HashMap::with_max_entries(limits::CHANNELS, BPF_F_NO_PREALLOC);

/// Where a batch is put together; as [`SCRATCH`].
#[map]
pub static BATCH: PerCpuArray<Batch> = PerCpuArray::with_max_entries(1, 0);

/// Processes whose next inspector is to listen elsewhere. Key: tgid; value: the address, network byte order. Owner: user
/// space, for the moment of attaching. About 100 KiB full.
#[map]
pub static DIVERSIONS: HashMap<u32, u32> = HashMap::with_max_entries(limits::DIVERSIONS, BPF_F_NO_PREALLOC);

/// What is written into calls, and by which rule. Owner: user space.
#[map]
pub static PROPAGATION: Array<Propagation> = Array::with_max_entries(1, 0);

/// Processes into whose calls the place in the trace is written. Key: tgid; value: where the code begins and ends whose
/// connections are meant. Owner: user space.
#[map]
pub static CARRYING: HashMap<u32, [u64; 2]> = HashMap::with_max_entries(limits::CARRYING_PROCESSES, BPF_F_NO_PREALLOC);

/// Connections of such processes that are being opened. Key: the thread that calls `connect` (`join::thread`), then the
/// socket's cookie; the value says nothing. Removed when the connection stands; an attempt that fails leaves its entry to
/// be displaced.
#[map]
pub static OPENING: LruHashMap<u64, u8> = LruHashMap::with_max_entries(limits::CONNECTS, 0);

/// Their connections, whose sends come by [`propagate`](crate::propagate). Key: as of [`CONNECTIONS`]. Removed by the
/// kernel when the connection closes, or by user space. No program but the one that fills it may name it: it holds the
/// other, and both would hold each other.
#[map]
pub static CARRIERS: SockHash<u64> = SockHash::with_max_entries(limits::CARRIERS, 0);

/// The `tracestate` that a request's caller sent. Key: the process and the request. Removed with the request's context, or
/// displaced. About 1.2 MiB.
#[map]
pub static TRACE_STATES: LruHashMap<GoKey, Text<STATE_BYTES>> = LruHashMap::with_max_entries(limits::TRACE_STATES, 0);

/// Where the head of a call is searched and what goes into it is put together. Not as [`SCRATCH`]: programs that watch
/// sends can be interrupted, so each says that it works here.
#[map]
pub static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);
