//! Where the running kernel keeps what the programs read.

use apm_common::settings::{ABSENT, Offsets, Settings};

use super::{
    Admission, KernelFailure,
    btf::{Btf, KIND_FUNCTION, KIND_TYPEDEF},
};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Types of the tracepoints that say how many bytes passed a socket.
const LENGTHS: [&str; 2] = ["btf_trace_sock_send_length", "btf_trace_sock_recv_length"];

/// Function of the iterator over all tasks (Linux 5.8).
const TASKS: &str = "bpf_iter_task";

/// `THREAD_SIZE` of x86-64 without KASAN (arch/x86/include/asm/page_64_types.h). Not in BTF; the self-test shows it right.
const STACK_BYTES: u32 = 16 * 1024;

/// `TOP_OF_KERNEL_STACK_PADDING` of x86-64 kernels (arch/x86/include/asm/thread_info.h): none, or 16 when built for FRED.
/// BTF does not tell, so the self-test tries.
const STACK_PADDINGS: [u32; 2] = [0, 16];

/// What the running kernel tells of itself.
pub struct Layout {
    settings: Settings,
    /// BTF with the numbers of the tracepoints of [`Hook::Typed`](super::Hook::Typed), if the kernel has them (6.3).
    tracepoints: Option<Vec<u8>>,
    /// BTF with the number of the iterator over all tasks.
    tasks: Option<Vec<u8>>,
}

/// A way in which the programs may find what they read.
#[derive(Clone, Copy)]
pub struct Variant<'a> {
    /// For the programs.
    pub settings: Settings,
    /// BTF with the numbers of the tracepoints that say how many bytes passed; `None` where system calls are to tell.
    pub tracepoints: Option<&'a [u8]>,
}

impl Layout {
    /// Of the running kernel.
    ///
    /// # Errors
    /// When there is no BTF, or a member is missing that the programs cannot do without.
    pub fn find(admission: Admission) -> Result<Self, KernelFailure> {
        let bytes = std::fs::read(VMLINUX).map_err(|source| KernelFailure::NoBtf { path: VMLINUX.into(), source })?;
        let btf = Btf::parse(bytes)?;
        let settings = settings(admission, offsets(&btf)?);
        let tracepoints = btf.bit("sock", "sk_kern_sock").and_then(|_| btf.only(KIND_TYPEDEF, &LENGTHS));
        Ok(Self { settings, tracepoints, tasks: btf.only(KIND_FUNCTION, &[TASKS]) })
    }

    /// BTF with the number of the iterator over all tasks, for aya.
    pub fn tasks(&self) -> Option<Vec<u8>> {
        self.tasks.clone()
    }

    /// The ways to try, best first; the self-test says which works here. Typed loads need a kernel from 5.15 on; else
    /// registers are looked for on the stack.
    pub fn variants(&self) -> impl Iterator<Item = Variant<'_>> {
        let typed = Settings { typed: 1, ..self.settings };
        let traced = self.tracepoints.as_deref().map(|bytes| Variant { settings: typed, tracepoints: Some(bytes) });
        let untyped = STACK_PADDINGS.map(|stack_padding| Settings {
            offsets: Offsets { stack_padding, ..self.settings.offsets },
            ..self.settings
        });
        let by_calls = std::iter::once(typed).chain(untyped).map(|settings| Variant { settings, tracepoints: None });
        traced.into_iter().chain(by_calls)
    }
}

fn settings(admission: Admission, offsets: Offsets) -> Settings {
    Settings {
        offsets,
        watch_exec: admission.exec.into(),
        watch_listen: admission.listen.into(),
        typed: 0,
        agent_pid: std::process::id(),
    }
}

fn offsets(btf: &Btf) -> Result<Offsets, KernelFailure> {
    let need = |structure: &str, member: &str| {
        btf.offset(structure, member)
            .ok_or_else(|| KernelFailure::MissingMember { member: format!("{structure}.{member}") })
    };
    // `file_ref_t` since 6.13; its zero is one reference.
    let (file_ref, file_ref_one) = match btf.offset("file", "f_ref") {
        Some(offset) => (offset, 0),
        None => (need("file", "f_count")?, 1),
    };
    let (sock_kernel, sock_kernel_bit) = btf.bit("sock", "sk_kern_sock").unwrap_or((ABSENT, 0));
    Ok(Offsets {
        task_files: need("task_struct", "files")?,
        task_pid: need("task_struct", "pid")?,
        task_tgid: need("task_struct", "tgid")?,
        task_signal: need("task_struct", "signal")?,
        task_exit_code: need("task_struct", "exit_code")?,
        task_start_boottime: need("task_struct", "start_boottime")
            .or_else(|_| need("task_struct", "real_start_time"))?,
        task_group_leader: need("task_struct", "group_leader")?,
        task_stack: need("task_struct", "stack")?,
        task_sighand: need("task_struct", "sighand")?,
        sighand_action: need("sighand_struct", "action")?,
        sigaction_bytes: btf
            .size("k_sigaction")
            .ok_or_else(|| KernelFailure::MissingMember { member: "k_sigaction".into() })?,
        signal_live: need("signal_struct", "live")?,
        files_fdt: need("files_struct", "fdt")?,
        fdt_max_fds: need("fdtable", "max_fds")?,
        fdt_fd: need("fdtable", "fd")?,
        file_inode: need("file", "f_inode")?,
        file_private_data: need("file", "private_data")?,
        // Before 5.11 a list head, never null: of no use.
        file_ep: btf.offset("file", "f_ep").unwrap_or(ABSENT),
        file_flags: need("file", "f_flags")?,
        file_ref,
        file_ref_one,
        inode_mode: need("inode", "i_mode")?,
        inode_ino: need("inode", "i_ino")?,
        socket_sk: need("socket", "sk")?,
        socket_file: need("socket", "file")?,
        sock_socket: need("sock", "sk_socket")?,
        sock_kernel,
        sock_kernel_bit,
        sock_type: need("sock", "sk_type")?,
        sock_protocol: need("sock", "sk_protocol")?,
        sock_err: need("sock", "sk_err")?,
        sock_family: need("sock_common", "skc_family")?,
        sock_state: need("sock_common", "skc_state")?,
        sock_daddr: need("sock_common", "skc_daddr")?,
        sock_saddr: need("sock_common", "skc_rcv_saddr")?,
        sock_dport: need("sock_common", "skc_dport")?,
        sock_num: need("sock_common", "skc_num")?,
        sock_v6_daddr: need("sock_common", "skc_v6_daddr")?,
        sock_v6_saddr: need("sock_common", "skc_v6_rcv_saddr")?,
        sock_wmem_queued: need("sock", "sk_wmem_queued")?,
        sock_sndbuf: need("sock", "sk_sndbuf")?,
        unix_addr: need("unix_sock", "addr")?,
        unix_peer: need("unix_sock", "peer")?,
        unix_address_len: need("unix_address", "len")?,
        unix_address_name: need("unix_address", "name")?,
        binprm_filename: need("linux_binprm", "filename")?,
        stack_padding: 0,
        stack_bytes: STACK_BYTES,
    })
}
