//! The kernel programs and where each is attached: one line each.

/// What a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A tracepoint under tracefs: category and name.
    Tracepoint(&'static str, &'static str),
    /// A raw tracepoint.
    Raw(&'static str),
    /// A raw tracepoint whose arguments' types the verifier knows.
    Typed(&'static str),
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hook::Tracepoint(category, name) => write!(f, "{category}/{name}"),
            Hook::Raw(name) | Hook::Typed(name) => write!(f, "raw tracepoint {name}"),
        }
    }
}

/// One kernel program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name in the BPF object.
    pub name: &'static str,
    /// Where it runs.
    pub hook: Hook,
    /// What it is for.
    pub purpose: &'static str,
    /// On which kernels.
    pub when: When,
}

/// Which kernels need a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All.
    Always,
    /// Those that say how many bytes passed a socket ([`Hook::Typed`]).
    Lengths,
    /// Those that do not: system calls tell instead.
    NoLengths,
}

const fn syscall(name: &'static str, tracepoint: &'static str, purpose: &'static str) -> Program {
    Program { name, hook: Hook::Tracepoint("syscalls", tracepoint), purpose, when: When::Always }
}

const fn transfer(name: &'static str, tracepoint: &'static str, purpose: &'static str) -> Program {
    Program { when: When::NoLengths, ..syscall(name, tracepoint, purpose) }
}

const fn raw(name: &'static str, tracepoint: &'static str, purpose: &'static str) -> Program {
    Program { name, hook: Hook::Raw(tracepoint), purpose, when: When::Always }
}

const fn length(name: &'static str, tracepoint: &'static str, purpose: &'static str) -> Program {
    Program { name, hook: Hook::Typed(tracepoint), purpose, when: When::Lengths }
}

/// The programs for a kernel that says how many bytes passed a socket, or does not; in the order of attachment.
pub fn needed(lengths: bool) -> impl Iterator<Item = &'static Program> {
    let unneeded = if lengths { When::NoLengths } else { When::Lengths };
    PROGRAMS.iter().filter(move |program| program.when != unneeded)
}

/// Every program, in the order of attachment: processes first, so that none is missed, then connections, then bytes.
pub const PROGRAMS: &[Program] = &[
    raw("exit", "sched_process_exit", "a watched process ends"),
    raw("fork", "sched_process_fork", "a watched process has a child"),
    raw("exec", "sched_process_exec", "a program starts"),
    syscall("exit_listen", "sys_exit_listen", "a service begins"),
    raw("set_state", "inet_sock_set_state", "a connection attempt fails later"),
    syscall("enter_connect", "sys_enter_connect", "when a connection attempt began"),
    syscall("exit_connect", "sys_exit_connect", "outgoing connections"),
    syscall("exit_accept", "sys_exit_accept", "incoming connections"),
    syscall("exit_accept4", "sys_exit_accept4", "incoming connections"),
    syscall("enter_close", "sys_enter_close", "connections that end"),
    syscall("enter_close_range", "sys_enter_close_range", "connections that end"),
    syscall("enter_dup2", "sys_enter_dup2", "descriptors replaced"),
    syscall("enter_dup3", "sys_enter_dup3", "descriptors replaced"),
    syscall("exit_shutdown", "sys_exit_shutdown", "directions shut down"),
    length("sock_receive", "sock_recv_length", "bytes in"),
    length("sock_send", "sock_send_length", "bytes out"),
    transfer("exit_read", "sys_exit_read", "bytes in"),
    transfer("exit_readv", "sys_exit_readv", "bytes in"),
    transfer("exit_recvfrom", "sys_exit_recvfrom", "bytes in"),
    transfer("exit_recvmsg", "sys_exit_recvmsg", "bytes in"),
    syscall("exit_recvmmsg", "sys_exit_recvmmsg", "bytes in"),
    transfer("exit_write", "sys_exit_write", "bytes out"),
    transfer("exit_writev", "sys_exit_writev", "bytes out"),
    transfer("exit_sendto", "sys_exit_sendto", "bytes out"),
    transfer("exit_sendmsg", "sys_exit_sendmsg", "bytes out"),
    syscall("exit_sendmmsg", "sys_exit_sendmmsg", "bytes out"),
    syscall("exit_sendfile64", "sys_exit_sendfile64", "bytes out, from files"),
    syscall("exit_splice", "sys_exit_splice", "bytes in and out, through pipes"),
];
