//! Connections that selected processes open are entered into the map of sockets.
//!
//! Only those that the code of the run time opens, of which it is known that it does not ask how much can be read before
//! it reads: some kernels answer wrongly on such sockets (`FIONREAD`, 929e30f93125 of Linux 6.18.14 and others). A library
//! in C within the same process may ask.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_ANY, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_CONNECT_CB},
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, generated::bpf_get_socket_cookie},
    macros::sock_ops,
    programs::SockOpsContext,
};

use super::socket_of;
use crate::{
    maps::{CARRIERS, CARRYING, OPENING},
    registers::calling_ip,
    settings::{offset, read_kernel},
};

/// What becomes of any process' connections comes by here.
#[sock_ops]
pub fn join(ctx: SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => begun(&ctx),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => stands(&ctx),
        _ => None,
    };
    1
}

/// Key of a thread in [`OPENING`]: no cookie has that bit.
#[inline(always)]
fn thread(pid_tgid: u64) -> u64 {
    1 << 63 | pid_tgid
}

/// The current thread calls `connect`, and is not in it yet.
#[inline(always)]
pub fn connecting() -> Option<()> {
    let pid_tgid = bpf_get_current_pid_tgid();
    // SAFETY: map values live until the program ends (RCU).
    let [start, end] = unsafe { *CARRYING.get_ptr((pid_tgid >> 32) as u32)? };
    let from = calling_ip()?;
    if start <= from && from < end {
        OPENING.insert(thread(pid_tgid), 0, 0).ok()
    } else {
        OPENING.remove(thread(pid_tgid)).ok()
    }
}

/// The kernel begins to connect for it.
#[inline(always)]
fn begun(ctx: &SockOpsContext) -> Option<()> {
    // Kernels before 6.10 have no helper that tells the thread here.
    // SAFETY: no preconditions.
    let task = unsafe { bpf_get_current_task() } as usize;
    let (tgid, pid): (u32, u32) = (read_kernel(task, offset!(task_tgid))?, read_kernel(task, offset!(task_pid))?);
    let key = thread((tgid as u64) << 32 | pid as u64);
    OPENING.get_ptr(key)?;
    let _ = OPENING.remove(key);
    // SAFETY: the context is that of the program.
    OPENING.insert(unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }, 0, 0).ok()
}

/// The connection stands; any task may be running.
#[inline(always)]
fn stands(ctx: &SockOpsContext) -> Option<()> {
    // SAFETY: the context is that of the program.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    OPENING.get_ptr(cookie)?;
    let _ = OPENING.remove(cookie);
    // SAFETY: the context is valid while the program runs.
    let (_, socket) = socket_of(unsafe { (*ctx.ops).__bindgen_anon_2.sk })?;
    // SAFETY: as above, and nobody else has a reference to it.
    CARRIERS.update(socket.inode, unsafe { &mut *ctx.ops }, BPF_ANY as u64).ok()
}
