//! From a descriptor to the socket behind it, and a connection's first event.

use core::mem::MaybeUninit;

use apm_common::{
    counter::Counter,
    event::{ConnectionBody, OPEN_ADOPTED, ROLE_UNKNOWN, SEALED, kind},
    limits::UNIX_PATH_BYTES,
    settings::ABSENT,
};
use aya_ebpf::helpers::{
    bpf_get_current_task,
    generated::{bpf_get_current_task_btf, bpf_probe_read_kernel as read_kernel_bytes},
};

use crate::{
    maps::{CONNECTIONS, Call, Connection, IGNORED, NEITHER, WATCHED},
    ring::{Record, count, header, lazy_wake, reserve, submit_waking, zeroed},
    settings::{load_kernel, offset, read_kernel, setting},
};

/// `S_IFMT` and `S_IFSOCK` of `stat.h`.
const FILE_TYPE: u16 = 0o170_000;
const SOCKET_TYPE: u16 = 0o140_000;

/// `open(2)` flag, the same on x86-64 and arm64.
const O_NONBLOCK: u32 = 0o4000;

pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;
/// `IPPROTO_MPTCP`; the socket reads like a TCP socket.
const IPPROTO_MPTCP: u16 = 262;

/// An open file that is a socket.
#[derive(Clone, Copy)]
pub struct Socket {
    /// `struct file`
    pub file: usize,
    /// Its inode number.
    pub inode: u64,
    /// The verifier knows from BTF what `file` points to.
    typed: bool,
}

/// The socket behind a descriptor of the current task; `None` when it is none.
#[inline(always)]
pub fn socket(fd: u64) -> Option<Socket> {
    let (size, array) = descriptor_table()?;
    let fd = fd as u32;
    if fd >= size {
        return None;
    }
    let file: usize = read_kernel(array + fd as usize * 8, 0)?;
    if file == 0 {
        return None;
    }
    socket_of_file(file)
}

/// Size and address of the current task's array of open files.
#[inline(always)]
fn descriptor_table() -> Option<(u32, usize)> {
    if setting!(typed) == 1 {
        // SAFETY: no preconditions.
        let task = unsafe { bpf_get_current_task_btf() } as usize;
        let files: usize = load_kernel(task, offset!(task_files));
        let table: usize = load_kernel(files, offset!(files_fdt));
        return Some((load_kernel(table, offset!(fdt_max_fds)), load_kernel(table, offset!(fdt_fd))));
    }
    // SAFETY: no preconditions.
    let task = unsafe { bpf_get_current_task() } as usize;
    let files: usize = read_kernel(task, offset!(task_files))?;
    let table: usize = read_kernel(files, offset!(files_fdt))?;
    Some((read_kernel(table, offset!(fdt_max_fds))?, read_kernel(table, offset!(fdt_fd))?))
}

/// The socket a `struct file` is; `None` when it is none.
#[inline(always)]
pub fn socket_of_file(file: usize) -> Option<Socket> {
    let inode: usize = read_kernel(file, offset!(file_inode))?;
    let mode: u16 = read_kernel(inode, offset!(inode_mode))?;
    if mode & FILE_TYPE != SOCKET_TYPE {
        return None;
    }
    Some(Socket { file, inode: read_kernel(inode, offset!(inode_ino))?, typed: false })
}

/// The socket that owns a `struct sock` whose type the verifier knows; `None` when it is one of the kernel's own (those
/// of NFS, for instance, are used by whoever reads the file).
#[inline(always)]
pub fn socket_of_sock(sock: usize) -> Option<Socket> {
    if load_kernel::<u8>(sock, offset!(sock_kernel)) as u32 & offset!(sock_kernel_bit) != 0 {
        return None;
    }
    let owner: usize = load_kernel(sock, offset!(sock_socket));
    let file: usize = load_kernel(owner, offset!(socket_file));
    if file == 0 {
        return None;
    }
    let inode: usize = load_kernel(file, offset!(file_inode));
    Some(Socket { file, inode: load_kernel(inode, offset!(inode_ino)), typed: true })
}

impl Socket {
    /// What is said over TLS on it, which is a connection of its own.
    #[inline(always)]
    pub fn sealed(&self) -> Self {
        Self { inode: self.inode | SEALED, ..*self }
    }

    /// `struct sock`
    #[inline(always)]
    pub fn sock(&self) -> Option<usize> {
        let socket: usize = read_kernel(self.file, offset!(file_private_data))?;
        read_kernel(socket, offset!(socket_sk))
    }

    /// May an event loop serve it: is it registered with an epoll instance (`file.f_ep`), or does it not block
    /// (`file.f_flags`)? Yes where the kernel cannot tell.
    #[inline(always)]
    pub fn polled(&self) -> bool {
        if self.typed && offset!(file_ep) != ABSENT {
            return load_kernel::<usize>(self.file, offset!(file_ep)) != 0
                || load_kernel::<u32>(self.file, offset!(file_flags)) & O_NONBLOCK != 0;
        }
        offset!(file_ep) == ABSENT
            || read_kernel::<usize>(self.file, offset!(file_ep)).is_none_or(|list| list != 0)
            || read_kernel::<u32>(self.file, offset!(file_flags)).is_none_or(|flags| flags & O_NONBLOCK != 0)
    }

    /// Is the descriptor about to be closed the last one (`file.f_ref` or `f_count`)?
    #[inline(always)]
    pub fn last_reference(&self) -> bool {
        read_kernel::<u64>(self.file, offset!(file_ref))
            .is_some_and(|references| references == offset!(file_ref_one) as u64)
    }
}

