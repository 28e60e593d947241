//! What Go programs say over TLS as clients: the plain text, where `crypto/tls` takes it and where it gives it. It is a
//! connection of its own beside that of the socket ([`SEALED`](apm_common::event::SEALED)), whose bytes are ignored from
//! the handshake on. What servers say is told otherwise (`hidden`).

use apm_common::{
    counter::Counter,
    event::{
        CarriedBody, DATA_CARRIES, DATA_OUTGOING, DATA_OWNED, DataBody, EventHeader, OPEN_ADOPTED, ROLE_CLIENT, kind,
    },
    limits::{CHUNK_BYTES, STEPS_PER_CALL, TAIL_BYTES},
};
use aya_ebpf::{helpers::generated::bpf_probe_read_user as read_user_bytes, macros::uprobe, programs::ProbeContext};

use super::{Hit, bounded, heads, member, of_goroutine};
use crate::{
    maps::{CALL_NONE, CALL_WANTED, CONNECTIONS, Connection, IGNORED, INCOMING, OUTGOING},
    registers::{Register, probed},
    ring::{Record, count, header, lazy_wake, reserve},
    settings::read_user,
    socket::{Socket, connection, known, open},
    transfer::budget,
};

/// Payload of a small record. The ring buffer gives room of sizes known beforehand only, and most statements fit.
const SMALL_BYTES: usize = 512;

/// Where a function keeps its first argument, above its frame's pointer (`abi-internal.md` in Go's sources: space for
/// register arguments is the caller's, above the return address).
const FIRST_ARGUMENT: u64 = 16;

/// A data record whose owner is always written.
#[repr(C)]
struct Said<const N: usize> {
    data: DataBody,
    owner: u64,
    bytes: [u8; N],
}

/// The same of bytes with which a call begins that carries its place in the trace.
#[repr(C)]
struct Carrying {
    data: DataBody,
    owner: u64,
    place: CarriedBody,
    bytes: [u8; CHUNK_BYTES],
}

/// What is told is such a beginning: a bit of `whose`.
const CARRIES: u64 = 1 << 63;

/// The socket on which a `*tls.Conn` speaks, if it is a client's.
#[inline(always)]
pub fn socket(hit: &Hit, conn: u64) -> Option<Socket> {
    if member::<u8>(conn, hit.layout.tls.is_client)? == 0 {
        return None;
    }
    hit.socket(member(conn, hit.layout.tls.inner)?)
}

/// The state of what is said over TLS on a socket, made and announced when this is the first we see of it.
#[inline(always)]
pub fn conversation(socket: &Socket, flags: u16) -> Option<&'static mut Connection> {
    let sealed = socket.sealed();
    if let Some(known) = known(&sealed) {
        return Some(known);
    }
    connection(socket)?.mode = IGNORED;
    open(&sealed, ROLE_CLIENT, 0, flags);
    known(&sealed)
}

/// `(*Conn).clientHandshake(context)`: nothing was said before.
#[uprobe]
pub fn go_tls_begin(ctx: ProbeContext) -> u32 {
    let _ = begin(&ctx);
    0
}

#[inline(always)]
fn begin(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    conversation(&socket(&hit, probed(ctx, Register::Ax))?, 0).map(|_| ())
}

/// Where `(*Conn).Write` calls `(*Conn).writeRecordLocked(type, bytes)`: after the handshake, and in order.
#[uprobe]
pub fn go_tls_write(ctx: ProbeContext) -> u32 {
    let _ = written(&ctx);
    0
}

#[inline(always)]
fn written(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let bytes = [probed(ctx, Register::Cx), probed(ctx, Register::Di)];
    said(&hit, &socket(&hit, probed(ctx, Register::Ax))?, OUTGOING, bytes)
}

/// Where `(*Conn).Read` copies, `memmove(to, from, length)`, what has come: as much as its caller takes.
#[uprobe]
pub fn go_tls_read(ctx: ProbeContext) -> u32 {
    let _ = read(&ctx);
    0
}

#[inline(always)]
fn read(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let [from, length] = [probed(ctx, Register::Bx), probed(ctx, Register::Cx)];
    let conn: u64 = read_user(probed(ctx, Register::Bp) + FIRST_ARGUMENT)?;
    let input: u64 = member(conn, hit.layout.tls.input)?;
    let passed: u64 = member(conn, hit.layout.tls.input_read)?;
    // It is that connection, or nothing is said.
    if input == 0 || input + passed != from {
        return None;
    }
    said(&hit, &socket(&hit, conn)?, INCOMING, [from, length])
}

