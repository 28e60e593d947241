//! What a run time says of itself: a script in it writes batches to a descriptor of `/dev/null`, and we copy them.
//!
//! At entry of the call, when the bytes are there in any case: the device takes them without looking. Such a write can
//! neither block nor fail, and what was written before a crash has arrived.

use apm_common::{
    counter::Counter,
    event::{EventHeader, kind},
    limits::CHANNEL_BYTES,
};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_probe_read_user as read_user_bytes},
    macros::tracepoint,
    programs::TracePointContext,
};

use crate::{
    maps::{BATCH, CHANNELS},
    ring::{count, header, lazy_wake, send},
    settings::field,
};

/// A record under construction.
#[repr(C)]
pub struct Batch {
    header: EventHeader,
    payload: [u8; CHANNEL_BYTES],
}

/// Offsets in a `sys_enter_write` record (`events/syscalls/sys_enter_write/format` in tracefs).
const FD: usize = 16;
const BUFFER: usize = 24;
const COUNT: usize = 32;

/// A channel: a process and a descriptor of it.
#[inline(always)]
pub fn key(pid: u32, fd: u32) -> u64 {
    (pid as u64) << 32 | fd as u64
}

#[tracepoint]
pub fn enter_write(ctx: TracePointContext) -> u32 {
    let _ = written(&ctx);
    0
}

#[inline(always)]
fn written(ctx: &TracePointContext) -> Option<()> {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    CHANNELS.get_ptr(key(pid, field::<u64>(ctx, FD) as u32))?;
    let length = field::<u64>(ctx, COUNT) as usize;
    if length > CHANNEL_BYTES {
        count(Counter::BatchesTooLong, 1);
        return None;
    }
    // SAFETY: this CPU's own record, and programs do not nest.
    let batch = unsafe { &mut *BATCH.get_ptr_mut(0)? };
    let source = field::<u64>(ctx, BUFFER) as *const _;
    // SAFETY: `length` is at most the payload's size.
    if unsafe { read_user_bytes(batch.payload.as_mut_ptr().cast(), length as u32, source) } != 0 {
        count(Counter::ReadFaults, 1);
        return None;
    }
    batch.header = header(kind::WRITTEN, 0);
    batch.header.len = length as u32;
    // SAFETY: header and `length` bytes of payload, all within the record.
    let bytes =
        unsafe { core::slice::from_raw_parts((&raw const *batch).cast::<u8>(), size_of::<EventHeader>() + length) };
    send(bytes, lazy_wake());
    None
}
