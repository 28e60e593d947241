//! From the `context.Context` of a call to the request it belongs to, up the chain of contexts.

use apm_common::limits::GO_CONTEXT_STEPS;

use super::{Hit, ITAB_TYPE, member};
use crate::maps::{GO_CONTEXT_TYPES, GO_CONTEXTS};

/// The request to which an interface value's context belongs; 0: none, or not certain.
#[inline(always)]
pub fn request_of(hit: &Hit, context: [u64; 2]) -> u64 {
    let [mut table, mut address] = context;
    for _ in 0..GO_CONTEXT_STEPS {
        if let Some(request) = registered(hit, address) {
            return request;
        }
        match above(hit, table, address) {
            Some(next) => [table, address] = next,
            None => return 0,
        }
    }
    0
}

/// The request whose context lies at this address. Something else may lie there now, if the end of the request's
/// handling was not seen: its first words are compared.
#[inline(always)]
fn registered(hit: &Hit, address: u64) -> Option<u64> {
    let known = GO_CONTEXTS.get_ptr(hit.key(address))?;
    let content: [u64; 2] = member(address, 0)?;
    // SAFETY: map values live until the program ends (RCU).
    unsafe { ((*known).content == content).then_some((*known).request) }
}

/// The context that this one was made from.
#[inline(always)]
pub fn above(hit: &Hit, table: u64, address: u64) -> Option<[u64; 2]> {
    let kind: u64 = member(table, ITAB_TYPE)?;
    let offset = GO_CONTEXT_TYPES.get_ptr(hit.key(kind))?;
    // SAFETY: as above.
    member(address, unsafe { *offset })
}
