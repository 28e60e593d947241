//! Go programs: who handles which request, and for which request bytes go out.
//!
//! Probes lie on the first instruction behind a function's stack check, where arguments are still in registers. User
//! space says where a binary's structures keep what is read here (`apm_common::go`), and finds the probes' places.

use apm_common::{
    event::{OPEN_ADOPTED, SEALED},
    go::{GoKey, GoLayout},
    settings::ABSENT,
};
use aya_ebpf::{helpers::bpf_get_current_pid_tgid, programs::ProbeContext};

use crate::{
    maps::{Connection, GO_PROCESSES, GOROUTINES, Goroutine},
    registers::{Register, calling_r14, probed},
    settings::read_user,
    socket::{Socket, connection as connection_of, socket},
};

/// Reads a member of a structure in a map, or writes it, with nothing kept in registers.
macro_rules! kept {
    ($structure:ident.$member:ident) => {
        // SAFETY: a member of a reference.
        unsafe { (&raw const $structure.$member).read_volatile() }
    };
    ($structure:ident.$member:ident = $value:expr) => {
        // SAFETY: as above.
        unsafe { (&raw mut $structure.$member).write_volatile($value) }
    };
}

mod call;
mod context;
mod descent;
mod fasthttp;
mod grpc;
mod grpc_call;
mod handle;
mod headers;
mod heads;
mod hidden;
mod http2;
mod panic;
mod route;
mod statement;
mod tls;
mod trace;
mod value;

/// A probe that was hit.
struct Hit {
    pid: u32,
    layout: &'static GoLayout,
    /// Number of the goroutine.
    goroutine: u64,
}

impl Hit {
    /// `None`: the process is none of ours.
    #[inline(always)]
    fn new(ctx: &ProbeContext) -> Option<Self> {
        let (pid, layout) = process()?;
        let goroutine = member(probed(ctx, Register::R14), layout.g_goid)?;
        Some(Self { pid, layout, goroutine })
    }

    #[inline(always)]
    fn key(&self, place: u64) -> GoKey {
        GoKey::new(self.pid, place)
    }

    /// What is known of the goroutine.
    #[inline(always)]
    fn known(&self) -> Option<&'static mut Goroutine> {
        // SAFETY: map values live until the program ends (RCU), and only the goroutine itself writes its own.
        GOROUTINES.get_ptr_mut(self.key(self.goroutine)).map(|known| unsafe { &mut *known })
    }

    /// Nothing more is known of the goroutine.
    #[inline(always)]
    fn forget(&self) {
        let _ = GOROUTINES.remove(self.key(self.goroutine));
    }

    /// What is said on a `net.Conn`: on a plain connection, or over TLS on one.
    #[inline(always)]
    fn conversation(&self, [table, connection]: [u64; 2]) -> Option<&'static mut Connection> {
        if self.is_tls(table) {
            return tls::conversation(&tls::socket(self, connection)?, OPEN_ADOPTED);
        }
        connection_of(&self.socket([table, connection])?)
    }

    /// Is it the table of a `*tls.Conn`?
    #[inline(always)]
    fn is_tls(&self, table: u64) -> bool {
        member(table, ITAB_TYPE).is_some_and(|kind: u64| kind != 0 && kind == self.layout.tls.conn)
    }

    /// The socket behind a `net.Conn` that is a plain TCP or unix connection.
    #[inline(always)]
    fn socket(&self, [table, connection]: [u64; 2]) -> Option<Socket> {
        let kind: u64 = member(table, ITAB_TYPE)?;
        if kind == 0 || (kind != self.layout.tcp_conn && kind != self.layout.unix_conn) {
            return None;
        }
        // Both are a structure whose only member is a pointer to the `netFD`.
        let descriptor: u64 = member(connection, 0)?;
        socket(member(descriptor, self.layout.net_fd_sysfd)?)
    }
}

/// `abi.ITab.Type`
const ITAB_TYPE: u32 = 8;

/// At most `N`, told to the verifier of a value of which the compiler knows nothing: those before Linux 6.6 or so know only
/// of the register that was compared, and the compiler compares another where it can.
#[inline(always)]
fn bounded<const N: usize>(length: u64) -> u64 {
    let length = if length > N as u64 { N as u64 } else { length };
    // SAFETY: a variable.
    let length = unsafe { (&raw const length).read_volatile() };
    if length > N as u64 { 0 } else { length }
}

/// The current process, if it is a Go process with probes.
#[inline(always)]
fn process() -> Option<(u32, &'static GoLayout)> {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: map values live until the program ends (RCU); user space does not change one in place.
    GO_PROCESSES.get_ptr(pid).map(|layout| (pid, unsafe { &*layout }))
}

/// A member of a structure; `None` when the binary has no such member or it cannot be read.
#[inline(always)]
fn member<T>(structure: u64, offset: u32) -> Option<T> {
    if structure == 0 || offset == ABSENT {
        return None;
    }
    read_user(structure + offset as u64)
}

/// Address and length of a text that is a member.
#[inline(always)]
fn text(structure: u64, offset: u32) -> [u64; 2] {
    member(structure, offset).unwrap_or([0; 2])
}

/// For which request the current task sends on a connection it opened, in a system call; 0: not known.
#[inline(always)]
pub fn owner(connection: u64, state: &Connection) -> u64 {
    let Some((pid, layout)) = process() else { return 0 };
    let key = calling_goroutine(layout).map(|goroutine| GoKey::new(pid, goroutine));
    key.and_then(|key| of_goroutine(key, connection)).unwrap_or(state.owner)
}

/// For which request a goroutine sends on a connection. Handshakes and what is said over TLS go out on one.
#[inline(always)]
fn of_goroutine(goroutine: GoKey, connection: u64) -> Option<u64> {
    let connection = connection & !SEALED;
    // SAFETY: as in `Hit::known`.
    let known = unsafe { &mut *GOROUTINES.get_ptr_mut(goroutine)? };
    if known.calls != 0 && known.connection == 0 {
        known.connection = connection;
    }
    if known.calls != 0 && known.connection == connection {
        return Some(known.calls);
    }
    (known.handles != 0).then_some(known.handles)
}

/// The goroutine that makes the current system call. C code that a Go program calls has anything in that register; a
/// goroutine is what its thread says it runs.
#[inline(always)]
fn calling_goroutine(layout: &GoLayout) -> Option<u64> {
    let g = calling_r14()?;
    let thread: u64 = member(g, layout.g_m)?;
    let runs: u64 = member(thread, layout.m_curg)?;
    if runs != g {
        return None;
    }
    member(g, layout.g_goid)
}
