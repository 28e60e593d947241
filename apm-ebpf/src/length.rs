//! Reads and writes of sockets where the kernel says how many bytes passed: `sock_send_length` and `sock_recv_length`
//! (Linux 6.3 on).
//!
//! They take the place of eight of the programs in [`transfer`](crate::transfer) and cost a target less: files and pipes
//! do not come by, the socket is an argument, and what it points to can be loaded directly. They run within the system
//! call, whose saved registers tell where its buffers are. Calls that move several messages, or bytes that never lie in
//! user memory, are left to their own programs.

use aya_ebpf::{
    EbpfContext as _, helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext,
};

use crate::{
    maps::{INCOMING, OUTGOING, PROCESSES},
    registers::{call, running},
    socket::{Socket, socket_of_sock},
    transfer::{MSG_OOB, MSG_PEEK, Segments, moved, tells},
};

/// Argument `index` of the tracepoint: `sock, result, flags`.
#[inline(always)]
fn argument(ctx: &BtfTracePointContext, index: usize) -> u64 {
    let arguments: *const u64 = ctx.as_ptr().cast();
    // SAFETY: callers ask for arguments the tracepoint has.
    unsafe { core::ptr::read_volatile(arguments.add(index)) }
}

/// The socket, and what passed, if the process is watched and the result tells anything.
#[inline(always)]
fn watched(ctx: &BtfTracePointContext) -> Option<(Socket, i64)> {
    PROCESSES.get_ptr((bpf_get_current_pid_tgid() >> 32) as u32)?;
    let result = argument(ctx, 1) as i32 as i64;
    if !tells(result) {
        return None;
    }
    Some((socket_of_sock(argument(ctx, 0) as usize)?, result))
}

#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send(ctx: BtfTracePointContext) -> i32 {
    let _ = sent(&ctx);
    0
}

#[inline(always)]
fn sent(ctx: &BtfTracePointContext) -> Option<()> {
    let (socket, result) = watched(ctx)?;
    let (number, arguments) = running();
    let segments = match number {
        call::WRITE | call::SENDTO => Segments::buffer(arguments.second, result as u64),
        call::WRITEV => Segments::vectors(arguments.second, arguments.third),
        call::SENDMSG if arguments.third & MSG_OOB != 0 => return None,
        call::SENDMSG => Segments::message(arguments.second),
        call::SENDMMSG | call::SENDFILE | call::SPLICE => return None,
        _ => Segments::hidden(),
    };
    moved(&socket, OUTGOING, result, segments)
}

#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_receive(ctx: BtfTracePointContext) -> i32 {
    let _ = received(&ctx);
    0
}

#[inline(always)]
fn received(ctx: &BtfTracePointContext) -> Option<()> {
    let (socket, result) = watched(ctx)?;
    if argument(ctx, 2) & (MSG_PEEK | MSG_OOB) != 0 {
        return None;
    }
    let (number, arguments) = running();
    let segments = match number {
        // Nothing was asked for, so nothing is not the end.
        call::RECVFROM if arguments.third == 0 => return None,
        call::READ | call::RECVFROM => Segments::buffer(arguments.second, result as u64),
        call::READV => Segments::vectors(arguments.second, arguments.third),
        call::RECVMSG => Segments::message(arguments.second),
        call::RECVMMSG | call::SPLICE => return None,
        _ => Segments::hidden(),
    };
    moved(&socket, INCOMING, result, segments)
}
