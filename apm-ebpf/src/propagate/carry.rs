//! What a selected process sends on a connection it opened, before it goes out.

use apm_common::{
    counter::Counter,
    event::CarriedBody,
    go::GoKey,
    limits::{CARRYING_BYTES, HEAD_BYTES},
    propagation::{BLOCK_BYTES, STATE_BYTES, STATE_LINE, STATE_VALUE, VALUES, digits},
};
use aya_ebpf::{
    bindings::sk_action::SK_PASS,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_msg_pull_data, bpf_probe_read_kernel as read_kernel_bytes},
    },
    macros::sk_msg,
    programs::SkMsgContext,
};

use super::{
    head::{Found, Head, search},
    socket_of,
};
use crate::{
    maps::{CALL_CARRIES, CALL_NONE, CALL_WANTED, CONNECTIONS, Call, Connection, PROPAGATION, TRACE_STATES, WORK},
    ring::count,
    settings::{load_kernel, offset},
};

/// Room for all lines with the longest `tracestate`, a multiple of eight.
const LINES_BYTES: usize = STATE_VALUE + STATE_BYTES + 16;

/// Bytes of a socket's buffer that stay free behind what is sent. Were it to fill up in the middle, the kernel would say
/// that less was sent than was, for it counts what was put in (`tcp_bpf_send_verdict`).
const SPARE: u64 = 8192;

/// Where a processor works.
#[repr(C)]
pub struct Work {
    /// 1: a program works here, and was interrupted.
    busy: u64,
    /// Bytes of `lines`.
    len: u64,
    /// What goes into the call.
    lines: [u8; LINES_BYTES],
    /// The call's head.
    head: Head,
}

#[sk_msg]
pub fn carry(ctx: SkMsgContext) -> u32 {
    let _ = carrying(&ctx);
    SK_PASS
}

#[inline(always)]
fn carrying(ctx: &SkMsgContext) -> Option<()> {
    // SAFETY: the context is valid while the program runs.
    let (sock, socket) = socket_of(unsafe { (*ctx.msg).__bindgen_anon_3.sk })?;
    // SAFETY: map values live until the program ends (RCU); who sends has locked the socket.
    let state = unsafe { &mut *CONNECTIONS.get_ptr_mut(socket.inode)? };
    if state.call.state != CALL_WANTED {
        return None;
    }
    state.call.state = CALL_NONE;
    // SAFETY: this CPU's, and what another program does there is told by `busy`.
    let work = unsafe { &mut *WORK.get_ptr_mut(0)? };
    let busy = &raw mut work.busy;
    // SAFETY: a member of a reference.
    if unsafe { busy.read_volatile() } != 0 {
        count(Counter::CallsNoRoom, 1);
        return None;
    }
    // SAFETY: as above.
    unsafe { busy.write_volatile(1) };
    let done = write(ctx, sock, state, work);
    // SAFETY: as above.
    unsafe { busy.write_volatile(0) };
    match done {
        Ok(()) => {
            state.call.state = CALL_CARRIES;
            count(Counter::CallsCarrying, 1);
        }
        Err(reason) => count(reason, 1),
    }
    None
}

/// Writes the lines behind the first one of the head; else the message is as it was.
#[inline(always)]
fn write(ctx: &SkMsgContext, sock: usize, state: &Connection, work: &mut Work) -> Result<(), Counter> {
    let size = ctx.size();
    if size > CARRYING_BYTES {
        return Err(Counter::CallsNotWhole);
    }
    let (queued, room) =
        (load_kernel::<u32>(sock, offset!(sock_wmem_queued)), load_kernel::<u32>(sock, offset!(sock_sndbuf)));
    if queued as u64 + 2 * size as u64 + SPARE > room as u64 {
        return Err(Counter::CallsNoRoom);
    }
    let searched = if size > HEAD_BYTES as u32 { HEAD_BYTES as u32 } else { size };
    read_head(ctx, searched, &mut work.head)?;
    let at = match search(&mut work.head) {
        Found::Plain(at) => at,
        Found::Placed => return Err(Counter::CallsPlaced),
        Found::NotWhole => return Err(Counter::CallsNotWhole),
    };
    let length = put_together(state, work).ok_or(Counter::CallsNoRoom)?;
    ctx.push_data(at, length, 0).map_err(|_| Counter::CallsNoRoom)?;
    // In one piece, so that it goes out as one.
    // SAFETY: the context is that of the program.
    let pulled = unsafe { bpf_msg_pull_data(ctx.msg, 0, searched + length, 0) };
    if pulled == 0 && fill(ctx, at, length, work) {
        return Ok(());
    }
    let _ = ctx.pop_data(at, length, 0);
    Err(Counter::CallsNoRoom)
}

