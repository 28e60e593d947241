//! What a selected process sends on a connection it opened, before it goes out.

use apm_common::{
    counter::Counter,
    go::GoKey,
    limits::{CARRYING_BYTES, HEAD_BYTES},
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
    lines::{LINES_BYTES, Lines},
    socket_of,
};
use crate::{
    maps::{CALL_CARRIES, CALL_NONE, CALL_WANTED, CONNECTIONS, Connection, WORK},
    ring::count,
    settings::{load_kernel, offset},
};

/// Bytes of a socket's buffer that stay free behind what is sent. Were it to fill up in the middle, the kernel would say
/// that less was sent than was, for it counts what was put in (`tcp_bpf_send_verdict`).
const SPARE: u64 = 8192;

/// Where a processor works.
#[repr(C)]
pub struct Work {
    /// 1: a program works here, and was interrupted.
    busy: u64,
    /// What goes into the call.
    lines: Lines,
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
    let caller = GoKey::new((bpf_get_current_pid_tgid() >> 32) as u32, state.owner);
    let length = work.lines.as_lines(&state.call, caller).ok_or(Counter::CallsNoRoom)? as u32;
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

/// Fills the gap that was made for the lines; false: it does not lie where it should.
#[inline(always)]
fn fill(ctx: &SkMsgContext, at: u32, length: u32, work: &Work) -> bool {
    // Told to the verifier again, of a value of which the compiler knows nothing: some kernels have forgotten it by now.
    // SAFETY: a variable.
    let at = unsafe { (&raw const at).read_volatile() };
    if at > HEAD_BYTES as u32 {
        return false;
    }
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
            let from = work.lines.bytes.as_ptr().cast::<u64>().add(word).read_volatile();
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
        unsafe { (to as *mut u8).write_volatile(work.lines.bytes.as_ptr().add(done).read_volatile()) };
        to += 1;
        done += 1;
    }
    true
}
