//! Panics, and what becomes of them.

use apm_common::{
    event::{PanicBody, RecoveredBody, kind},
    limits::{PANIC_FRAMES, PANIC_TEXT_BYTES, PANIC_WORDS},
};
use aya_ebpf::{
    bindings::BPF_F_USER_STACK,
    helpers::generated::{bpf_get_stack, bpf_probe_read_user as read_user_bytes},
    macros::uprobe,
    programs::ProbeContext,
};

use super::{Hit, member, process};
use crate::{
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
    settings::read_user,
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
    let words: [u64; PANIC_WORDS] = read_user(value).unwrap_or([0; PANIC_WORDS]);
    let mut slot = reserve::<PanicBody>()?;
    let record: *mut Record<PanicBody> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record. Every member is written but the ends of text and stack that nobody
    // reads: their lengths are written.
    unsafe {
        (&raw mut (*record).header).write(header(kind::PANIC, 0));
        let body = &raw mut (*record).body;
        (&raw mut (*body).request).write(request);
        (&raw mut (*body).goroutine).write(hit.goroutine);
        (&raw mut (*body).value_type).write(value_type);
        (&raw mut (*body).words).write(words);
        // Whether the first two words are a text, user space says: it knows the type.
        let length = if words[1] > PANIC_TEXT_BYTES as u64 { PANIC_TEXT_BYTES as u64 } else { words[1] };
        let read = if length == 0 {
            1
        } else {
            read_user_bytes((&raw mut (*body).text).cast(), length as u32, words[0] as *const _)
        };
        (&raw mut (*body).text_len).write(if read == 0 { length } else { 0 });
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
