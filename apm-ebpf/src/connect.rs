//! Connections as they come: accept, connect, and attempts that fail.

use apm_common::{
    counter::Counter,
    event::{ConnectionBody, ROLE_CLIENT, ROLE_SERVER, kind},
    limits::UNIX_PATH_BYTES,
};
use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated::bpf_probe_read_user as read_user_bytes},
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};

use crate::{
    maps::{CONNECTIONS, CONNECTS, PROCESSES},
    propagate,
    registers::arguments,
    ring::{count, lazy_wake, reserve, submit_waking},
    settings::{number, offset, read_kernel, read_user, result},
    socket::{
        AF_INET, AF_INET6, AF_UNIX, Socket, connection_record, describe, is_stream, open, socket,
        socket_of_file,
    },
};

const EINTR: i64 = -4;
const EAGAIN: i64 = -11;
const EBADF: i64 = -9;
const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
const EISCONN: i64 = -106;
const EALREADY: i64 = -114;
const EINPROGRESS: i64 = -115;

/// `TCP_SYN_SENT` and `TCP_CLOSE` (include/net/tcp_states.h).
const SYN_SENT: u64 = 2;
const CLOSED: u64 = 7;

#[tracepoint]
pub fn exit_accept(ctx: TracePointContext) -> u32 {
    let _ = accepted(&ctx);
    0
}

#[tracepoint]
pub fn exit_accept4(ctx: TracePointContext) -> u32 {
    let _ = accepted(&ctx);
    0
}

#[inline(always)]
fn accepted(ctx: &TracePointContext) -> Option<()> {
    PROCESSES.get_ptr((bpf_get_current_pid_tgid() >> 32) as u32)?;
    let fd = result(ctx);
    if fd < 0 {
        return None;
    }
    open(&socket(fd as u64)?, ROLE_SERVER, 0, 0);
    None
}

#[tracepoint]
pub fn enter_connect(_: TracePointContext) -> u32 {
    let _ = propagate::connecting();
    let _ = connecting();
    0
}

#[inline(always)]
fn connecting() -> Option<()> {
    let task = bpf_get_current_pid_tgid();
    PROCESSES.get_ptr((task >> 32) as u32)?;
    // SAFETY: no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if CONNECTS.insert(task, now, 0).is_err() {
        count(Counter::ConnectsFull, 1);
    }
    None
}

#[tracepoint]
pub fn exit_connect(ctx: TracePointContext) -> u32 {
    let _ = connected(&ctx);
    0
}

#[inline(always)]
fn connected(ctx: &TracePointContext) -> Option<()> {
    let task = bpf_get_current_pid_tgid();
    PROCESSES.get_ptr((task >> 32) as u32)?;
    // SAFETY: only this thread uses its key, and the value is copied at once.
    let started = CONNECTS.get_ptr(task).map_or(0, |started| unsafe { *started });
    let _ = CONNECTS.remove(task);
    let result = result(ctx);
    let call = arguments(number(ctx))?;
    let socket = socket(call.first)?;
    let result = if result == EINPROGRESS { failed_already(&socket).unwrap_or(result) } else { result };
    if result == 0 || result == EINPROGRESS {
        open(&socket, ROLE_CLIENT, started, 0);
        return None;
    }
    let not_an_attempt = matches!(result, EINTR | EAGAIN | EBADF | EFAULT | EINVAL | EISCONN | EALREADY);
    if not_an_attempt || !is_stream(socket.sock()?) {
        return None;
    }
    let mut slot = reserve()?;
    let record = connection_record(&mut slot, kind::CONNECT_FAILED, socket.inode, ROLE_CLIENT);
    wanted(call.second, call.third, &mut record.body);
    record.body.started = started;
    record.body.error = -result as u32;
    submit_waking(slot, lazy_wake());
    None
}

/// Error of an attempt that failed before `connect` could return that it takes a while: on loopback the refusal is
/// there when the call lets go of the socket, and `set_state` did not know the connection yet.
#[inline(always)]
fn failed_already(socket: &Socket) -> Option<i64> {
    let sock = socket.sock()?;
    let state: u8 = read_kernel(sock, offset!(sock_state))?;
    let error: u32 = read_kernel(sock, offset!(sock_err))?;
    (state as u64 == CLOSED && error != 0).then_some(-(error as i64))
}

/// Where a connection attempt went, from the caller's `sockaddr`: a failed socket has forgotten it.
#[inline(always)]
fn wanted(address: u64, length: u64, body: &mut ConnectionBody) {
    body.family = read_user(address).unwrap_or(0);
    if body.family == AF_INET || body.family == AF_INET6 {
        body.remote_port = u16::from_be(read_user(address + 2).unwrap_or(0));
    }
    if body.family == AF_INET {
        let remote: [u8; 4] = read_user(address + 4).unwrap_or([0; 4]);
        body.remote[..4].copy_from_slice(&remote);
    } else if body.family == AF_INET6 {
        body.remote = read_user(address + 8).unwrap_or([0; 16]);
    } else if body.family == AF_UNIX && length > 2 {
        let mut length = length as u32 - 2;
        if length > UNIX_PATH_BYTES as u32 {
            length = UNIX_PATH_BYTES as u32;
        }
        // SAFETY: `length` is at most the size of `path`.
        let read = unsafe { read_user_bytes(body.path.as_mut_ptr().cast(), length, (address + 2) as *const _) };
        if read == 0 {
            body.path_len = length as u8;
        }
    }
}

/// `sock/inet_sock_set_state`: a connection attempt that was under way ends in failure. Everything else is one compare.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn set_state(ctx: RawTracePointContext) -> i32 {
    let _ = attempt_failed(&ctx);
    0
}

#[inline(always)]
fn attempt_failed(ctx: &RawTracePointContext) -> Option<()> {
    let arguments: *const u64 = ctx.as_ptr().cast();
    // SAFETY: the tracepoint's arguments are `sk, oldstate, newstate`.
    let (sock, old, new) = unsafe { (*arguments as usize, *arguments.add(1), *arguments.add(2)) };
    if old as u32 as u64 != SYN_SENT || new as u32 as u64 != CLOSED {
        return None;
    }
    let owner: usize = read_kernel(sock, offset!(sock_socket))?;
    let file: usize = read_kernel(owner, offset!(socket_file))?;
    let socket = socket_of_file(file)?;
    CONNECTIONS.get_ptr(socket.inode)?;
    let error: u32 = read_kernel(sock, offset!(sock_err))?;
    if error == 0 {
        return None;
    }
    let mut slot = reserve()?;
    let record = connection_record(&mut slot, kind::CONNECT_FAILED, socket.inode, ROLE_CLIENT);
    describe(sock, &mut record.body);
    // A softirq runs on whatever task was there: user space knows whose connection it is.
    record.header.pid = 0;
    record.header.tid = 0;
    record.body.error = error;
    submit_waking(slot, lazy_wake());
    None
}
