//! Descriptors that go: close, close_range, dup2, dup3, shutdown.
//!
//! At entry, while the descriptor still leads to its socket.

use apm_common::event::{CLOSE_LAST, CLOSE_READ, CLOSE_WRITE, CloseBody, kind};
use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::tracepoint, programs::TracePointContext};

use crate::{
    maps::{CONNECTIONS, IGNORED, PROCESSES},
    registers::arguments,
    ring::{Record, header, lazy_wake, send_record},
    settings::{field, number, result},
    socket::socket,
};

/// Descriptors looked at in one `close_range`; a process that closes more at once is usually about to exec.
const RANGE: u64 = 64;

const SHUT_RD: u64 = 0;
const SHUT_WR: u64 = 1;

/// The arguments in a `sys_enter_*` record start at byte 16, eight bytes each.
#[inline(always)]
fn argument(ctx: &TracePointContext, index: usize) -> u64 {
    field(ctx, 16 + 8 * index)
}

#[inline(always)]
fn watched() -> Option<()> {
    PROCESSES.get_ptr((bpf_get_current_pid_tgid() >> 32) as u32).map(|_| ())
}

/// One descriptor is about to go.
#[inline(never)]
fn closing(fd: u64) -> u32 {
    let _ = announce(fd);
    0
}

#[inline(always)]
fn announce(fd: u64) -> Option<()> {
    let socket = socket(fd)?;
    let state = CONNECTIONS.get_ptr(socket.inode)?;
    // SAFETY: the value lives until the program ends (RCU).
    let ignored = unsafe { (*state).mode } == IGNORED;
    let last = socket.last_reference();
    if last {
        let _ = CONNECTIONS.remove(socket.inode);
        if ignored {
            let _ = CONNECTIONS.remove(socket.sealed().inode);
        }
    }
    // User space, too, keeps something of those that are ignored.
    if last || !ignored {
        let flags = if last { CLOSE_LAST } else { 0 };
        let record = Record { header: header(kind::CLOSE, flags), body: CloseBody { connection: socket.inode } };
        send_record(&record, lazy_wake());
    }
    None
}

#[tracepoint]
pub fn enter_close(ctx: TracePointContext) -> u32 {
    if watched().is_some() {
        closing(argument(&ctx, 0));
    }
    0
}

/// `dup2(old, new)` and `dup3(old, new, flags)` close `new` first.
#[inline(always)]
fn duplicated(ctx: &TracePointContext) -> Option<()> {
    watched()?;
    let (old, new) = (argument(ctx, 0), argument(ctx, 1));
    if old != new {
        closing(new);
    }
    None
}

#[tracepoint]
pub fn enter_dup2(ctx: TracePointContext) -> u32 {
    let _ = duplicated(&ctx);
    0
}

#[tracepoint]
pub fn enter_dup3(ctx: TracePointContext) -> u32 {
    let _ = duplicated(&ctx);
    0
}

#[tracepoint]
pub fn enter_close_range(ctx: TracePointContext) -> u32 {
    let _ = range_closed(&ctx);
    0
}

#[inline(always)]
fn range_closed(ctx: &TracePointContext) -> Option<()> {
    watched()?;
    let (first, last) = (argument(ctx, 0) as u32 as u64, argument(ctx, 1) as u32 as u64);
    for index in 0..RANGE {
        if first + index > last {
            break;
        }
        closing(first + index);
    }
    None
}

#[tracepoint]
pub fn exit_shutdown(ctx: TracePointContext) -> u32 {
    let _ = shut(&ctx);
    0
}

#[inline(always)]
fn shut(ctx: &TracePointContext) -> Option<()> {
    watched()?;
    if result(ctx) != 0 {
        return None;
    }
    let call = arguments(number(ctx))?;
    let socket = socket(call.first)?;
    CONNECTIONS.get_ptr(socket.inode)?;
    let flags = match call.second {
        SHUT_RD => CLOSE_READ,
        SHUT_WR => CLOSE_WRITE,
        _ => CLOSE_READ | CLOSE_WRITE,
    };
    send_record(
        &Record { header: header(kind::CLOSE, flags), body: CloseBody { connection: socket.inode } },
        lazy_wake(),
    );
    None
}
