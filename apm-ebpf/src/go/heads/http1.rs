//! Calls over TLS and HTTP/1.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{
    super::{Hit, ITAB_TYPE, member},
    Buffer, note, noted, says_itself, state_after,
    stopping::Stopped,
    way::{Direct, Way},
    write,
};
use crate::{
    maps::{CALL_WANTED, GoCall},
    registers::{Register, probed},
};

/// Where `(*Request).write` calls `Header.writeSubset(headers, writer, …)`: behind the lines that are always there, before
/// those of the program. It does so twice.
#[uprobe]
pub fn go_tls_head(ctx: ProbeContext) -> u32 {
    let _ = head::<Direct>(&ctx);
    0
}

/// The same, where the program has to be stopped for it.
#[uprobe]
pub fn go_tls_head_stopped(ctx: ProbeContext) -> u32 {
    let _ = head::<Stopped>(&ctx);
    0
}

#[inline(always)]
fn head<W: Way>(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let heads = &hit.layout.heads;
    let (table, writer) = (probed(ctx, Register::Bx), probed(ctx, Register::Cx));
    if !is(table, heads.buffered) {
        return None;
    }
    let [table, client]: [u64; 2] = member(writer, heads.buffer_under)?;
    if !is(table, heads.persist_writer) {
        return None;
    }
    // What writes on it is a structure whose only member is a pointer to the client's connection.
    let connection: [u64; 2] = member(client, hit.layout.persist_conn_conn)?;
    if !hit.is_tls(connection[0]) {
        return None;
    }
    let state = hit.conversation(connection)?;
    if state.call.state != CALL_WANTED {
        return None;
    }
    note(&hit, hit.goroutine, Some(GoCall { call: state.call, request: state.owner, ..GoCall::NONE }));
    let noted = noted(&hit, hit.goroutine)?;
    let written = says_itself(&hit, Some(probed(ctx, Register::Ax)), &mut noted.headers).and_then(|()| {
        let buffer = Buffer::of(writer, writer + heads.buffer as u64, heads.buffer_used);
        write::<W>(&hit, noted, &buffer.ok_or(apm_common::counter::Counter::CallsNotWhole)?, None)
    });
    state.call.state = state_after(written);
    note(&hit, hit.goroutine, None);
    None
}

/// Is it a table of this type?
#[inline(always)]
fn is(table: u64, kind: u64) -> bool {
    kind != 0 && member(table, ITAB_TYPE) == Some(kind)
}
