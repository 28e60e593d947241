//! What is hooked, when it fires and what it costs, for people.
//!
//! Prices are orders of magnitude, measured on a nested virtual machine (Linux 6.18); bare metal is cheaper.

/// A group of programs that fire for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Hook {
    /// Where the programs sit.
    pub place: &'static str,
    /// When they fire.
    pub when: &'static str,
    /// Price each time, in a watched process.
    pub price: &'static str,
}

/// The hooks of every process on the base every kernel has: tracepoints.
pub const HOOKS: &[Hook] = &[
    Hook {
        place: "system calls: read, readv, recvfrom, recvmsg, recvmmsg",
        when: "a watched process reads",
        price: "about 0.5 µs; on a socket 1 µs more, and 0.1–0.4 µs for the bytes",
    },
    Hook {
        place: "system calls: write, writev, sendto, sendmsg, sendmmsg, sendfile, splice",
        when: "a watched process writes",
        price: "about 0.5 µs; on a socket 1 µs more, and 0.1–0.4 µs for the bytes",
    },
    Hook {
        place: "system calls: connect, accept, accept4, close, shutdown, dup, dup2, dup3",
        when: "a watched process opens or closes a connection",
        price: "about 1 µs",
    },
    Hook { place: "scheduler: exec, fork, exit", when: "any process starts or ends", price: "about 0.5 µs" },
];

/// What the hooks cost those who are not watched.
pub const TAX: &str =
    "system calls of processes that are not watched: about 0.5 µs for those hooked, 0.04 µs for all others";
