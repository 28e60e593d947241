//! Reads and writes: what passed, captured within the budget of its turn.
//!
//! All programs run at the exit of their system call, when the kernel has said how many bytes passed and the caller's
//! buffers hold them, and take the arguments from the saved registers. A call that fails costs one look-up.

use apm_common::{
    counter::Counter,
    event::{
        CarriedBody, DATA_CARRIES, DATA_END, DATA_ERROR, DATA_OUTGOING, DATA_OWNED, DATA_POLLED, EventHeader,
        ROLE_CLIENT, ROLE_SERVER, kind,
    },
    limits::{CHUNK_BYTES, MESSAGES, REQUEST_BUDGET, RESPONSE_BUDGET, STEPS_PER_CALL, TAIL_BYTES},
    propagation::UnreachedBody,
};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_probe_read_user as read_user_bytes},
    macros::tracepoint,
    programs::TracePointContext,
};

use crate::{
    go,
    maps::{CALL_CARRIES, CALL_NONE, CALL_WANTED, Connection, IGNORED, INCOMING, OUTGOING, PROCESSES},
    registers::{Arguments, arguments, calling_first},
    ring::{
        self, CARRIED_BYTES, OWNER_BYTES, Record, Scratch, count, header, lazier_wake, reserve, scratch, submit,
    },
    settings::{number, read_user, result},
    socket::{Socket, connection, known, socket},
};

/// `recv(2)` flags of calls that do not consume the stream.
pub const MSG_OOB: u64 = 1;
pub const MSG_PEEK: u64 = 2;

/// Errors of a read or write after which the connection is dead (`errno(3)`).
const EPIPE: i64 = -32;
const ECONNRESET: i64 = -104;
const ETIMEDOUT: i64 = -110;

/// Messages of one `recvmmsg` or `sendmmsg` whose lengths are added up: those not looked at become a gap of the right
/// size. More at once on a stream nobody sends.
const MESSAGES_MEASURED: u64 = 64;

/// Where a call's bytes lie in user memory: one buffer, or an array of `iovec`s.
pub struct Segments {
    base: u64,
    length: u64,
    vectors: u64,
    count: u64,
}

impl Segments {
    #[inline(always)]
    pub fn buffer(base: u64, length: u64) -> Self {
        Self { base, length, vectors: 0, count: 0 }
    }

    #[inline(always)]
    pub fn vectors(vectors: u64, count: u64) -> Self {
        Self { base: 0, length: 0, vectors, count }
    }

    /// The `msg_iov` and `msg_iovlen` of a `struct msghdr` (`recv(2)`).
    #[inline(always)]
    pub fn message(address: u64) -> Self {
        let [vectors, count] = read_user::<[u64; 2]>(address + 16).unwrap_or([0; 2]);
        Self::vectors(vectors, count)
    }

    /// Bytes the kernel cannot show.
    #[inline(always)]
    pub fn hidden() -> Self {
        Self::vectors(0, 0)
    }
}

/// Does this result tell anything: bytes, the end of file, or that the connection is dead?
#[inline(always)]
pub fn tells(result: i64) -> bool {
    result >= 0 || result == ECONNRESET || result == EPIPE || result == ETIMEDOUT
}

/// What the call returned, if the process is watched and it tells anything.
#[inline(always)]
fn watched_result(ctx: &TracePointContext) -> Option<i64> {
    PROCESSES.get_ptr((bpf_get_current_pid_tgid() >> 32) as u32)?;
    let result = result(ctx);
    tells(result).then_some(result)
}

/// Arguments of the call; counts when they cannot be had.
#[inline(always)]
fn call_arguments(ctx: &TracePointContext) -> Option<Arguments> {
    let found = arguments(number(ctx));
    if found.is_none() {
        count(Counter::KernelReadFaults, 1);
    }
    found
}

/// Handles one call that moved bytes through a descriptor.
#[inline(always)]
fn transfer(fd: u64, direction: usize, result: i64, segments: Segments) -> Option<()> {
    moved(&socket(fd)?, direction, result, segments)
}