/// Is it a TCP or unix stream socket?
#[inline(always)]
pub fn is_stream(sock: usize) -> bool {
    let kind: u16 = read_kernel(sock, offset!(sock_type)).unwrap_or(0);
    if kind != SOCK_STREAM {
        return false;
    }
    let family: u16 = read_kernel(sock, offset!(sock_family)).unwrap_or(0);
    if family == AF_UNIX {
        return true;
    }
    let protocol: u16 = read_kernel(sock, offset!(sock_protocol)).unwrap_or(0);
    (family == AF_INET || family == AF_INET6) && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP)
}

/// Is it a unix socket?
#[inline(always)]
pub fn is_unix(sock: usize) -> bool {
    read_kernel::<u16>(sock, offset!(sock_family)) == Some(AF_UNIX)
}

/// The connection's state, made and announced when this is the first we see of it.
#[inline(always)]
pub fn connection(socket: &Socket) -> Option<&'static mut Connection> {
    if let Some(known) = known(socket) {
        return Some(known);
    }
    open(socket, ROLE_UNKNOWN, 0, OPEN_ADOPTED);
    known(socket)
}

/// The connection's state, if it was seen before.
#[inline(always)]
pub fn known(socket: &Socket) -> Option<&'static mut Connection> {
    // SAFETY: map values live until the program ends (RCU); racing writers of one connection only blur budgets.
    CONNECTIONS.get_ptr_mut(socket.inode).map(|known| unsafe { &mut *known })
}

/// Enters a socket into the map and announces it, unless it is not a stream socket. Its record is put together in the ring
/// buffer: before Linux 6.13 a program and what it calls have 512 bytes of stack together.
#[inline(never)]
pub fn open(socket: &Socket, role: u8, started: u64, flags: u16) -> u32 {
    let Some(sock) = socket.sock() else {
        count(Counter::KernelReadFaults, 1);
        return 0;
    };
    let stream = is_stream(sock);
    let state = Connection {
        position: [0; 2],
        captured: [0; 2],
        role,
        mode: if stream { WATCHED } else { IGNORED },
        direction: NEITHER,
        reserved: 0,
        reserved2: 0,
        owner: 0,
        call: Call::NONE,
    };
    if CONNECTIONS.insert(socket.inode, state, 0).is_err() {
        count(Counter::ConnectionsFull, 1);
        return 0;
    }
    if stream && let Some(mut slot) = reserve() {
        let record = connection_record(&mut slot, kind::OPEN, socket.inode, role);
        record.header.flags = flags;
        record.body.started = started;
        describe(sock, &mut record.body);
        submit_waking(slot, lazy_wake());
    }
    0
}

/// A record about a connection, as yet without addresses.
#[inline(always)]
pub fn connection_record(
    slot: &mut MaybeUninit<Record<ConnectionBody>>,
    kind: u16,
    inode: u64,
    role: u8,
) -> &mut Record<ConnectionBody> {
    let record = zeroed(slot);
    record.header = header(kind, 0);
    record.body.connection = inode;
    record.body.role = role;
    record
}

/// Addresses of a socket, read one by one where they are to lie.
#[inline(always)]
pub fn describe(sock: usize, body: &mut ConnectionBody) {
    body.family = read_kernel(sock, offset!(sock_family)).unwrap_or(0);
    if body.family == AF_UNIX {
        return describe_unix(sock, body);
    }
    body.local_port = read_kernel(sock, offset!(sock_num)).unwrap_or(0);
    body.remote_port = u16::from_be(read_kernel(sock, offset!(sock_dport)).unwrap_or(0));
    let (local, remote, bytes) = match body.family {
        AF_INET6 => (offset!(sock_v6_saddr), offset!(sock_v6_daddr), 16),
        _ => (offset!(sock_saddr), offset!(sock_daddr), 4),
    };
    read_address(sock, local, bytes, &mut body.local);
    read_address(sock, remote, bytes, &mut body.remote);
}

#[inline(always)]
fn read_address(sock: usize, offset: u32, bytes: u32, to: &mut [u8; 16]) {
    if offset != ABSENT && bytes as usize <= to.len() {
        let from = sock + offset as usize;
        // SAFETY: there is room for `bytes`; on a fault the helper writes zeros.
        let _ = unsafe { read_kernel_bytes(to.as_mut_ptr().cast(), bytes, from as *const _) };
    }
}

/// The path of a unix connection is that of its listening end: an accepted socket has the listener's own address, a
/// connecting one usually has none and its peer has it.
#[inline(always)]
fn describe_unix(sock: usize, body: &mut ConnectionBody) {
    let own: usize = read_kernel(sock, offset!(unix_addr)).unwrap_or(0);
    if own != 0 {
        read_path(own, body);
        // For user space: a bound end is the listening one, unless it connected.
        body.local_port = 1;
        return;
    }
    let peer: usize = read_kernel(sock, offset!(unix_peer)).unwrap_or(0);
    if peer == 0 {
        return;
    }
    let address: usize = read_kernel(peer, offset!(unix_addr)).unwrap_or(0);
    if address != 0 {
        read_path(address, body);
        body.remote_port = 1;
    }
}

/// Copies `unix_address.name`, which starts with the two bytes of the family.
#[inline(always)]
fn read_path(address: usize, body: &mut ConnectionBody) {
    let length: u32 = read_kernel(address, offset!(unix_address_len)).unwrap_or(0);
    if length <= 2 {
        return;
    }
    let mut length = length - 2;
    if length > UNIX_PATH_BYTES as u32 {
        length = UNIX_PATH_BYTES as u32;
    }
    let name = address + offset!(unix_address_name) as usize + 2;
    // SAFETY: `length` is at most the size of `path`.
    let read = unsafe { read_kernel_bytes(body.path.as_mut_ptr().cast(), length, name as *const _) };
    if read == 0 {
        body.path_len = length as u8;
    }
}
