//! Who handles SIGUSR1 in each process: the kernel tells nobody else.
//!
//! An iterator: it runs only when user space reads, once for each task, and nothing of it is in anybody's way.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_seq_write;

use crate::settings::{offset, read_kernel};

/// Index of SIGUSR1 in `sighand_struct.action`.
const USR1: u32 = 10 - 1;

/// `struct bpf_iter__task` (kernel/bpf/task_iter.c): two pointers the verifier knows the types of.
#[repr(C)]
pub struct Context {
    meta: *const Meta,
    task: *const c_void,
}

/// Start of `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    seq: *mut c_void,
}

/// For each process its id and the address of its handler, two words.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
pub extern "C" fn usr1_handlers(ctx: *const Context) -> i32 {
    let _ = tell(ctx);
    0
}

#[inline(always)]
fn tell(ctx: *const Context) -> Option<()> {
    // SAFETY: the context is there while the program runs.
    let task = unsafe { (&raw const (*ctx).task).read_volatile() } as usize;
    // After the last task once more, with none.
    if task == 0 {
        return None;
    }
    let pid: u32 = read_kernel(task, offset!(task_pid))?;
    let tgid: u32 = read_kernel(task, offset!(task_tgid))?;
    if pid != tgid {
        return None;
    }
    let handlers: usize = read_kernel(task, offset!(task_sighand))?;
    let handler: u64 = read_kernel(handlers, offset!(sighand_action) + USR1 * offset!(sigaction_bytes))?;
    let told = [tgid as u64, handler];
    // SAFETY: both are there while the program runs, and the helper reads no further than `told` reaches.
    unsafe {
        let meta = (&raw const (*ctx).meta).read_volatile();
        let seq = (&raw const (*meta).seq).read_volatile();
        bpf_seq_write(seq.cast(), told.as_ptr().cast(), size_of_val(&told) as u32);
    }
    None
}