/// Handles one call that moved bytes through a socket.
#[inline(always)]
pub fn moved(socket: &Socket, direction: usize, result: i64, segments: Segments) -> Option<()> {
    let mut socket = *socket;
    let mut state = connection(&socket)?;
    if state.mode == IGNORED && result <= 0 {
        // It is the end, too, of what was said over TLS.
        socket = socket.sealed();
        state = known(&socket)?;
    }
    if state.mode == IGNORED || (result == 0 && direction == OUTGOING) {
        return None;
    }
    let owner = if direction == OUTGOING && state.role != ROLE_SERVER { go::owner(socket.inode, state) } else { 0 };
    let record = scratch()?;
    record.header = header(kind::DATA, flags(&socket, state, direction, result));
    if owner != 0 {
        record.header.flags |= DATA_OWNED;
        told_of_call(record, state, socket.inode);
    }
    record.body[0] = socket.inode;
    let turn = state.direction != direction as u8;
    if turn {
        state.direction = direction as u8;
        state.captured[direction] = 0;
    }
    let moved = if result > 0 { result as u64 } else { 0 };
    record.capture = ring::Capture {
        base: segments.base,
        segment: segments.length,
        vectors: segments.vectors,
        vectors_left: segments.count,
        left: moved,
        allowed: budget(state.role, direction).saturating_sub(state.captured[direction]) as u64,
        position: state.position[direction],
        sent: 0,
        turn: turn as u64,
        owner,
    };
    state.position[direction] += moved;
    capture(record);
    state.captured[direction] += record.capture.sent as u32;
    None
}

/// The place in the trace that a call carries goes before its first bytes.
#[inline(always)]
fn told_of_call(record: &mut Scratch, state: &mut Connection, connection: u64) {
    if state.call.state == CALL_CARRIES {
        record.header.flags |= DATA_CARRIES;
        // SAFETY: within the payload, which is aligned as the owner before it is.
        unsafe { record.payload.as_mut_ptr().add(OWNER_BYTES).cast::<CarriedBody>().write(state.call.place) };
    } else if state.call.state == CALL_WANTED {
        // It came by no program when it was sent.
        count(Counter::CallsUnreachable, 1);
        unreached(connection);
    }
    state.call.state = CALL_NONE;
}

/// Has user space see to it that the next call on this connection comes by.
#[inline(always)]
fn unreached(connection: u64) {
    if let Some(descriptor) = calling_first()
        && let Some(mut slot) = reserve()
    {
        slot.write(Record { header: header(kind::UNREACHED, 0), body: UnreachedBody { connection, descriptor } });
        submit(slot);
    }
}

#[inline(always)]
fn flags(socket: &Socket, state: &Connection, direction: usize, result: i64) -> u16 {
    let mut flags = 0;
    if direction == OUTGOING {
        flags |= DATA_OUTGOING;
    } else if state.role != ROLE_CLIENT && socket.polled() {
        flags |= DATA_POLLED;
    }
    if result == 0 {
        flags |= DATA_END;
    } else if result < 0 {
        flags |= DATA_ERROR;
    }
    flags
}

/// Bytes that may be captured in a turn of this direction.
#[inline(always)]
pub fn budget(role: u8, direction: usize) -> u32 {
    let answering = (role == ROLE_SERVER && direction == OUTGOING) || (role == ROLE_CLIENT && direction == INCOMING);
    if answering { RESPONSE_BUDGET } else { REQUEST_BUDGET }
}

/// Sends what the budget allows of a call, chunk by chunk, then its tail.
#[inline(always)]
fn capture(record: &mut Scratch) {
    for _ in 0..STEPS_PER_CALL {
        if record.capture.left == 0 || record.capture.allowed == 0 {
            break;
        }
        if record.capture.segment == 0 {
            if !next_vector(&mut record.capture) {
                break;
            }
        } else {
            next_chunk(record);
        }
    }
    if record.capture.left > 0 || record.capture.sent == 0 {
        tail(record);
    }
}

/// Takes the next `iovec`; false when there is none.
#[inline(always)]
fn next_vector(capture: &mut ring::Capture) -> bool {
    if capture.vectors_left == 0 {
        return false;
    }
    let Some([base, length]) = read_user::<[u64; 2]>(capture.vectors) else {
        count(Counter::ReadFaults, 1);
        return false;
    };
    capture.vectors += 16;
    capture.vectors_left -= 1;
    capture.base = base;
    capture.segment = length;
    true
}

