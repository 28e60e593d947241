//! The place in the trace goes along with calls to the next service: header lines are put into HTTP/1 requests that
//! selected processes send in the clear, between the system call and the socket.
//!
//! [`join`] enters the connections they open into a map of sockets; the sends on these come by [`carry`], which writes
//! into the call for which a run time has just said whose it is ([`wanted`]), and lets everything else pass as it is.

mod carry;
mod head;
mod join;
mod lines;

use apm_common::{
    counter::Counter,
    event::{CARRIED_SAMPLED, CarriedBody},
};
use aya_ebpf::helpers::{bpf_get_prandom_u32, generated::bpf_skc_to_tcp_sock};
pub use carry::Work;
pub use join::connecting;
pub use lines::Lines;

use crate::{
    maps::{CALL_WANTED, Call, GoTrace, PROPAGATION},
    ring::count,
    socket::{Socket, socket_of_sock},
};

/// Is anything written into calls in this way?
#[inline(always)]
pub fn is_on(way: u32) -> bool {
    // SAFETY: map values live until the program ends (RCU).
    PROPAGATION.get_ptr(0).is_some_and(|propagation| unsafe { (*propagation).ways } & way != 0)
}

/// The call that is about to begin on a connection, as part of this trace.
#[inline(always)]
pub fn wanted(GoTrace { id, sampled, begins }: GoTrace) -> Call {
    if id == [0; 2] {
        count(Counter::CallsTraceUnknown, 1);
        return Call::NONE;
    }
    // SAFETY: no preconditions.
    let (high, low) = unsafe { (bpf_get_prandom_u32() as u64, bpf_get_prandom_u32() as u64) };
    // Not zero.
    let span = high << 32 | low | 1;
    let flags = if sampled != 0 { CARRIED_SAMPLED } else { 0 };
    Call { place: CarriedBody { trace: id, span, flags }, state: CALL_WANTED, begins }
}

/// The socket that a program of this kind was given.
#[inline(always)]
fn socket_of<T>(sock: *mut T) -> Option<(usize, Socket)> {
    if sock.is_null() {
        return None;
    }
    // SAFETY: the helper checks what it is given. It tells the verifier what it points to.
    let sock = unsafe { bpf_skc_to_tcp_sock(sock.cast()) } as usize;
    if sock == 0 {
        return None;
    }
    Some((sock, socket_of_sock(sock)?))
}
