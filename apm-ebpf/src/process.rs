//! The exact set of watched processes: exec and listen may add, fork inherits, exit removes.

use apm_common::{
    counter::Counter,
    event::{ExecBody, ExitBody, ForkBody, ListenBody, PROCESS_PENDING, ProcessEntry, kind},
    limits::EXEC_PATH_BYTES,
};
use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_current_task, generated::bpf_probe_read_kernel_str},
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};

use crate::{
    maps::PROCESSES,
    registers::arguments,
    ring::{Record, WAKE_NOW, count, header, send_record},
    settings::{number, offset, read_kernel, result, setting},
    socket::{is_stream, is_unix, socket},
};

/// Argument `index` of a raw tracepoint.
#[inline(always)]
fn argument(ctx: &RawTracePointContext, index: usize) -> usize {
    let arguments: *const u64 = ctx.as_ptr().cast();
    // SAFETY: callers ask for arguments the tracepoint has.
    unsafe { *arguments.add(index) as usize }
}

/// `sched_process_fork(parent, child)`: runs in the parent.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn fork(ctx: RawTracePointContext) -> i32 {
    let _ = forked(&ctx);
    0
}

#[inline(always)]
fn forked(ctx: &RawTracePointContext) -> Option<()> {
    let head = header(kind::FORK, 0);
    // SAFETY: map values live until the program ends (RCU).
    let parent = unsafe { *PROCESSES.get_ptr(head.pid)? };
    let child = argument(ctx, 1);
    let pid: u32 = read_kernel(child, offset!(task_pid))?;
    let tgid: u32 = read_kernel(child, offset!(task_tgid))?;
    if pid != tgid {
        return None;
    }
    let start_time: u64 = read_kernel(child, offset!(task_start_boottime))?;
    let entry = ProcessEntry { start_time, state: parent.state, reserved: 0 };
    if PROCESSES.insert(tgid, entry, 0).is_err() {
        count(Counter::ProcessesFull, 1);
        return None;
    }
    send_record(&Record { header: head, body: ForkBody { child: tgid, state: parent.state, start_time } }, WAKE_NOW);
    None
}

/// State of a process, which is pending if it was not watched; and its start time.
#[inline(always)]
fn admit(pid: u32, task: usize) -> Option<(u64, u32)> {
    let leader: usize = read_kernel(task, offset!(task_group_leader))?;
    let start_time: u64 = read_kernel(leader, offset!(task_start_boottime))?;
    if let Some(known) = PROCESSES.get_ptr(pid) {
        // SAFETY: map values live until the program ends (RCU).
        return Some((start_time, unsafe { (*known).state }));
    }
    if pid == setting!(agent_pid) {
        return None;
    }
    let entry = ProcessEntry { start_time, state: PROCESS_PENDING, reserved: 0 };
    if PROCESSES.insert(pid, entry, 0).is_err() {
        count(Counter::ProcessesFull, 1);
        return None;
    }
    Some((start_time, PROCESS_PENDING))
}

/// `listen(fd, backlog)`: a service begins. Only where targets are chosen by port does it matter for others than ours.
#[tracepoint]
pub fn exit_listen(ctx: TracePointContext) -> u32 {
    let _ = listening(&ctx);
    0
}

#[inline(always)]
fn listening(ctx: &TracePointContext) -> Option<()> {
    let head = header(kind::LISTEN, 0);
    if setting!(watch_listen) == 0 && PROCESSES.get_ptr(head.pid).is_none() {
        return None;
    }
    if result(ctx) != 0 {
        return None;
    }
    let sock = socket(arguments(number(ctx))?.first)?.sock()?;
    if !is_stream(sock) {
        return None;
    }
    // SAFETY: no preconditions.
    let (start_time, state) = admit(head.pid, unsafe { bpf_get_current_task() } as usize)?;
    let port: u16 = if is_unix(sock) { 0 } else { read_kernel(sock, offset!(sock_num))? };
    send_record(&Record { header: head, body: ListenBody { start_time, port: port as u32, state } }, WAKE_NOW);
    None
}

/// `sched_process_exec(task, old_pid, bprm)`: the process has its new image.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec(ctx: RawTracePointContext) -> i32 {
    let _ = executed(&ctx);
    0
}

#[inline(always)]
fn executed(ctx: &RawTracePointContext) -> Option<()> {
    let head = header(kind::EXEC, 0);
    let known = PROCESSES.get_ptr(head.pid);
    if known.is_none() && setting!(watch_exec) == 0 {
        return None;
    }
    let (start_time, state) = admit(head.pid, argument(ctx, 0))?;
    let mut record =
        Record { header: head, body: ExecBody { start_time, path_len: 0, state, path: [0; EXEC_PATH_BYTES] } };
    let name: usize = read_kernel(argument(ctx, 2), offset!(binprm_filename))?;
    // SAFETY: the helper writes at most the size of `path`.
    let length = unsafe {
        bpf_probe_read_kernel_str(record.body.path.as_mut_ptr().cast(), EXEC_PATH_BYTES as u32, name as *const _)
    };
    if length > 0 {
        record.body.path_len = length as u32 - 1;
    }
    send_record(&record, WAKE_NOW);
    None
}

/// `sched_process_exit(task)`: once a thread; the process ends with its last one.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn exit(ctx: RawTracePointContext) -> i32 {
    let _ = exited(&ctx);
    0
}

#[inline(always)]
fn exited(ctx: &RawTracePointContext) -> Option<()> {
    let head = header(kind::EXIT, 0);
    // SAFETY: map values live until the program ends (RCU).
    let entry = unsafe { *PROCESSES.get_ptr(head.pid)? };
    let task = argument(ctx, 0);
    let signal: usize = read_kernel(task, offset!(task_signal))?;
    let live: i32 = read_kernel(signal, offset!(signal_live))?;
    if live != 0 {
        return None;
    }
    let exit_code: u32 = read_kernel(task, offset!(task_exit_code)).unwrap_or(0);
    let _ = PROCESSES.remove(head.pid);
    let body = ExitBody { start_time: entry.start_time, exit_code, reserved: 0 };
    send_record(&Record { header: head, body }, WAKE_NOW);
    None
}
