//! Arguments of the system call the current task is leaving, from the registers it entered with.
//!
//! Taking them at exit saves a program at entry and a map update per call. `bpf_task_pt_regs` finds the registers and
//! lets us load them directly; before 5.15 they are read from the top of the task's kernel stack.
//! This is the only part that knows the architecture.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_current_task,
        generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
    },
    programs::ProbeContext,
};

use crate::settings::{load_kernel, offset, read_kernel, setting};

/// `struct pt_regs` of x86-64: 21 registers.
const PT_REGS_BYTES: u32 = 21 * 8;
/// Offset of `r10` in it, the first of the members below.
const FIRST: u32 = 7 * 8;

/// `r10` to `orig_ax` of `struct pt_regs` (arch/x86/include/asm/ptrace.h), in order.
#[repr(C)]
struct Saved {
    r10: u64,
    r9: u64,
    r8: u64,
    ax: u64,
    cx: u64,
    dx: u64,
    si: u64,
    di: u64,
    orig_ax: u64,
}

/// Numbers of the system calls whose buffers can be told (arch/x86/entry/syscalls/syscall_64.tbl).
pub mod call {
    #![allow(missing_docs, reason = "the names say it")]
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const SENDFILE: u64 = 40;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
    pub const SPLICE: u64 = 275;
    pub const RECVMMSG: u64 = 299;
    pub const SENDMMSG: u64 = 307;
    /// No system call at all: the kernel works for the task before it goes back to user space (io_uring does).
    pub const NONE: u64 = u64::MAX;
}

/// What `ax` holds while a system call runs (arch/x86/entry/entry_64.S): `-ENOSYS`, until its result takes the place.
const RUNNING: u64 = -38i64 as u64;

/// The first four arguments.
pub struct Arguments {
    /// First argument.
    pub first: u64,
    /// Second argument.
    pub second: u64,
    /// Third argument.
    pub third: u64,
    /// Fourth argument.
    pub fourth: u64,
}

/// Number and arguments of the system call that is running, by direct loads: for programs that run within one.
#[inline(always)]
pub fn running() -> (u64, Arguments) {
    // SAFETY: no preconditions.
    let registers = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as usize;
    let number = if load_kernel::<u64>(registers, FIRST + 3 * 8) == RUNNING {
        load_kernel(registers, FIRST + 8 * 8)
    } else {
        call::NONE
    };
    (number, loaded(registers))
}

#[inline(always)]
fn loaded(registers: usize) -> Arguments {
    Arguments {
        first: load_kernel(registers, FIRST + 7 * 8),
        second: load_kernel(registers, FIRST + 6 * 8),
        third: load_kernel(registers, FIRST + 5 * 8),
        fourth: load_kernel(registers, FIRST),
    }
}

/// A register at a user probe, by its offset in `struct pt_regs`. Go passes arguments in these, in this order
/// (`abi-internal.md` in Go's sources).
#[derive(Clone, Copy)]
pub enum Register {
    Ax = 80,
    Bx = 40,
    Cx = 88,
    Di = 112,
    /// Points to where the caller's was saved, above that to the return address, and above that to what is kept of the
    /// first arguments.
    Bp = 32,
    Si = 104,
    R8 = 72,
    R9 = 64,
    R10 = 56,
    /// The running goroutine.
    R14 = 8,
    /// The instruction.
    Ip = 128,
}

/// What a register held when the probe was hit.
#[inline(always)]
pub fn probed(ctx: &ProbeContext, register: Register) -> u64 {
    // SAFETY: the context of such a program is a `struct pt_regs`.
    unsafe { core::ptr::read_volatile(ctx.as_ptr().byte_add(register as usize).cast::<u64>()) }
}

/// `r14` as the current system call found it: in Go programs the goroutine that made the call.
#[inline(always)]
pub fn calling_r14() -> Option<u64> {
    calling(Register::R14)
}

/// Where the program goes on after the current system call.
#[inline(always)]
pub fn calling_ip() -> Option<u64> {
    calling(Register::Ip)
}

/// The first argument of the current system call.
#[inline(always)]
pub fn calling_first() -> Option<u64> {
    calling(Register::Di)
}

#[inline(always)]
fn calling(register: Register) -> Option<u64> {
    if setting!(typed) == 1 {
        // SAFETY: no preconditions.
        let registers = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as usize;
        return Some(load_kernel(registers, register as u32));
    }
    read_kernel(saved_registers()?, register as u32)
}

/// Where the registers lie at the top of the current task's kernel stack.
#[inline(always)]
fn saved_registers() -> Option<usize> {
    // SAFETY: no preconditions.
    let task = unsafe { bpf_get_current_task() } as usize;
    let stack: usize = read_kernel(task, offset!(task_stack))?;
    let top = stack + offset!(stack_bytes) as usize - offset!(stack_padding) as usize;
    Some(top - PT_REGS_BYTES as usize)
}

/// Reads the arguments; `None` when the registers are not where they should be or belong to another call than `number`.
#[inline(always)]
pub fn arguments(number: i64) -> Option<Arguments> {
    if setting!(typed) == 1 {
        // SAFETY: no preconditions.
        let registers = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as usize;
        return Some(loaded(registers));
    }
    let saved: Saved = read_kernel(saved_registers()?, FIRST)?;
    if saved.orig_ax as i64 != number {
        return None;
    }
    Some(Arguments { first: saved.di, second: saved.si, third: saved.dx, fourth: saved.r10 })
}
