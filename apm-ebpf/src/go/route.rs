//! Routes that requests took, as the program declared them, and the errors that came of them.
//!
//! gin, chi and echo keep both in a context of their own, which is taken from a pool and put back. A probe where the router
//! begins to search notes the context; the route is told once it is certainly known and before the answer is complete:
//! where the head of the answer is written, else where the context is put back.

use apm_common::{
    event::{ROUTER_CHI, ROUTER_GORILLA, ROUTER_PLAIN, ROUTER_SERVE_MUX, RouteBody, kind},
    limits::{GIN_ERRORS, ROUTE_BYTES, ROUTE_PARTS},
};
use aya_ebpf::{helpers::generated::bpf_probe_read_user as read_user_bytes, macros::uprobe, programs::ProbeContext};

use super::{Hit, bounded, member, value::tell_failure};
use crate::{
    maps::Goroutine,
    registers::{Register, probed},
    ring::{header, reserve, submit},
};

/// A context of gin.
const GIN: u32 = 1;
/// A context of chi.
const CHI: u32 = 2;
/// A context of echo. Those of fiber have numbers of their own (`go::fasthttp`).
const ECHO: u32 = 3;

/// Bytes of a text's, or of an interface value's, two words.
const PAIR: u32 = 16;

/// Behind the call of `(*ServeMux).findHandler` in `(*ServeMux).ServeHTTP`: the pattern that was found is the second
/// result, a text in `rcx` and `rdi`.
#[uprobe]
pub fn go_route(ctx: ProbeContext) -> u32 {
    if let Some((_, known)) = handling(&ctx) {
        tell((known.handles, ROUTER_SERVE_MUX, 0), [probed(&ctx, Register::Cx), probed(&ctx, Register::Di)]);
    }
    0
}

/// gorilla's `requestWithRoute(request, route)`
#[uprobe]
pub fn go_gorilla(ctx: ProbeContext) -> u32 {
    let _ = gorilla(&ctx);
    0
}

#[inline(always)]
fn gorilla(ctx: &ProbeContext) -> Option<()> {
    let (hit, known) = handling(ctx)?;
    let routers = &hit.layout.routers;
    let path: u64 = member(probed(ctx, Register::Bx), routers.mux_path)?;
    tell((known.handles, ROUTER_GORILLA, 0), member(path, routers.mux_template)?)
}

/// gin's `(*Engine).handleHTTPRequest(context)`
#[uprobe]
pub fn go_gin(ctx: ProbeContext) -> u32 {
    if let Some((_, known)) = handling(&ctx) {
        search(known, GIN, probed(&ctx, Register::Bx));
    }
    0
}

/// chi's `(*node).FindRoute(context, …)`. Middleware may search with a context of its own, which no request has.
#[uprobe]
pub fn go_chi(ctx: ProbeContext) -> u32 {
    if let Some((hit, known)) = handling(&ctx) {
        let context = probed(&ctx, Register::Bx);
        let parent: Option<u64> = member(context, hit.layout.routers.chi_parent);
        if parent.is_some_and(|parent| parent != 0) {
            search(known, CHI, context);
        }
    }
    0
}

/// echo's `(*Router).Find(method, path, context)`: the context is an interface value.
#[uprobe]
pub fn go_echo(ctx: ProbeContext) -> u32 {
    if let Some((_, known)) = handling(&ctx) {
        search(known, ECHO, probed(&ctx, Register::R9));
    }
    0
}

/// `(*response).WriteHeader(status)` of `net/http`: the head of an answer, before its first byte.
#[uprobe]
pub fn go_answer(ctx: ProbeContext) -> u32 {
    if let Some((hit, known)) = handling(&ctx) {
        tell_found(&hit, known);
    }
    0
}

/// `(*Pool).Put(context)` of `sync`, where a router calls it: an interface value of the context.
#[uprobe]
pub fn go_put_back(ctx: ProbeContext) -> u32 {
    let _ = put_back(&ctx);
    0
}

