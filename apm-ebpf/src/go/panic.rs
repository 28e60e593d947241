//! Panics, and what becomes of them.

use apm_common::{
    event::{PanicBody, RecoveredBody, kind},
    limits::PANIC_FRAMES,
};
use aya_ebpf::{bindings::BPF_F_USER_STACK, helpers::generated::bpf_get_stack, macros::uprobe, programs::ProbeContext};

use super::{Hit, member, process, value::write_value};
use crate::{
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
};

/// `runtime.gopanic(value)`: an interface value in `rax` (its type) and `rbx`.
#[uprobe]
pub fn go_panic(ctx: ProbeContext) -> u32 {
    let _ = panicking(&ctx);
    0
}

#[inline(always)]
fn panicking(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let (value_type, value) = (probed(ctx, Register::Ax), probed(ctx, Register::Bx));
    let request = hit.known().map_or(0, |known| known.handles);
    let mut slot = reserve::<PanicBody>()?;
    let record: *mut Record<PanicBody> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record. Every member is written but the ends of text and stack that nobody
    // reads: their lengths are written.
    unsafe {
        (&raw mut (*record).header).write(header(kind::PANIC, 0));
        let body = &raw mut (*record).body;
        (&raw mut (*body).request).write(request);
        (&raw mut (*body).goroutine).write(hit.goroutine);
        write_value(&raw mut (*body).value, value_type, value);
        let size = (PANIC_FRAMES * 8) as u32;
        let stack = bpf_get_stack(ctx.regs.cast(), (&raw mut (*body).stack).cast(), size, BPF_F_USER_STACK as u64);
        (&raw mut (*body).frames).write(if stack > 0 { stack as u64 / 8 } else { 0 });
    }
    submit(slot);
    None
}

/// `runtime.recovery(goroutine)`, on a stack of the run time's own: the goroutine is the argument. Its panic says where in
/// which function it goes on.
#[uprobe]
pub fn go_recover(ctx: ProbeContext) -> u32 {
    let _ = recovered(&ctx);
    0
}

#[inline(always)]
fn recovered(ctx: &ProbeContext) -> Option<()> {
    let (_, layout) = process()?;
    let g = probed(ctx, Register::Ax);
    let goroutine = member(g, layout.g_goid)?;
    let resumed_at = member(member(g, layout.g_panic)?, layout.panic_retpc)?;
    let mut slot = reserve()?;
    slot.write(Record { header: header(kind::RECOVERED, 0), body: RecoveredBody { goroutine, resumed_at } });
    submit(slot);
    None
}
