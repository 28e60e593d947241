//! All maps: key, owner, life time, worst-case bytes.

use apm_common::{
    counter::COUNTERS,
    event::ProcessEntry,
    go::{GoKey, GoLayout},
    limits,
};
use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray, RingBuf},
};

use crate::{channel::Batch, ring::Scratch};

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
}

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
}

/// Contexts of requests being handled. Key: the context's address. Written when handling begins, removed when it ends; a
/// program that ends it unseen leaves it to be displaced. About 1.5 MiB.
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
    };
}

/// Goroutines that handle a request or make a call for one. Key: number of the goroutine, never used again. Removed when
/// a request's handling ends, else displaced. About 2 MiB.
#[map]
pub static GOROUTINES: LruHashMap<GoKey, Goroutine> = LruHashMap::with_max_entries(limits::GO_GOROUTINES, 0);

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
