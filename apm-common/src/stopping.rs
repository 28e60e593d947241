//! What is to be written into the memory of a process that is stopped for it.

/// Bytes that go behind the end of a buffer, at most: as many as the longest lines.
pub const ORDER_BYTES: usize = 696;

/// Bytes of the ring buffer of orders: one at a time for each process.
pub const ORDERS_RING_BYTES: u32 = 256 * 1024;

/// Processes that are stopped at once, at most.
pub const STOPPED_PROCESSES: u32 = 256;

/// Most stops of one process in a second; each takes some hundred microseconds.
pub const STOPS_A_SECOND: u64 = 100;

/// What to write, in this order, into a process whose thread stands at a probe.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopOrder {
    /// The process.
    pub pid: u32,
    /// The thread that must stand still.
    pub tid: u32,
    /// Span of the call, under which it is said that this was written.
    pub span: u64,
    /// Where `bytes` go.
    pub text_at: u64,
    /// How many there are.
    pub length: u64,
    /// Address of a frame whose length is to be changed; 0: there is none.
    pub frame_at: u64,
    /// Its new length, three bytes.
    pub frame_length: [u8; 8],
    /// Address of the number of bytes used.
    pub used_at: u64,
    /// The new number.
    pub used: u64,
    /// What is written.
    pub bytes: [u8; ORDER_BYTES],
}

const _: () = assert!(core::mem::size_of::<StopOrder>() == 64 + ORDER_BYTES);
