//! Puts records together and writes them to the ring buffer; counts what does not fit.

use core::mem::MaybeUninit;

use apm_common::{
    counter::Counter,
    event::{CarriedBody, EventHeader},
    limits::{CHUNK_BYTES, RING_WAKE_BYTES},
};
use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    maps::ring_buf::RingBufEntry,
};

use crate::maps::{COUNTS, EVENTS, SCRATCH};

/// Room for the largest body, before the payload.
const BODY_BYTES: usize = 16;

/// Room for the owner, and for the place a call carries, before the payload.
pub const OWNER_BYTES: usize = 8;
pub const CARRIED_BYTES: usize = size_of::<CarriedBody>();

/// One data record under construction, and how far the capture of its call has come.
#[repr(C)]
pub struct Scratch {
    /// Header.
    pub header: EventHeader,
    /// Body of a data event.
    pub body: [u64; BODY_BYTES / 8],
    /// The owner's eight bytes and the place a call carries, where they are, and the payload.
    pub payload: [u8; OWNER_BYTES + CARRIED_BYTES + CHUNK_BYTES],
    /// State of the capture. Here and not on the stack: of memory in a map the verifier knows nothing, so all turns of
    /// the capture loop look alike to it and it walks one; with the state in registers it would walk every combination.
    pub capture: Capture,
    /// Data records this CPU has written, ever.
    pub written: u64,
}

/// How far the capture of one call has come.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Capture {
    /// Address of the next bytes, and how many there are in this segment.
    pub base: u64,
    pub segment: u64,
    /// Address of the next `iovec`, and how many there are.
    pub vectors: u64,
    pub vectors_left: u64,
    /// Bytes of the call not dealt with.
    pub left: u64,
    /// Bytes that may still be captured in this turn.
    pub allowed: u64,
    /// Position of the next byte.
    pub position: u64,
    /// Bytes captured of the call.
    pub sent: u64,
    /// The call begins a turn.
    pub turn: u64,
    /// The request the bytes belong to; 0: not known.
    pub owner: u64,
}

/// A record with a fixed body.
#[repr(C)]
pub struct Record<B> {
    /// Header.
    pub header: EventHeader,
    /// Body.
    pub body: B,
}

/// Makes a record of zeros where it is to lie, as the stack has no room for a copy. Word by word: LLVM would call its
/// own `memset`, which goes byte by byte.
#[inline(always)]
pub fn zeroed<B>(record: &mut MaybeUninit<Record<B>>) -> &mut Record<B> {
    for word in 0..size_of::<Record<B>>() / 8 {
        // SAFETY: within the record, which is made of whole words: `EventHeader` is aligned to eight bytes.
        unsafe { record.as_mut_ptr().cast::<u64>().add(word).write_volatile(0) };
    }
    // SAFETY: every byte was written, and the bodies in `apm_common::event` are integers only.
    unsafe { record.assume_init_mut() }
}

/// Adds to a counter.
#[inline(always)]
pub fn count(counter: Counter, amount: u64) {
    if let Some(slot) = COUNTS.get_ptr_mut(counter as u32) {
        // SAFETY: this CPU's own slot, and programs do not nest.
        unsafe { *slot += amount };
    }
}

/// Header of an event of the current task, now.
#[inline(always)]
pub fn header(kind: u16, flags: u16) -> EventHeader {
    let pid_tgid = bpf_get_current_pid_tgid();
    // SAFETY: no preconditions.
    let time = unsafe { bpf_ktime_get_ns() };
    EventHeader { time, pid: (pid_tgid >> 32) as u32, tid: pid_tgid as u32, kind, flags, len: 0 }
}

/// This CPU's scratch record.
#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: see `SCRATCH`: nobody else has this CPU's record while we run.
    SCRATCH.get_ptr_mut(0).map(|pointer| unsafe { &mut *pointer })
}

/// Wake the reader only when much has come together: it comes by itself every few milliseconds.
#[inline(always)]
pub fn lazy_wake() -> u64 {
    if EVENTS.query(BPF_RB_AVAIL_DATA as u64) > RING_WAKE_BYTES {
        BPF_RB_FORCE_WAKEUP as u64
    } else {
        BPF_RB_NO_WAKEUP as u64
    }
}

/// As [`lazy_wake`], for data records: one in [`ASKED_EVERY`] looks how full the buffer is, as that reads what the reader
/// writes on another CPU. What a CPU writes between two looks is small against the buffer.
#[inline(always)]
pub fn lazier_wake(record: &mut Scratch) -> u64 {
    record.written += 1;
    if record.written % ASKED_EVERY == 0 { lazy_wake() } else { BPF_RB_NO_WAKEUP as u64 }
}

/// With the largest records 64 KiB.
const ASKED_EVERY: u64 = 16;

/// Wake the reader at once: a decision is waited for.
pub const WAKE_NOW: u64 = BPF_RB_FORCE_WAKEUP as u64;

/// Writes `bytes` to the ring buffer; false when it did not fit, which is counted.
#[inline(always)]
pub fn send(bytes: &[u8], wake: u64) -> bool {
    let sent = EVENTS.output::<[u8]>(bytes, wake).is_ok();
    count(if sent { Counter::EventsSent } else { Counter::EventsLost }, 1);
    sent
}

/// Room for a record in the ring buffer, to be filled in and handed to [`submit`]; counts when there is none. For user
/// probes, which another program may interrupt: they cannot use the scratch record (and where one is interrupted in the
/// middle of counting, one event is counted too few).
#[inline(always)]
pub fn reserve<B>() -> Option<RingBufEntry<Record<B>>> {
    let slot = EVENTS.reserve(0);
    if slot.is_none() {
        count(Counter::EventsLost, 1);
    }
    slot
}

/// Sends a record that was reserved. Wakes nobody: each comes with data records of the same request, which do, and an
/// agent that is behind would be woken by every one (6 µs here).
#[inline(always)]
pub fn submit<B>(record: RingBufEntry<Record<B>>) {
    submit_waking(record, BPF_RB_NO_WAKEUP as u64);
}

/// Sends a record that was reserved.
#[inline(always)]
pub fn submit_waking<B>(record: RingBufEntry<Record<B>>, wake: u64) {
    record.submit(wake);
    count(Counter::EventsSent, 1);
}

/// Writes a record with a fixed body.
#[inline(always)]
pub fn send_record<B>(record: &Record<B>, wake: u64) -> bool {
    // SAFETY: `Record` of the bodies in `apm_common::event` has no padding, so all its bytes are initialised.
    let bytes = unsafe { core::slice::from_raw_parts((&raw const *record).cast::<u8>(), size_of::<Record<B>>()) };
    send(bytes, wake)
}
