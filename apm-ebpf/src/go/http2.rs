//! Calls over HTTP/2: a goroutine of its own sees to each, from `(*clientStream).writeRequest` to
//! `(*clientStream).cleanupWriteRequest`.

use apm_common::event::{CALLED_FAILED, CALLED_UNSENT, CallBody, CalledBody, kind};
use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{Hit, context::entered, heads, hidden::copy, member, text, tls};
use crate::{
    maps::{GOROUTINES, GoCall, Goroutine},
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
    socket::Socket,
};

/// `(*clientStream).writeRequest(request, …)`
#[uprobe]
pub fn go_http2_call(ctx: ProbeContext) -> u32 {
    let _ = calling(&ctx);
    0
}

#[inline(always)]
fn calling(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let layout = &hit.layout.http2;
    let (stream, request) = (probed(ctx, Register::Ax), probed(ctx, Register::Bx));
    // This goroutine sees to the stream alone: it handles no request.
    let (mut known, mut owner) = (entered(&hit, member(stream, layout.stream_ctx)?), 0);
    if let Some(known) = &known {
        owner = known.request;
    } else if let Some(caller) = caller(&hit, probed(ctx, Register::R14)) {
        known = heads::handled(&hit, caller.context, caller.handles);
        owner = caller.handles;
    }
    let carrying = heads::wanted(&hit, known).map(|call| GoCall { about: stream, asked: request, ..call });
    heads::note(&hit, hit.goroutine, carrying);
    let connection = connection(&hit, stream).map_or(0, |socket| socket.inode);
    let url: u64 = member(request, layout.request_url)?;
    let mut slot = reserve::<CallBody>()?;
    let record: *mut Record<CallBody> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record. Every length is written, and nobody reads bytes behind one.
    unsafe {
        (&raw mut (*record).header).write(header(kind::CALL, 0));
        let body = &raw mut (*record).body;
        (&raw mut (*body).call).write(hit.goroutine);
        (&raw mut (*body).owner).write(owner);
        (&raw mut (*body).connection).write(connection);
        copy(&raw mut (*body).method, text(request, layout.request_method));
        copy(&raw mut (*body).scheme, text(url, layout.url_scheme));
        copy(&raw mut (*body).host, text(url, layout.url_host));
        copy(&raw mut (*body).path, text(url, layout.url_path));
        copy(&raw mut (*body).raw_path, text(url, layout.url_raw_path));
        copy(&raw mut (*body).query, text(url, layout.url_query));
    }
    submit(slot);
    Some(())
}

/// What is known of the goroutine that began this one: the caller's.
#[inline(always)]
fn caller(hit: &Hit, g: u64) -> Option<&'static Goroutine> {
    let caller: u64 = member(g, hit.layout.http2.g_parent)?;
    // SAFETY: map values live until the program ends (RCU).
    GOROUTINES.get_ptr(hit.key(caller)).map(|known| unsafe { &*known })
}

/// The socket on which a stream's frames go out.
#[inline(always)]
fn connection(hit: &Hit, stream: u64) -> Option<Socket> {
    let client: u64 = member(stream, hit.layout.http2.stream_client)?;
    let [table, connection]: [u64; 2] = member(client, hit.layout.http2.client_conn)?;
    if hit.is_tls(table) { tls::socket(hit, connection) } else { hit.socket([table, connection]) }
}

/// `(*clientStream).cleanupWriteRequest(error)`: the stream is over.
#[uprobe]
pub fn go_http2_called(ctx: ProbeContext) -> u32 {
    let _ = called(&ctx);
    0
}

#[inline(always)]
fn called(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let layout = &hit.layout.http2;
    let stream = probed(ctx, Register::Ax);
    let response = member(stream, layout.stream_response).unwrap_or(0);
    let status = member(response, layout.response_status).unwrap_or(0);
    let is_sent = member::<u8>(stream, layout.stream_sent)? != 0;
    let flags = match probed(ctx, Register::Bx) {
        0 => 0,
        _ if is_sent => CALLED_FAILED,
        _ => CALLED_FAILED | CALLED_UNSENT,
    };
    heads::over(&hit, hit.goroutine, hit.goroutine);
    let mut slot = reserve()?;
    slot.write(Record { header: header(kind::CALLED, flags), body: CalledBody { call: hit.goroutine, status } });
    submit(slot);
    Some(())
}
