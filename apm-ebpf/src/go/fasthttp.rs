//! Requests that fasthttp handles, alone or below fiber: from where `(*Server).serveConn` has read a request's head until
//! it writes the answer. The wire shows them; here it is told which goroutine handles which, and the route fiber found.
//!
//! A `*fasthttp.RequestCtx` is a context, used again for the next request: what is made of it afterwards is against
//! fasthttp's rules.

use apm_common::{
    event::{HandleBody, ROUTER_PLAIN, kind},
    fasthttp::GoFiber,
};
use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{Hit, ITAB_TYPE, handle::number, hidden::done, member, route, value::tell_failure};
use crate::{
    maps::{GO_CONTEXTS, GOROUTINES, GoContext, Goroutine},
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
};

/// A context of fiber 2.
const FIBER_2: u32 = 4;
/// A context of fiber 3.
const FIBER_3: u32 = 5;

/// Where `serveConn` calls `(*Request).readLimitBody` or `(*Request).readBodyStream`: of a request within its context.
#[uprobe]
pub fn go_fasthttp_handle(ctx: ProbeContext) -> u32 {
    let _ = handle(&ctx);
    0
}

#[inline(always)]
fn handle(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let fasthttp = &hit.layout.fasthttp;
    let context = probed(ctx, Register::Ax).checked_sub(fasthttp.request as u64)?;
    // Over TLS the wire shows none.
    let connection = hit.socket(member(context, fasthttp.connection)?)?.inode;
    let request = number(hit.goroutine);
    let goroutine = Goroutine { handles: request, context, ..Goroutine::NONE };
    GOROUTINES.insert(hit.key(hit.goroutine), goroutine, 0).ok()?;
    let content = GoContext::ANY_CONTENT;
    GO_CONTEXTS.insert(hit.key(context), GoContext::new(request, content), 0).ok()?;
    let mut slot = reserve()?;
    slot.write(Record { header: header(kind::HANDLE, 0), body: HandleBody { request, connection } });
    submit(slot);
    None
}

/// `writeResponse(context, writer)`: before the answer goes out.
#[uprobe]
pub fn go_fasthttp_handled(ctx: ProbeContext) -> u32 {
    if let Some(hit) = Hit::new(&ctx)
        && let Some(known) = hit.known()
    {
        done(&hit, known, 0, 0);
        // The next request on this goroutine may come on another connection.
        hit.forget();
    }
    0
}

/// Where fiber 2 calls `(*App).next(context)`, which has all handlers run.
#[uprobe]
pub fn go_fiber2(ctx: ProbeContext) -> u32 {
    if let Some((_, known)) = route::handling(&ctx) {
        route::search(known, FIBER_2, probed(&ctx, Register::Bx));
    }
    0
}

/// The same in fiber 3.
#[uprobe]
pub fn go_fiber3(ctx: ProbeContext) -> u32 {
    if let Some((_, known)) = route::handling(&ctx) {
        route::search(known, FIBER_3, probed(&ctx, Register::Bx));
    }
    0
}

/// Behind that call: the context has the route that was found last, and the error, an interface value, is the second
/// result.
#[uprobe]
pub fn go_fiber_found(ctx: ProbeContext) -> u32 {
    let _ = found(&ctx);
    0
}

#[inline(always)]
fn found(ctx: &ProbeContext) -> Option<()> {
    let (hit, known) = route::handling(ctx)?;
    let fiber = match known.router_kind {
        FIBER_2 => &hit.layout.fasthttp.fiber[0],
        FIBER_3 => &hit.layout.fasthttp.fiber[1],
        _ => return None,
    };
    let found: u64 = member(known.router, fiber.route)?;
    let path: [u64; 2] = member(found, fiber.path)?;
    known.router = 0;
    if path[1] <= 1 && is_not_found(fiber, [probed(ctx, Register::Bx), probed(ctx, Register::Cx)]) {
        return None;
    }
    route::tell((known.handles, ROUTER_PLAIN, 0), path)
}

/// fiber's own `404`. Where no more than a middleware for all paths was found, there is no route then, as Elastic's agent
/// has it.
#[inline(always)]
fn is_not_found(fiber: &GoFiber, [table, error]: [u64; 2]) -> bool {
    let kind: u64 = member(table, ITAB_TYPE).unwrap_or(0);
    kind != 0 && kind == fiber.error && member(error, fiber.code) == Some(404_u64)
}

/// `(*App).ErrorHandler(context, error)` of fiber 2.
#[uprobe]
pub fn go_fiber2_failed(ctx: ProbeContext) -> u32 {
    failed(&ctx, [probed(&ctx, Register::Cx), probed(&ctx, Register::Di)]);
    0
}

/// The same of fiber 3, whose context is an interface value.
#[uprobe]
pub fn go_fiber3_failed(ctx: ProbeContext) -> u32 {
    failed(&ctx, [probed(&ctx, Register::Di), probed(&ctx, Register::Si)]);
    0
}

#[inline(always)]
fn failed(ctx: &ProbeContext, error: [u64; 2]) {
    if let Some((hit, known)) = route::handling(ctx) {
        tell_failure(&hit, known.handles, error);
    }
}
