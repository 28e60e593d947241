//! gRPC calls: from the first attempt of a `clientStream` to its `finish`, which may come on another goroutine.

use apm_common::event::{NO_CODE, RPC_TLS, RpcBody, RpcDoneBody, kind};
use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::uprobe, programs::ProbeContext};

use super::{
    Hit, ITAB_TYPE,
    context::entered,
    descent::maker,
    grpc::{code_of, is_tls, write_address},
    handle::number,
    heads,
    hidden::copy,
    member, text,
};
use crate::{
    maps::{GO_RPCS, GoCall, GoRpc},
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
};

/// `google.rpc.Code` of errors that have no status.
const UNKNOWN: u64 = 2;

/// `(*clientStream).newAttemptLocked()`, on the caller's goroutine the first time.
#[uprobe]
pub fn go_grpc_call(ctx: ProbeContext) -> u32 {
    let _ = calling(&ctx);
    0
}

#[inline(always)]
fn calling(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let grpc = &hit.layout.grpc;
    let stream = probed(ctx, Register::Ax);
    let context: [u64; 2] = member(stream, grpc.call_ctx)?;
    let attempt: u64 = member(stream, grpc.call_attempt)?;
    let key = hit.key(stream);
    // SAFETY: map values live until the program ends (RCU).
    let is_retry = GO_RPCS.get_ptr(key).is_some_and(|open| unsafe { (*open).context == context[1] });
    if attempt != 0 || is_retry {
        return None;
    }
    let (handles, own) = hit.known().map_or((0, 0), |known| (known.handles, known.context));
    let known = entered(&hit, context).or_else(|| heads::handled(&hit, own, handles));
    let request = maker(&hit, known.as_ref().map_or(handles, |known| known.request));
    heads::note(&hit, context[1], heads::wanted(&hit, known).map(|call| GoCall { about: stream, ..call }));
    let call = number(hit.goroutine);
    // SAFETY: no preconditions.
    let started = unsafe { bpf_ktime_get_ns() };
    GO_RPCS.insert(key, GoRpc { call, request, started, context: context[1] }, 0).ok()?;
    if request != 0 {
        let mut slot = reserve()?;
        slot.write(Record { header: header(kind::RPC, 0), body: RpcBody { call, request } });
        submit(slot);
    }
    None
}

/// `(*clientStream).finish(error)`. Only the first counts.
#[uprobe]
pub fn go_grpc_called(ctx: ProbeContext) -> u32 {
    let _ = called(&ctx);
    0
}

#[inline(always)]
fn called(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let grpc = &hit.layout.grpc;
    let stream = probed(ctx, Register::Ax);
    let key = hit.key(stream);
    // SAFETY: as above.
    let GoRpc { call, request, started, context } = unsafe { *GO_RPCS.get_ptr(key)? };
    GO_RPCS.remove(key).ok()?;
    heads::over(&hit, context, call);
    let code = code_of_error(&hit, [probed(ctx, Register::Bx), probed(ctx, Register::Cx)]);
    let transport = transport(&hit, stream).unwrap_or(0);
    let call_header: u64 = member(stream, grpc.call_header).unwrap_or(0);
    let flags = if is_tls(&hit, transport, grpc.client_security) { RPC_TLS } else { 0 };
    let mut slot = reserve::<RpcDoneBody>()?;
    let record: *mut Record<RpcDoneBody> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record. Every length is written, and nobody reads bytes behind one.
    unsafe {
        (&raw mut (*record).header).write(header(kind::RPC_DONE, flags));
        let body = &raw mut (*record).body;
        (&raw mut (*body).call).write(call);
        (&raw mut (*body).request).write(request);
        (&raw mut (*body).started).write(started);
        (&raw mut (*body).code).write(code);
        copy(&raw mut (*body).method, text(call_header, grpc.header_method));
        copy(&raw mut (*body).host, text(call_header, grpc.header_host));
        write_address(&hit, &raw mut (*body).remote, text(transport, grpc.client_peer));
    }
    submit(slot);
    None
}

/// The `*http2Client` of the last attempt; `None`: there was no connection.
#[inline(always)]
fn transport(hit: &Hit, stream: u64) -> Option<u64> {
    let grpc = &hit.layout.grpc;
    let attempt: u64 = member(stream, grpc.call_attempt)?;
    let [table, transport]: [u64; 2] = member(attempt, grpc.attempt_transport)?;
    let kind: u64 = member(table, ITAB_TYPE)?;
    (kind != 0 && kind == grpc.http2_client).then_some(transport)
}

/// Code of an error, an interface value: none, and the end of a stream (`io.EOF`), are success.
#[inline(always)]
fn code_of_error(hit: &Hit, [table, error]: [u64; 2]) -> u64 {
    let grpc = &hit.layout.grpc;
    if table == 0 {
        return 0;
    }
    let kind: u64 = member(table, ITAB_TYPE).unwrap_or(0);
    if kind != 0 && kind == grpc.status_error {
        return member(error, grpc.error_status).map_or(NO_CODE, |status| code_of(hit, status));
    }
    if kind == 0 || kind != grpc.error_string {
        return NO_CODE;
    }
    let [address, length] = text(error, 0);
    let is_end = length == 3 && member(address, 0) == Some(*b"EOF");
    if is_end { 0 } else { UNKNOWN }
}
