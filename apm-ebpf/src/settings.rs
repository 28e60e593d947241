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

/// The beginning of a kernel structure, read at once: each read is a helper call, and what it costs hardly depends on
/// how much is read.
pub struct Block<const WORDS: usize> {
    base: usize,
    words: [u64; WORDS],
}

impl<const WORDS: usize> Block<WORDS> {
    /// Reads the first `8 * WORDS` bytes at `base`; `None` on a fault.
    #[inline(always)]
    pub fn read(base: usize) -> Option<Self> {
        Some(Self { base, words: read_kernel(base, 0)? })
    }

    /// The member at `offset`. Where the running kernel has it further away it is read by itself: the verifier knows
    /// the offset and drops the branch that is not taken.
    #[inline(always)]
    pub fn get<T: Copy>(&self, offset: u32) -> Option<T> {
        if offset as usize + size_of::<T>() > 8 * WORDS {
            return read_kernel(self.base, offset);
        }
        // SAFETY: within `words`; members are aligned, but what the verifier does not mind need not be relied on.
        Some(unsafe { self.words.as_ptr().byte_add(offset as usize).cast::<T>().read_unaligned() })
    }
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
