//! Goroutines by the request in which they were made: a guess at whose their calls are, where no context says it. A
//! goroutine may work for others than the one that made it, so this is told only where the user asks for it
//! (`go_ancestry`): else nothing is entered here.

use apm_common::{counter::Counter, go::GoKey, limits::GO_GENERATIONS};
use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{Hit, context::request_of, member, process};
use crate::{
    maps::{GO_DESCENTS, GOROUTINES, GoDescent, Goroutine},
    registers::{Register, probed},
    ring::count,
};

/// Where `newproc` puts a new goroutine, its second argument, into a queue: on a stack of the run time's own, so the
/// goroutine that made it is the one that the thread runs.
#[uprobe]
pub fn go_made(ctx: ProbeContext) -> u32 {
    let _ = made(&ctx);
    0
}

#[inline(always)]
fn made(ctx: &ProbeContext) -> Option<()> {
    let (pid, layout) = process()?;
    let thread: u64 = member(probed(ctx, Register::R14), layout.g_m)?;
    let maker: u64 = member(member(thread, layout.m_curg)?, layout.g_goid)?;
    let descent = descent_of_child(GoKey::new(pid, maker))?;
    if descent.generation > GO_GENERATIONS {
        count(Counter::DescentGivenUp, 1);
        return None;
    }
    let child: u64 = member(probed(ctx, Register::Bx), layout.g_goid)?;
    GO_DESCENTS.insert(GoKey::new(pid, child), descent, 0).ok()
}

/// What a goroutine hands on to those that it makes: the request it handles, else the one it was made in.
#[inline(always)]
fn descent_of_child(maker: GoKey) -> Option<GoDescent> {
    // SAFETY: map values live until the program ends (RCU), and only the goroutine itself, which is here, writes its own.
    let handles = GOROUTINES.get_ptr(maker).map_or(0, |known| unsafe { (*known).handles });
    if handles != 0 {
        return Some(GoDescent { request: handles, generation: 1 });
    }
    // SAFETY: as above; a descent is written before its goroutine runs, and not changed.
    let own = unsafe { *GO_DESCENTS.get_ptr(maker)? };
    Some(GoDescent { generation: own.generation + 1, ..own })
}

/// For which request a call is made, on its own goroutine: the one its context belongs to, else the one that goroutine was
/// made in. 0: not known, or the goroutine handles one itself.
#[inline(always)]
pub fn request_for(hit: &Hit, known: &Option<&'static mut Goroutine>, context: [u64; 2]) -> u64 {
    let own = known.as_ref().map_or((0, 0), |known| (known.handles, known.context));
    let by_context = request_of(hit, own, context);
    if by_context == 0 && own.0 != 0 {
        return 0;
    }
    maker(hit, by_context)
}

/// The request in which the goroutine was made, where it is not certain for which one it calls.
#[inline(always)]
pub fn maker(hit: &Hit, certain: u64) -> u64 {
    let key = hit.key(hit.goroutine);
    // SAFETY: as in `descent_of_child`.
    let made_in = GO_DESCENTS.get_ptr(key).map_or(0, |descent| unsafe { (*descent).request });
    if certain == 0 {
        return made_in;
    }
    if made_in != 0 && made_in != certain {
        // It works for others, too.
        count(Counter::DescentGivenUp, 1);
        let _ = GO_DESCENTS.remove(key);
    }
    certain
}
