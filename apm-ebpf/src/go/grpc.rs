//! gRPC requests that `google.golang.org/grpc` handles: from `(*Server).handleStream` to the transport's `writeStatus`.

use apm_common::event::{
    ANSWERED_FAILED, ANSWERED_GRPC, ASKED_GRPC, ASKED_HTTP2, ASKED_TLS, AskedBody, EventHeader, NO_CODE, ROUTER_GRPC,
    Text, kind,
};
use aya_ebpf::{helpers::generated::bpf_probe_read_user as read_user_bytes, macros::uprobe, programs::ProbeContext};

use super::{
    Hit, ITAB_TYPE,
    context::{above, request_of},
    handle::number,
    headers,
    hidden::{copy, copy_trace, done},
    member, route, text, trace,
};
use crate::{
    maps::{GO_CONTEXTS, GOROUTINES, GoContext, Goroutine, HIDDEN_GRPC},
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
};

/// Steps up from a stream's context to that of its metadata: tap handles, statistics and tracing put theirs between.
const METADATA_STEPS: u32 = 8;

/// `(*Server).handleStream(transport, stream)`, on the goroutine that runs the handler.
#[uprobe]
pub fn go_grpc_handle(ctx: ProbeContext) -> u32 {
    let _ = handling(&ctx);
    0
}

#[inline(always)]
fn handling(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let grpc = &hit.layout.grpc;
    let (table, transport) = (probed(ctx, Register::Bx), probed(ctx, Register::Cx));
    let stream = probed(ctx, Register::Di);
    let stream = member(stream, grpc.stream).unwrap_or(stream);
    let context: [u64; 2] = member(stream, grpc.stream_ctx)?;
    let kind: u64 = member(table, ITAB_TYPE)?;
    let of_grpc = Goroutine { is_hidden: HIDDEN_GRPC, ..Goroutine::NONE };
    if kind != grpc.http2_server {
        // `net/http` carries it, and has begun the request on a goroutine of its own.
        let goroutine = Goroutine { handles: request_of(&hit, (0, 0), context), ..of_grpc };
        if goroutine.handles != 0 {
            let _ = GOROUTINES.insert(hit.key(hit.goroutine), goroutine, 0);
            route::tell((goroutine.handles, ROUTER_GRPC, 0), text(stream, grpc.stream_method));
        }
        return None;
    }
    let (content, request) = (member(context[1], 0)?, number(hit.goroutine));
    let goroutine = Goroutine { handles: request, context: context[1], ..of_grpc };
    GOROUTINES.insert(hit.key(hit.goroutine), goroutine, 0).ok()?;
    let tls = if is_tls(&hit, transport, grpc.server_security) { ASKED_TLS } else { 0 };
    let head = header(kind::ASKED, ASKED_GRPC | ASKED_HTTP2 | tls);
    let entered = GoContext { time: head.time, ..GoContext::new(request, content) };
    GO_CONTEXTS.insert(hit.key(context[1]), entered, 0).ok()?;
    // SAFETY: map values live until the program ends (RCU), and the handler that will speak of it has not begun.
    let entered = unsafe { &mut *GO_CONTEXTS.get_ptr_mut(hit.key(context[1]))? };
    headers::read(&hit, metadata(&hit, context), &mut entered.headers);
    trace::decide(&hit, entered);
    tell(&hit, head, entered, (transport, stream))
}

/// The map of the metadata that came, in a context of its own above the stream's.
#[inline(always)]
fn metadata(hit: &Hit, context: [u64; 2]) -> Option<u64> {
    let grpc = &hit.layout.grpc;
    let [mut table, mut address] = context;
    for _ in 0..METADATA_STEPS {
        if member(table, ITAB_TYPE) == Some(grpc.value_context) {
            let [kind, map]: [u64; 2] = member(address, grpc.context_value)?;
            if kind == grpc.metadata {
                return Some(map);
            }
        }
        [table, address] = above(hit, table, address)?;
    }
    None
}

