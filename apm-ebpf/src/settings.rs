//! Settings that user space writes into the object's read-only data before it loads; the verifier knows them as
//! constants and drops the branches they decide.

use apm_common::settings::Settings;
use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_user};

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

/// Reads a `T` in the current process's memory; `None` on a fault.
#[inline(always)]
pub fn read_user<T>(address: u64) -> Option<T> {
    // SAFETY: as in `read_kernel`.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}