/// Sends the next chunk of the current segment.
#[inline(always)]
fn next_chunk(record: &mut Scratch) {
    let capture = &record.capture;
    let want = capture.left.min(capture.segment).min(capture.allowed).min(CHUNK_BYTES as u64);
    let base = capture.base;
    emit(record, base, want as u32);
    let capture = &mut record.capture;
    capture.position += want;
    capture.base += want;
    capture.segment = capture.segment.saturating_sub(want);
    capture.left = capture.left.saturating_sub(want);
    capture.allowed = capture.allowed.saturating_sub(want);
    capture.sent += want;
}

/// The end of a call whose bytes were not all captured: its last bytes when they are at hand, else only how far it came.
#[inline(always)]
fn tail(record: &mut Scratch) {
    let capture = &mut record.capture;
    let left = capture.left;
    count(Counter::BytesOverBudget, left);
    if capture.allowed > 0 && capture.vectors_left > 0 {
        count(Counter::VectorsTruncated, capture.vectors_left);
    }
    let want = if capture.segment >= left { left.min(TAIL_BYTES as u64) } else { 0 };
    let skipped = left.saturating_sub(want);
    capture.position += skipped;
    let base = capture.base + skipped;
    emit(record, base, want as u32);
}

/// Writes one record with `length` bytes of user memory at `address`. Not inlined, to be in each program once.
#[inline(never)]
fn emit(record: &mut Scratch, address: u64, length: u32) -> u32 {
    let mut length = length as usize;
    if length > CHUNK_BYTES {
        return 0;
    }
    record.body[1] = record.capture.position;
    let ahead = match record.capture.owner {
        0 => 0,
        _ if record.header.flags & DATA_CARRIES != 0 => OWNER_BYTES + CARRIED_BYTES,
        _ => OWNER_BYTES,
    };
    if ahead > 0 {
        // SAFETY: the payload is larger, and it is aligned: all before it is made of eight bytes.
        unsafe { record.payload.as_mut_ptr().cast::<u64>().write_volatile(record.capture.owner) };
    }
    if length > 0 {
        // SAFETY: `ahead` and `length` together are at most the payload's size.
        let read = unsafe {
            read_user_bytes(record.payload.as_mut_ptr().add(ahead).cast(), length as u32, address as *const _)
        };
        if read != 0 {
            count(Counter::ReadFaults, 1);
            record.body[1] += length as u64;
            length = 0;
        }
    }
    record.header.len = length as u32;
    let wake = lazier_wake(record);
    // SAFETY: header, body and `ahead + length` bytes of payload, all within the record.
    let bytes = unsafe {
        core::slice::from_raw_parts((&raw const *record).cast::<u8>(), size_of::<EventHeader>() + 16 + ahead + length)
    };
    if !ring::send(bytes, wake) && record.capture.turn == 1 {
        count(Counter::TurnsLost, 1);
    }
    record.capture.turn = 0;
    record.header.flags &= !DATA_CARRIES;
    0
}

/// `fd, buffer, length, …`
#[inline(always)]
fn plain(ctx: &TracePointContext, direction: usize) -> Option<()> {
    let result = watched_result(ctx)?;
    let call = call_arguments(ctx)?;
    if call.third == 0 {
        // Nothing was asked for, so nothing is not the end.
        return None;
    }
    transfer(call.first, direction, result, Segments::buffer(call.second, result as u64))
}

/// `fd, iovecs, count, …`
#[inline(always)]
fn vectored(ctx: &TracePointContext, direction: usize) -> Option<()> {
    let result = watched_result(ctx)?;
    let call = call_arguments(ctx)?;
    transfer(call.first, direction, result, Segments::vectors(call.second, call.third))
}

/// `fd, msghdr, flags`
#[inline(always)]
fn message(ctx: &TracePointContext, direction: usize) -> Option<()> {
    let result = watched_result(ctx)?;
    let call = call_arguments(ctx)?;
    if call.third & (MSG_PEEK | MSG_OOB) != 0 {
        return None;
    }
    transfer(call.first, direction, result, Segments::message(call.second))
}