/// Tells what was said, within the budget of its turn; then its end, as bytes of a socket are told.
#[inline(always)]
fn said(hit: &Hit, socket: &Socket, direction: usize, [address, length]: [u64; 2]) -> Option<()> {
    let state = conversation(socket, OPEN_ADOPTED)?;
    if state.mode == IGNORED || length == 0 {
        return None;
    }
    let id = socket.sealed().inode;
    let owner = match direction {
        OUTGOING => of_goroutine(hit.key(hit.goroutine), id).unwrap_or(state.owner),
        _ => 0,
    };
    let turn = state.direction != direction as u8;
    if turn {
        state.direction = direction as u8;
        state.captured[direction] = 0;
    }
    let position = state.position[direction];
    state.position[direction] = position + length;
    let whose = owner << 1 | direction as u64;
    let carries = if direction == OUTGOING { carried(state) } else { 0 };
    let allowed = budget(ROLE_CLIENT, direction).saturating_sub(state.captured[direction]) as u64;
    let captured = length.min(allowed);
    state.captured[direction] += captured as u32;
    // Nothing is carried from one turn to the next but its number: else the verifier would walk every combination.
    for step in 0..STEPS_PER_CALL {
        let done = (step as usize * CHUNK_BYTES) as u64;
        if done >= captured {
            break;
        }
        let carries = if step == 0 { carries } else { 0 };
        tell(id, position + done, whose | carries, address + done, captured - done);
    }
    if length > captured {
        count(Counter::BytesOverBudget, length - captured);
        let tail = (length - captured).min(TAIL_BYTES as u64);
        let skipped = length - tail;
        tell(id, position + skipped, whose, address + skipped, tail);
    }
    Some(())
}

/// Does a call begin that carries its place in the trace?
#[inline(always)]
fn carried(state: &mut Connection) -> u64 {
    let carries = heads::carries(&state.call);
    if state.call.state == CALL_WANTED {
        // Nobody came by when its head was put together.
        count(Counter::CallsUnreachable, 1);
    }
    state.call.state = CALL_NONE;
    if carries { CARRIES } else { 0 }
}

/// One record of so many bytes, or as many as fit. `whose`: the owner, above the direction. Not inlined, to be in each program once.
#[inline(never)]
fn tell(id: u64, position: u64, whose: u64, address: u64, length: u64) -> u32 {
    let told = match length {
        _ if whose & CARRIES != 0 => record_carrying(id, position, whose & !CARRIES, [address, length]),
        ..=512 => record::<SMALL_BYTES>(id, position, whose, [address, length]),
        _ => record::<CHUNK_BYTES>(id, position, whose, [address, length]),
    };
    told.is_some() as u32
}

#[inline(always)]
fn record<const N: usize>(id: u64, position: u64, whose: u64, [address, length]: [u64; 2]) -> Option<()> {
    let flags = if whose & 1 == OUTGOING as u64 { DATA_OUTGOING } else { 0 };
    let mut slot = reserve::<Said<N>>()?;
    let length = bounded::<N>(length);
    let record: *mut Record<Said<N>> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record, and there is room for `length`. Nobody reads what lies behind that.
    unsafe {
        let body = &raw mut (*record).body;
        let read = read_user_bytes((&raw mut (*body).bytes).cast(), length as u32, address as *const _);
        let lost = if read != 0 { length } else { 0 };
        if lost > 0 {
            count(Counter::ReadFaults, 1);
        }
        let header = EventHeader { len: (length - lost) as u32, ..header(kind::DATA, flags | DATA_OWNED) };
        (&raw mut (*record).header).write(header);
        (&raw mut (*body).data).write(DataBody { connection: id, position: position + lost });
        (&raw mut (*body).owner).write(whose >> 1);
    }
    slot.submit(lazy_wake());
    count(Counter::EventsSent, 1);
    Some(())
}

#[inline(always)]
fn record_carrying(id: u64, position: u64, whose: u64, [address, length]: [u64; 2]) -> Option<()> {
    // SAFETY: map values live until the program ends (RCU).
    let place = unsafe { (*CONNECTIONS.get_ptr(id)?).call.place };
    let mut slot = reserve::<Carrying>()?;
    let length = bounded::<CHUNK_BYTES>(length);
    let record: *mut Record<Carrying> = slot.as_mut_ptr();
    // SAFETY: as above.
    unsafe {
        let body = &raw mut (*record).body;
        let read = read_user_bytes((&raw mut (*body).bytes).cast(), length as u32, address as *const _);
        let lost = if read != 0 { length } else { 0 };
        if lost > 0 {
            count(Counter::ReadFaults, 1);
        }
        let flags = DATA_OUTGOING | DATA_OWNED | DATA_CARRIES;
        (&raw mut (*record).header).write(EventHeader { len: (length - lost) as u32, ..header(kind::DATA, flags) });
        (&raw mut (*body).data).write(DataBody { connection: id, position: position + lost });
        (&raw mut (*body).owner).write(whose >> 1);
        (&raw mut (*body).place).write(place);
    }
    slot.submit(lazy_wake());
    count(Counter::EventsSent, 1);
    Some(())
}