/// Copies the beginning of what is sent.
#[inline(always)]
fn read_head(ctx: &SkMsgContext, length: u32, head: &mut Head) -> Result<(), Counter> {
    // SAFETY: the context is that of the program.
    if unsafe { bpf_msg_pull_data(ctx.msg, 0, length, 0) } != 0 {
        return Err(Counter::CallsNoRoom);
    }
    let (data, end) = (ctx.data(), ctx.data_end());
    if length == 0 || length > HEAD_BYTES as u32 || (end - data) < length as usize {
        return Err(Counter::CallsNoRoom);
    }
    // SAFETY: there is room for `length`.
    let read = unsafe { read_kernel_bytes(head.bytes.as_mut_ptr().cast(), length, data as *const _) };
    head.len = length as u64;
    if read == 0 { Ok(()) } else { Err(Counter::CallsNoRoom) }
}

/// Puts the lines together; gives back how long they are.
#[inline(always)]
fn put_together(state: &Connection, work: &mut Work) -> Option<u32> {
    // SAFETY: map values live until the program ends (RCU), and user space does not change this one.
    let template = unsafe { &*PROPAGATION.get_ptr(0)? };
    for word in 0..BLOCK_BYTES / 8 {
        // SAFETY: both have so many words, and both are aligned.
        unsafe {
            let from = template.block.as_ptr().cast::<u64>().add(word).read_volatile();
            work.lines.as_mut_ptr().cast::<u64>().add(word).write_volatile(from);
        }
    }
    for value in VALUES {
        put_value(&mut work.lines, value, &state.call.place);
    }
    work.len = length(state, &state.call, work, template.block_len as u64);
    Some(work.len as u32)
}

/// With which lines: the third is that of a trace which begins here, the caller's, or none.
#[inline(always)]
fn length(state: &Connection, call: &Call, work: &mut Work, with_own: u64) -> u64 {
    if call.begins != 0 {
        return with_own;
    }
    let key = GoKey::new((bpf_get_current_pid_tgid() >> 32) as u32, state.owner);
    // SAFETY: map values live until the program ends (RCU).
    let Some(text) = TRACE_STATES.get_ptr(key).map(|text| unsafe { &*text }) else { return STATE_LINE as u64 };
    let length = text.len;
    if length == 0 || length > STATE_BYTES as u64 {
        return STATE_LINE as u64;
    }
    // SAFETY: there is room for `length` and two more.
    unsafe {
        let to = work.lines.as_mut_ptr().add(STATE_VALUE);
        if read_kernel_bytes(to.cast(), length as u32, text.bytes.as_ptr().cast()) != 0 {
            return STATE_LINE as u64;
        }
        to.add(length as usize).write_volatile(b'\r');
        to.add(length as usize + 1).write_volatile(b'\n');
    }
    STATE_VALUE as u64 + length + 2
}

/// Writes the digits of a `traceparent` whose ids are zeros.
#[inline(always)]
fn put_value(lines: &mut [u8; LINES_BYTES], at: usize, place: &CarriedBody) {
    // Behind the version and a dash.
    put_hex(lines, at + 3, place.trace[0]);
    put_hex(lines, at + 19, place.trace[1]);
    put_hex(lines, at + 36, place.span);
    lines[at + 54] = b'0' + (place.flags & 1) as u8;
}

#[inline(always)]
fn put_hex(lines: &mut [u8; LINES_BYTES], at: usize, number: u64) {
    for (half, number) in [(number >> 32) as u32, number as u32].into_iter().enumerate() {
        lines[at + 8 * half..at + 8 * half + 8].copy_from_slice(&digits(number).to_be_bytes());
    }
}

/// Fills the gap that was made for the lines; false: it does not lie where it should.
#[inline(always)]
fn fill(ctx: &SkMsgContext, at: u32, length: u32, work: &Work) -> bool {
    let end = ctx.data_end();
    let mut to = ctx.data() + at as usize;
    let length = length as usize;
    let mut done = 0;
    for word in 0..LINES_BYTES / 8 {
        if 8 * word + 8 > length {
            break;
        }
        if to + 8 > end {
            return false;
        }
        // SAFETY: within the message, as was just seen; the lines are longer.
        unsafe {
            let from = work.lines.as_ptr().cast::<u64>().add(word).read_volatile();
            (to as *mut u64).write_unaligned(from);
        }
        to += 8;
        done += 8;
    }
    for _ in 0..7 {
        if done >= length || done >= LINES_BYTES {
            break;
        }
        if to + 1 > end {
            return false;
        }
        // SAFETY: as above.
        unsafe { (to as *mut u8).write_volatile(work.lines.as_ptr().add(done).read_volatile()) };
        to += 1;
        done += 1;
    }
    true
}
