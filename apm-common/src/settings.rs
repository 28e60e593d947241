//! What user space tells the kernel programs before they load.

/// Byte offsets of the kernel structure members the programs read, from the running kernel's BTF.
///
/// An offset of [`ABSENT`] means that the kernel has no such member.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `task_struct.files`
    pub task_files: u32,
    /// `task_struct.pid`
    pub task_pid: u32,
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `task_struct.signal`
    pub task_signal: u32,
    /// `task_struct.exit_code`
    pub task_exit_code: u32,
    /// `task_struct.start_boottime` (`real_start_time` before 5.5)
    pub task_start_boottime: u32,
    /// `task_struct.group_leader`
    pub task_group_leader: u32,
    /// `task_struct.sighand`
    pub task_sighand: u32,
    /// `sighand_struct.action`: an array of `k_sigaction`, one for each signal from 1 on
    pub sighand_action: u32,
    /// Bytes of a `k_sigaction`, which begins with the handler's address
    pub sigaction_bytes: u32,
    /// `signal_struct.live`
    pub signal_live: u32,
    /// `files_struct.fdt`
    pub files_fdt: u32,
    /// `fdtable.max_fds`
    pub fdt_max_fds: u32,
    /// `fdtable.fd`
    pub fdt_fd: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `file.private_data`: the `struct socket` of a socket
    pub file_private_data: u32,
    /// `file.f_ep` (`f_ep_links` before 5.11): not null while the file is registered with an epoll instance
    pub file_ep: u32,
    /// `file.f_flags`
    pub file_flags: u32,
    /// `file.f_ref` (6.13 on: 0 means one reference) or `file.f_count`
    pub file_ref: u32,
    /// Value of the reference count at `file_ref` that means "one holder": 0 for `f_ref`, 1 for `f_count`.
    pub file_ref_one: u32,
    /// `inode.i_mode`
    pub inode_mode: u32,
    /// `inode.i_ino`
    pub inode_ino: u32,
    /// `socket.sk`
    pub socket_sk: u32,
    /// `socket.file`
    pub socket_file: u32,
    /// `sock.sk_socket`
    pub sock_socket: u32,
    /// `sock.sk_kern_sock`: the byte it lies in.
    pub sock_kernel: u32,
    /// The value of its bit in that byte.
    pub sock_kernel_bit: u32,
    /// `sock.sk_type`
    pub sock_type: u32,
    /// `sock.sk_protocol`
    pub sock_protocol: u32,
    /// `sock.sk_err`
    pub sock_err: u32,
    /// `sock_common.skc_family`
    pub sock_family: u32,
    /// `sock_common.skc_state`
    pub sock_state: u32,
    /// `sock_common.skc_daddr`
    pub sock_daddr: u32,
    /// `sock_common.skc_rcv_saddr`
    pub sock_saddr: u32,
    /// `sock_common.skc_dport` (network byte order)
    pub sock_dport: u32,
    /// `sock_common.skc_num` (host byte order)
    pub sock_num: u32,
    /// `sock_common.skc_v6_daddr`
    pub sock_v6_daddr: u32,
    /// `sock_common.skc_v6_rcv_saddr`
    pub sock_v6_saddr: u32,
    /// `sock.sk_wmem_queued`
    pub sock_wmem_queued: u32,
    /// `sock.sk_sndbuf`
    pub sock_sndbuf: u32,
    /// `unix_sock.addr`
    pub unix_addr: u32,
    /// `unix_sock.peer`
    pub unix_peer: u32,
    /// `unix_address.len`
    pub unix_address_len: u32,
    /// `unix_address.name`
    pub unix_address_name: u32,
    /// `linux_binprm.filename`
    pub binprm_filename: u32,
    /// Bytes between the top of a task's kernel stack and the end of its saved registers.
    pub stack_padding: u32,
    /// `task_struct.stack`
    pub task_stack: u32,
    /// Bytes of a kernel stack (`THREAD_SIZE`).
    pub stack_bytes: u32,
}

/// Marks a member the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Read-only settings of the kernel programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where kernel structure members lie.
    pub offsets: Offsets,
    /// 1: every process that calls exec is watched as [`PENDING`](crate::event::PROCESS_PENDING) until user space has decided.
    pub watch_exec: u32,
    /// 1: every process that begins to listen is watched as pending until user space has decided.
    pub watch_listen: u32,
    /// 1: the kernel lets programs load typed memory directly and has `bpf_task_pt_regs` (5.15).
    pub typed: u32,
    /// The agent's own process id: never watched, never reported.
    pub agent_pid: u32,
}

impl Settings {
    /// What the object holds before user space fills it in.
    pub const EMPTY: Settings = Settings {
        offsets: Offsets {
            task_files: 0,
            task_pid: 0,
            task_tgid: 0,
            task_signal: 0,
            task_exit_code: 0,
            task_start_boottime: 0,
            task_group_leader: 0,
            task_sighand: 0,
            sighand_action: 0,
            sigaction_bytes: 0,
            signal_live: 0,
            files_fdt: 0,
            fdt_max_fds: 0,
            fdt_fd: 0,
            file_inode: 0,
            file_private_data: 0,
            file_ep: 0,
            file_flags: 0,
            file_ref: 0,
            file_ref_one: 0,
            inode_mode: 0,
            inode_ino: 0,
            socket_sk: 0,
            socket_file: 0,
            sock_socket: 0,
            sock_kernel: 0,
            sock_kernel_bit: 0,
            sock_type: 0,
            sock_protocol: 0,
            sock_err: 0,
            sock_family: 0,
            sock_state: 0,
            sock_daddr: 0,
            sock_saddr: 0,
            sock_dport: 0,
            sock_num: 0,
            sock_v6_daddr: 0,
            sock_v6_saddr: 0,
            sock_wmem_queued: 0,
            sock_sndbuf: 0,
            unix_addr: 0,
            unix_peer: 0,
            unix_address_len: 0,
            unix_address_name: 0,
            binprm_filename: 0,
            stack_padding: 0,
            task_stack: 0,
            stack_bytes: 0,
        },
        watch_exec: 0,
        watch_listen: 0,
        typed: 0,
        agent_pid: 0,
    };
}
