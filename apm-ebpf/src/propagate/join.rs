//! Connections that selected processes open are entered into the map of sockets.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_ANY, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_CONNECT_CB},
    helpers::{bpf_get_current_task, generated::bpf_get_socket_cookie},
    macros::sock_ops,
    programs::SockOpsContext,
};

use super::socket_of;
use crate::{
    maps::{CARRIERS, CARRYING, OPENING},
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

/// The process calls `connect`.
#[inline(always)]
fn begun(ctx: &SockOpsContext) -> Option<()> {
    // Kernels before 6.10 have no helper that tells the process here.
    // SAFETY: no preconditions.
    let task = unsafe { bpf_get_current_task() } as usize;
    CARRYING.get_ptr(read_kernel::<u32>(task, offset!(task_tgid))?)?;
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