#[inline(always)]
fn tell(hit: &Hit, head: EventHeader, entered: &GoContext, (transport, stream): (u64, u64)) -> Option<()> {
    let grpc = &hit.layout.grpc;
    let mut slot = reserve::<AskedBody>()?;
    let record: *mut Record<AskedBody> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record. Every length is written, and nobody reads bytes behind one.
    unsafe {
        (&raw mut (*record).header).write(head);
        let body = &raw mut (*record).body;
        (&raw mut (*body).request).write(entered.request);
        (&raw mut (*body).method.len).write(0);
        copy(&raw mut (*body).path, text(stream, grpc.stream_method));
        (&raw mut (*body).query.len).write(0);
        copy(&raw mut (*body).host, entered.headers.authority);
        write_address(hit, &raw mut (*body).remote, text(transport, grpc.server_peer));
        copy_trace(body, &entered.headers);
    }
    submit(slot);
    Some(())
}

/// Is the security of a transport, an interface value, TLS?
#[inline(always)]
pub fn is_tls(hit: &Hit, transport: u64, place: u32) -> bool {
    let kind = member(transport, place).and_then(|table| member::<u64>(table, ITAB_TYPE));
    kind.is_some_and(|kind| kind != 0 && kind == hit.layout.grpc.tls_info)
}

/// Writes a `net.Addr`, an interface value, if it is one of TCP: port, then IP.
///
/// # Safety
/// `to` is valid for writes.
#[inline(always)]
pub unsafe fn write_address<const N: usize>(hit: &Hit, to: *mut Text<N>, [table, address]: [u64; 2]) {
    let grpc = &hit.layout.grpc;
    // SAFETY: the caller's; there is room for a port and the longest address.
    unsafe {
        (&raw mut (*to).len).write(0);
        let kind: u64 = member(table, ITAB_TYPE).unwrap_or(0);
        if kind == 0 || kind != grpc.tcp_address {
            return;
        }
        let [bytes, length] = text(address, grpc.tcp_ip);
        let Some(port) = member::<u16>(address, grpc.tcp_port) else { return };
        let place = (&raw mut (*to).bytes).cast::<u8>();
        let read = match length {
            4 => read_user_bytes(place.add(2).cast(), 4, bytes as *const _),
            16 => read_user_bytes(place.add(2).cast(), 16, bytes as *const _),
            _ => return,
        };
        place.cast::<u16>().write(port);
        (&raw mut (*to).len).write(if read == 0 { length + 2 } else { 0 });
    }
}

/// Code of a `*status.Status`; none at all stands for success.
#[inline(always)]
pub fn code_of(hit: &Hit, status: u64) -> u64 {
    let grpc = &hit.layout.grpc;
    match member::<u64>(status, grpc.status) {
        _ if status == 0 => 0,
        Some(0) => 0,
        Some(message) => member::<u32>(message, grpc.status_code).map_or(NO_CODE, u64::from),
        None => NO_CODE,
    }
}

/// `writeStatus(stream, status)` of a transport: the answer, on the handler's goroutine.
#[uprobe]
pub fn go_grpc_status(ctx: ProbeContext) -> u32 {
    if let Some(hit) = Hit::new(&ctx)
        && let Some(known) = hit.known()
        && known.is_hidden == HIDDEN_GRPC
    {
        done(&hit, known, ANSWERED_GRPC, code_of(&hit, probed(&ctx, Register::Cx)));
        hit.forget();
    }
    0
}

/// Behind `(*Server).handleStream`: nobody may have been told the status, if the connection broke before, or the handler
/// panics. Above it nobody recovers.
#[uprobe]
pub fn go_grpc_left(ctx: ProbeContext) -> u32 {
    if let Some(hit) = Hit::new(&ctx)
        && let Some(known) = hit.known()
        && known.is_hidden == HIDDEN_GRPC
    {
        let panics: u64 = member(probed(&ctx, Register::R14), hit.layout.g_panic).unwrap_or(0);
        let failed = if panics != 0 { ANSWERED_FAILED } else { 0 };
        done(&hit, known, ANSWERED_GRPC | failed, NO_CODE);
        hit.forget();
    }
    0
}
