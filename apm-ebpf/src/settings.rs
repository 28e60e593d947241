//! Settings that user space writes into the object's read-only data before it loads; the verifier knows them as
//! constants and drops the branches they decide.

use apm_common::settings::Settings;
use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_probe_read_kernel, bpf_probe_read_user},
    programs::TracePointContext,
};

#[unsafe(no_mangle)]
pub static SETTINGS: Settings = Settings::EMPTY;

/// Reads a member of [`SETTINGS`]. Volatile, or the compiler would fold in the zeros it sees here.
macro_rules! setting {
    ($($member:ident).+) => {
        // SAFETY: a plain load of an initialised static.
        unsafe { core::ptr::read_volatile(&raw const $crate::settings::SETTINGS.$($member).+) }
    };
}

/// Reads the offset of a kernel structure member.
macro_rules! offset {
    ($member:ident) => {
        $crate::settings::setting!(offsets.$member)
    };
}

pub(crate) use {offset, setting};

/// Reads a `T` at `base + offset` in kernel memory; `None` on a fault.
#[inline(always)]
pub fn read_kernel<T>(base: usize, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address itself and faults softly.
    unsafe { bpf_probe_read_kernel((base + offset as usize) as *const T) }.ok()
}

/// Loads a `T` at a fixed offset of a tracepoint's record; the verifier refuses one outside of it.
#[inline(always)]
pub fn field<T: Copy>(ctx: &TracePointContext, offset: usize) -> T {
    // SAFETY: the record is there while the program runs, and its fields are aligned.
    unsafe { core::ptr::read_volatile(ctx.as_ptr().byte_add(offset).cast::<T>()) }
}

/// Loads a `T` at `base + offset`, where the verifier knows from BTF what `base` points to: one instruction instead of a
/// helper call. It knows that of the current task, its registers, and what they point to.
#[inline(always)]
pub fn load_kernel<T>(base: usize, offset: u32) -> T {
    // SAFETY: the verifier checks the access against the kernel's types; a fault reads as zero.
    unsafe { core::ptr::read_volatile((base + offset as usize) as *const T) }
}

/// Reads a `T` in the current process's memory; `None` on a fault.
#[inline(always)]
pub fn read_user<T>(address: u64) -> Option<T> {
    // SAFETY: as in `read_kernel`.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// Offsets in a `sys_exit_*` record (`events/syscalls/sys_exit_read/format` in tracefs).
const NUMBER: usize = 8;
const RESULT: usize = 16;

/// Number of the system call a `sys_exit_*` record is about.
#[inline(always)]
pub fn number(ctx: &TracePointContext) -> i64 {
    field::<i32>(ctx, NUMBER) as i64
}

/// What the system call returned.
#[inline(always)]
pub fn result(ctx: &TracePointContext) -> i64 {
    field(ctx, RESULT)
}