/// `fd, mmsghdrs, count, …`: returns the number of messages; each says how many bytes it moved after its `msghdr`.
#[inline(always)]
fn messages(ctx: &TracePointContext, direction: usize) -> Option<()> {
    let result = watched_result(ctx)?;
    let call = call_arguments(ctx)?;
    if result < 0 {
        return transfer(call.first, direction, result, Segments::hidden());
    }
    for index in 0..MESSAGES as u64 {
        if index as i64 >= result {
            return None;
        }
        let message = call.second + index * 64;
        let moved: u32 = read_user(message + 56)?;
        transfer(call.first, direction, moved as i64, Segments::message(message));
    }
    if result == MESSAGES as i64 {
        return None;
    }
    count(Counter::VectorsTruncated, (result - MESSAGES as i64) as u64);
    // The sum is kept in the scratch record, where the verifier knows nothing of it: in a register it would have other
    // bounds after each turn of the loop, and everything behind the loop would be walked once for each.
    let hidden = &raw mut scratch()?.capture.left;
    // SAFETY: this CPU's own record; `transfer` fills it in anew.
    unsafe { hidden.write_volatile(0) };
    for index in MESSAGES as u64..MESSAGES_MEASURED {
        if index as i64 >= result {
            break;
        }
        let moved: u32 = read_user(call.second + index * 64 + 56)?;
        // SAFETY: as above.
        unsafe { hidden.write_volatile(hidden.read_volatile() + moved as u64) };
    }
    // SAFETY: as above.
    let hidden = unsafe { hidden.read_volatile() };
    transfer(call.first, direction, hidden as i64, Segments::hidden())
}

#[tracepoint]
pub fn exit_read(ctx: TracePointContext) -> u32 {
    plain(&ctx, INCOMING);
    0
}

#[tracepoint]
pub fn exit_readv(ctx: TracePointContext) -> u32 {
    vectored(&ctx, INCOMING);
    0
}

#[tracepoint]
pub fn exit_recvfrom(ctx: TracePointContext) -> u32 {
    received(&ctx);
    0
}

/// `fd, buffer, length, flags, …`
#[inline(always)]
fn received(ctx: &TracePointContext) -> Option<()> {
    let result = watched_result(ctx)?;
    let call = call_arguments(ctx)?;
    if call.fourth & (MSG_PEEK | MSG_OOB) != 0 || call.third == 0 {
        return None;
    }
    transfer(call.first, INCOMING, result, Segments::buffer(call.second, result as u64))
}

#[tracepoint]
pub fn exit_recvmsg(ctx: TracePointContext) -> u32 {
    message(&ctx, INCOMING);
    0
}

#[tracepoint]
pub fn exit_recvmmsg(ctx: TracePointContext) -> u32 {
    messages(&ctx, INCOMING);
    0
}

#[tracepoint]
pub fn exit_write(ctx: TracePointContext) -> u32 {
    plain(&ctx, OUTGOING);
    0
}

#[tracepoint]
pub fn exit_writev(ctx: TracePointContext) -> u32 {
    vectored(&ctx, OUTGOING);
    0
}

#[tracepoint]
pub fn exit_sendto(ctx: TracePointContext) -> u32 {
    plain(&ctx, OUTGOING);
    0
}

#[tracepoint]
pub fn exit_sendmsg(ctx: TracePointContext) -> u32 {
    message(&ctx, OUTGOING);
    0
}

#[tracepoint]
pub fn exit_sendmmsg(ctx: TracePointContext) -> u32 {
    messages(&ctx, OUTGOING);
    0
}

/// `sendfile(out, in, …)`: the bytes come from a file and never lie in user memory.
#[tracepoint]
pub fn exit_sendfile64(ctx: TracePointContext) -> u32 {
    let _ = sent_file(&ctx);
    0
}

#[inline(always)]
fn sent_file(ctx: &TracePointContext) -> Option<()> {
    let result = watched_result(ctx)?;
    let call = call_arguments(ctx)?;
    transfer(call.first, OUTGOING, result, Segments::hidden())
}

/// `splice(in, …, out, …)`: one end is a pipe, the other may be a socket.
#[tracepoint]
pub fn exit_splice(ctx: TracePointContext) -> u32 {
    let _ = spliced(&ctx);
    0
}

#[inline(always)]
fn spliced(ctx: &TracePointContext) -> Option<()> {
    let result = watched_result(ctx)?;
    let call = call_arguments(ctx)?;
    transfer(call.first, INCOMING, result, Segments::hidden());
    transfer(call.third, OUTGOING, result, Segments::hidden())
}
