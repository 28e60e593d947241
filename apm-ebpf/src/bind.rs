//! Where Node's inspector listens while we use it: at a loopback address of its own and any free port, so that several
//! processes can be attached to at once and neighbours that look at the usual port do not find it.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::cgroup_sock_addr, programs::SockAddrContext};

use crate::maps::DIVERSIONS;

/// 127.0.0.1 and 9229 in network byte order: where the inspector listens if nobody says otherwise.
const LOOPBACK: u32 = u32::from_ne_bytes([127, 0, 0, 1]);
const INSPECTOR: u32 = u16::from_ne_bytes(9229u16.to_be_bytes()) as u32;

/// Let the call go on.
const ALLOW: i32 = 1;

#[cgroup_sock_addr(bind4)]
pub fn divert_bind(ctx: SockAddrContext) -> i32 {
    let _ = divert(&ctx);
    ALLOW
}

#[inline(always)]
fn divert(ctx: &SockAddrContext) -> Option<()> {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: map values live until the program ends (RCU).
    let address = unsafe { *DIVERSIONS.get_ptr(pid)? };
    let wanted = ctx.sock_addr;
    // SAFETY: the context is there while the program runs; the verifier knows its members.
    unsafe {
        if (&raw const (*wanted).user_ip4).read_volatile() == LOOPBACK
            && (&raw const (*wanted).user_port).read_volatile() == INSPECTOR
        {
            (&raw mut (*wanted).user_ip4).write_volatile(address);
            (&raw mut (*wanted).user_port).write_volatile(0);
        }
    }
    None
}