#[inline(always)]
fn put_back(ctx: &ProbeContext) -> Option<()> {
    let (hit, known) = handling(ctx)?;
    let context = probed(ctx, Register::Cx);
    if known.router != context || context == 0 {
        return None;
    }
    tell_found(&hit, known);
    if known.router_kind == GIN {
        tell_errors(&hit, known.handles, context);
    }
    (known.router, known.router_told) = (0, 0);
    None
}

/// `(*Echo).DefaultHTTPErrorHandler(error, context)`
#[uprobe]
pub fn go_echo_failed(ctx: ProbeContext) -> u32 {
    if let Some((hit, known)) = handling(&ctx) {
        tell_failure(&hit, known.handles, [probed(&ctx, Register::Bx), probed(&ctx, Register::Cx)]);
    }
    0
}

/// The goroutine, if it handles a request.
#[inline(always)]
pub fn handling(ctx: &ProbeContext) -> Option<(Hit, &'static mut Goroutine)> {
    let hit = Hit::new(ctx)?;
    let known = hit.known()?;
    (known.handles != 0).then_some((hit, known))
}

/// A router begins to search. One in another of the same library has the same context.
#[inline(always)]
pub fn search(known: &mut Goroutine, kind: u32, context: u64) {
    (known.router, known.router_kind, known.router_told) = (context, kind, 0);
}

/// Tells the route, once, if the router has found one.
#[inline(always)]
fn tell_found(hit: &Hit, known: &mut Goroutine) {
    if known.router == 0 || known.router_told != 0 {
        return;
    }
    let told = match known.router_kind {
        GIN => tell_member(known, hit.layout.routers.gin_path),
        ECHO => tell_member(known, hit.layout.routers.echo_path),
        CHI => tell_parts(known, hit.layout.routers.chi_patterns),
        _ => None,
    };
    known.router_told = told.is_some() as u32;
}

/// Tells a route that is a member of the context.
#[inline(always)]
fn tell_member(known: &Goroutine, offset: u32) -> Option<()> {
    tell((known.handles, ROUTER_PLAIN, 0), member(known.router, offset)?)
}

/// Tells a route that is a list of texts in the context.
#[inline(always)]
fn tell_parts(known: &Goroutine, offset: u32) -> Option<()> {
    let [first, count]: [u64; 2] = member(known.router, offset)?;
    // Cut short it would be another route.
    if count == 0 || count > ROUTE_PARTS as u64 {
        return None;
    }
    for part in 0..ROUTE_PARTS {
        if part as u64 >= count {
            break;
        }
        tell((known.handles, ROUTER_CHI, part), member(first, part * PAIR)?)?;
    }
    Some(())
}

/// Tells the errors in a context of gin: a list of pointers to what holds each.
#[inline(always)]
fn tell_errors(hit: &Hit, request: u64, context: u64) -> Option<()> {
    let [first, count]: [u64; 2] = member(context, hit.layout.routers.gin_errors)?;
    for index in 0..GIN_ERRORS {
        if index as u64 >= count {
            break;
        }
        let error: u64 = member(first, index * 8)?;
        tell_failure(hit, request, member(error, hit.layout.routers.gin_error)?)?;
    }
    Some(())
}

/// Tells one part of a route. `None`: there is none, it is too long, or there is no room.
#[inline(always)]
pub fn tell((request, router, part): (u64, u32, u32), [address, length]: [u64; 2]) -> Option<()> {
    if length == 0 || length > ROUTE_BYTES as u64 {
        return None;
    }
    let mut slot = reserve::<RouteBody>()?;
    let record = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record; the text is written by the helper, whole or, on a fault, as zeros. What
    // lies behind it is never read: `text_len` says how long it is.
    let read = unsafe {
        (&raw mut (*record).header).write(header(kind::ROUTE, 0));
        (&raw mut (*record).body.request).write(request);
        (&raw mut (*record).body.router).write(router);
        (&raw mut (*record).body.part).write(part);
        (&raw mut (*record).body.text_len).write(length);
        let bytes = bounded::<ROUTE_BYTES>(length);
        read_user_bytes((&raw mut (*record).body.text).cast(), bytes as u32, address as *const _)
    };
    if read != 0 {
        slot.discard(0);
        return None;
    }
    submit(slot);
    Some(())
}
