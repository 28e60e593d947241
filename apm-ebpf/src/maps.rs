//! All maps: key, owner, life time, worst-case bytes.

use apm_common::{counter::COUNTERS, event::ProcessEntry, limits};
use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{HashMap, PerCpuArray, RingBuf},
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
