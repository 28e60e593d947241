//! Requests that `net/http` handles: from `serverHandler.ServeHTTP` on. Of a request in plain HTTP/1 the wire shows the
//! end, and no probe is spent on it: its goroutine handles it until the next one comes. Over TLS `(*response).finishRequest`
//! ends it.

use apm_common::event::{ANSWERED_FAILED, HandleBody, kind};
use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::uprobe, programs::ProbeContext};

use super::{
    Hit, ITAB_TYPE,
    hidden::{NO_STATUS, done, is_http2, leave, tell_asked},
    member,
};
use crate::{
    maps::{GO_CONTEXTS, GOROUTINES, GoContext, Goroutine, HIDDEN_HTTP},
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
};

/// Bits of a request's number that are its goroutine's, above those of the time.
const GOROUTINE_BITS: u64 = 17;
const TIME_BITS: u64 = 24;

/// Names a request within its process: a goroutine handles one request at a time, in no less than a microsecond. Numbers
/// come again after 17 seconds, but only on the same goroutine (or one of 131,072) and in the same microsecond of them.
#[inline(always)]
pub fn number(goroutine: u64) -> u64 {
    // SAFETY: no preconditions.
    let time = unsafe { bpf_ktime_get_ns() } >> 10;
    let number = (goroutine & ((1 << GOROUTINE_BITS) - 1)) << TIME_BITS | time & ((1 << TIME_BITS) - 1);
    if number == 0 { 1 } else { number }
}

/// `serverHandler.ServeHTTP(handler, writer, request)`
#[uprobe]
pub fn go_handle(ctx: ProbeContext) -> u32 {
    let _ = handling(&ctx);
    0
}

#[inline(always)]
fn handling(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let asked = probed(ctx, Register::Di);
    let [_, context]: [u64; 2] = member(asked, hit.layout.request_ctx)?;
    let content = member(context, 0)?;
    let request = number(hit.goroutine);
    let head = header(kind::HANDLE, 0);
    let known = hit.known();
    if let Some(known) = known.as_ref().filter(|known| known.handles != 0) {
        leave(&hit, known);
    }
    let way = match &known {
        // What was found out at its first request holds for the others.
        Some(known) if known.serves != 0 && known.visit == hit.layout.visit => Way::Plain(known.serves),
        _ => way(&hit, [probed(ctx, Register::Bx), probed(ctx, Register::Cx)], asked),
    };
    let (connection, visit) = (way.connection(), hit.layout.visit);
    let is_hidden = if way.is_hidden() { HIDDEN_HTTP } else { 0 };
    let goroutine = Goroutine { handles: request, context, is_hidden, serves: connection, visit, ..Goroutine::NONE };
    // Most requests come on connections that are kept, and so to goroutines that are known: to write anew costs little.
    match known {
        Some(known) => *known = goroutine,
        None => GOROUTINES.insert(hit.key(hit.goroutine), goroutine, 0).ok()?,
    }
    let entered = GoContext { time: head.time, asked, ..GoContext::new(request, content) };
    GO_CONTEXTS.insert(hit.key(context), entered, 0).ok()?;
    if way.is_hidden() {
        return tell_asked(&hit, head, context, asked);
    }
    let mut slot = reserve()?;
    slot.write(Record { header: head, body: HandleBody { request, connection } });
    submit(slot);
    None
}

/// How a request came.
enum Way {
    /// On this connection, in plain HTTP/1.
    Plain(u64),
    /// Over TLS, in HTTP/1.
    Tls,
    /// In HTTP/2, over TLS or not.
    Http2,
    /// On a connection that is wrapped.
    Unknown,
}

impl Way {
    /// The wire does not show the request.
    #[inline(always)]
    fn is_hidden(&self) -> bool {
        matches!(self, Way::Tls | Way::Http2)
    }

    /// The connection that the wire shows; 0: none.
    #[inline(always)]
    fn connection(&self) -> u64 {
        if let Way::Plain(connection) = self { *connection } else { 0 }
    }
}

#[inline(always)]
fn way(hit: &Hit, writer: [u64; 2], asked: u64) -> Way {
    if is_http2(hit, asked) {
        return Way::Http2;
    }
    match connection_of(hit, writer) {
        Some([table, _]) if hit.layout.hidden.tls_conn != 0 && is_tls(hit, table) => Way::Tls,
        Some(connection) => hit.socket(connection).map_or(Way::Unknown, |socket| Way::Plain(socket.inode)),
        None => Way::Unknown,
    }
}

#[inline(always)]
fn is_tls(hit: &Hit, table: u64) -> bool {
    member(table, ITAB_TYPE) == Some(hit.layout.hidden.tls_conn)
}

/// The `net.Conn` that an HTTP/1 response goes to.
#[inline(always)]
fn connection_of(hit: &Hit, [table, writer]: [u64; 2]) -> Option<[u64; 2]> {
    let kind: u64 = member(table, ITAB_TYPE)?;
    if kind == 0 || kind != hit.layout.http_response {
        return None;
    }
    let connection: u64 = member(writer, hit.layout.response_conn)?;
    member(connection, hit.layout.conn_rwc)
}

/// `(*response).finishRequest()`: before the rest of the answer goes out. The request may not be asked for its context:
/// the program may have put another in its place.
#[uprobe]
pub fn go_handled(ctx: ProbeContext) -> u32 {
    let _ = handled(&ctx);
    0
}

#[inline(always)]
fn handled(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let known = hit.known().filter(|known| known.is_hidden == HIDDEN_HTTP)?;
    let status = match member(probed(ctx, Register::Ax), hit.layout.hidden.response_status) {
        // Nobody set it: it is about to be 200.
        Some(0) => 200,
        status => status.unwrap_or(NO_STATUS),
    };
    done(&hit, known, 0, status);
    None
}

/// `(*conn).close()`: the goroutine that served it ends. If it still handles a request, the handler panicked.
#[uprobe]
pub fn go_closed(ctx: ProbeContext) -> u32 {
    if let Some(hit) = Hit::new(&ctx)
        && let Some(known) = hit.known()
    {
        if known.handles != 0 {
            done(&hit, known, ANSWERED_FAILED, NO_STATUS);
        }
        hit.forget();
    }
    0
}
