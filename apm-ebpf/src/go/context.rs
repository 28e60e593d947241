//! From the `context.Context` of a call to the request it belongs to, up the chain of contexts.

use apm_common::{fasthttp::POINTER, limits::GO_CONTEXT_STEPS};

use super::{Hit, ITAB_TYPE, member};
use crate::maps::{GO_CONTEXT_TYPES, GO_CONTEXTS, GoContext};

/// The request to which an interface value's context belongs; 0: none, or not certain. `own`: the goroutine's own
/// request and its context, most often the one that is looked for.
#[inline(always)]
pub fn request_of(hit: &Hit, own: (u64, u64), context: [u64; 2]) -> u64 {
    let [mut table, mut address] = context;
    for _ in 0..GO_CONTEXT_STEPS {
        if address == own.1 && address != 0 {
            return own.0;
        }
        if let Some(known) = registered(hit, address) {
            return known.request;
        }
        match above(hit, table, address) {
            Some(next) => [table, address] = next,
            None => return 0,
        }
    }
    0
}

/// What is entered of the request to which an interface value's context belongs.
#[inline(always)]
pub fn entered(hit: &Hit, context: [u64; 2]) -> Option<&'static mut GoContext> {
    let [mut table, mut address] = context;
    for _ in 0..GO_CONTEXT_STEPS {
        if let Some(known) = registered(hit, address) {
            return Some(known);
        }
        [table, address] = above(hit, table, address)?;
    }
    None
}

/// What is entered of the request whose context lies at this address. Something else may lie there now, if the end of the
/// request's handling was not seen: its first words are compared.
#[inline(always)]
pub fn registered(hit: &Hit, address: u64) -> Option<&'static mut GoContext> {
    let known = GO_CONTEXTS.get_ptr_mut(hit.key(address))?;
    let content: [u64; 2] = member(address, 0)?;
    // SAFETY: map values live until the program ends (RCU). What several goroutines write there is the same (`trace::of`).
    let known = unsafe { &mut *known };
    (known.content == content || known.content == GoContext::ANY_CONTENT).then_some(known)
}

/// The context that this one was made from.
#[inline(always)]
pub fn above(hit: &Hit, table: u64, address: u64) -> Option<[u64; 2]> {
    let kind: u64 = member(table, ITAB_TYPE)?;
    let offset = GO_CONTEXT_TYPES.get_ptr(hit.key(kind))?;
    // SAFETY: as above.
    let offset = unsafe { *offset };
    if offset & POINTER != 0 {
        return Some([0, member(address, offset & !POINTER)?]);
    }
    member(address, offset)
}
