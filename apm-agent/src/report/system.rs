//! Checks that need only files: privileges, kernel, tracing, memory, outputs. What must be tried is tried by
//! `kernel`.

use std::{
    fs,
    net::{TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Check, Probe};
use crate::{
    command::ExitCode,
    config::Outputs,
    process::{Proc, Status},
};

/// Bits of include/uapi/linux/capability.h.
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const SYS_RESOURCE: u32 = 24;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO` of include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Memory the agent wants at least: its own 60 MB and its kernel maps.
const LEAST_MEMORY: u64 = 96 << 20;

/// The machine, by the files that tell of it.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Probe for System {
    fn checks(&self) -> Vec<Check> {
        let status = self.status();
        vec![
            privileges(&status),
            other_processes(&status),
            limits(&status),
            self.pid_namespace(),
            self.kernel(),
            self.btf(),
            self.tracing(&status),
            self.kprobes(),
            self.lockdown(),
            self.unprivileged(),
            self.cgroups(),
            self.memory(),
        ]
    }
}

fn has(status: &Status, bit: u32) -> bool {
    status.capabilities & (1 << bit) != 0
}

/// These privileges are enough to load and attach programs.
fn may_load(status: &Status) -> bool {
    has(status, SYS_ADMIN) || has(status, BPF) && has(status, PERFMON)
}

fn privileges(status: &Status) -> Check {
    let name = "privileges";
    if may_load(status) {
        let who = if status.user == Some(0) { "root" } else { "not root" };
        return Check::ok(name, format!("{who}, may load BPF programs"));
    }
    let missing: Vec<&str> = [(BPF, "CAP_BPF"), (PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(bit, _)| !has(status, *bit))
        .map(|(_, name)| name)
        .collect();
    Check::fail(
        name,
        ExitCode::Privileges,
        format!("may not load BPF programs: {} missing", missing.join(" and ")),
        "run as root (`sudo apm-agent …`) or give the file `cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep` with `setcap`",
    )
}

fn other_processes(status: &Status) -> Check {
    let name = "other users' processes";
    match has(status, SYS_PTRACE) {
        true => Check::ok(name, "can be looked at (CAP_SYS_PTRACE)"),
        false => {
            Check::warn(name, "cannot be looked at: CAP_SYS_PTRACE is missing", "run as root or add cap_sys_ptrace")
        }
    }
}

fn limits(status: &Status) -> Check {
    let name = "memory lock limit";
    match has(status, SYS_RESOURCE) {
        true => Check::ok(name, "can be raised (CAP_SYS_RESOURCE)"),
        false => Check::ok(name, "cannot be raised (no CAP_SYS_RESOURCE); kernels from 5.11 on do not need it"),
    }
}

impl System {
    /// A machine whose files are under `root`, for tests.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_string())
    }

    fn status(&self) -> Status {
        Status::parse(self.text("proc/self/status").unwrap_or_default().as_bytes())
    }

    fn pid_namespace(&self) -> Check {
        let name = "process ids";
        let own = fs::read_link(self.path("proc/self/ns/pid")).ok();
        match own.as_deref().and_then(Path::to_str) {
            Some(link) if link == format!("pid:[{INITIAL_PID_NAMESPACE}]") => {
                Check::ok(name, "the agent sees the host's")
            }
            Some(_) => Check::fail(
                name,
                ExitCode::Privileges,
                "runs in a pid namespace of its own and cannot see the processes the kernel tells of",
                "start its container with the host's pid namespace (`hostPID: true`, `--pid=host`)",
            ),
            None => Check::warn(name, "cannot tell whether they are the host's", "mount `/proc`"),
        }
    }

    fn kernel(&self) -> Check {
        let name = "kernel";
        let Some(release) = self.text("proc/sys/kernel/osrelease") else {
            return Check::fail(name, ExitCode::Kernel, "`/proc` cannot be read", "mount `/proc`");
        };
        match is_tested(&release) {
            true => Check::ok(name, release),
            false => Check::warn(
                name,
                format!("{release} is older than 5.10, the oldest that is tested"),
                "take a newer kernel",
            ),
        }
    }

    fn btf(&self) -> Check {
        let path = self.path("sys/kernel/btf/vmlinux");
        match fs::File::open(&path) {
            Ok(_) => Check::ok("BTF", "`/sys/kernel/btf/vmlinux` can be read"),
            Err(error) => Check::fail(
                "BTF",
                ExitCode::Kernel,
                format!("`/sys/kernel/btf/vmlinux` cannot be read: {error}"),
                "take a kernel built with CONFIG_DEBUG_INFO_BTF=y (every distribution's since 2021), and mount `/sys`",
            ),
        }
    }

    fn tracing(&self, status: &Status) -> Check {
        let name = "tracepoints";
        let folders = ["sys/kernel/tracing", "sys/kernel/debug/tracing"];
        let mounted = folders.iter().find(|folder| self.path(folder).join("events").exists());
        let Some(folder) = mounted else { return self.tracing_unmounted(status) };
        if self.path(folder).join("events/syscalls/sys_enter_read").exists() {
            return Check::ok(name, format!("those of system calls are in `/{folder}`"));
        }
        Check::fail(
            name,
            ExitCode::Kernel,
            format!("`/{folder}` has none for system calls"),
            "take a kernel built with CONFIG_FTRACE_SYSCALLS=y (every distribution's)",
        )
    }

    fn tracing_unmounted(&self, status: &Status) -> Check {
        let name = "tracepoints";
        let known =
            self.text("proc/filesystems").is_some_and(|text| text.lines().any(|line| line.ends_with("tracefs")));
        let command = "mount -t tracefs tracefs /sys/kernel/tracing";
        if !known {
            return Check::fail(
                name,
                ExitCode::Kernel,
                "the kernel has no tracefs",
                "take a kernel built with CONFIG_FTRACE=y",
            );
        }
        match has(status, SYS_ADMIN) {
            true => Check::ok(name, format!("tracefs is not mounted; `run` mounts it itself (`{command}`)")),
            false => Check::fail(
                name,
                ExitCode::Privileges,
                "tracefs is not mounted or hidden from this user",
                format!("as root: `{command}`"),
            ),
        }
    }

    fn kprobes(&self) -> Check {
        let there = ["sys/kernel/tracing", "sys/kernel/debug/tracing"]
            .iter()
            .any(|folder| self.path(folder).join("kprobe_events").exists());
        let found = if there { "there; not used" } else { "absent or hidden; not needed" };
        Check::ok("kprobes", found)
    }

    fn lockdown(&self) -> Check {
        let name = "lockdown";
        let text = self.text("sys/kernel/security/lockdown").unwrap_or_default();
        let mode = text.split_once('[').and_then(|(_, rest)| rest.split(']').next());
        match mode {
            Some("confidentiality") => Check::fail(
                name,
                ExitCode::Kernel,
                "`confidentiality`: programs may not read kernel memory",
                "boot with `lockdown=integrity` or without secure boot's confidentiality mode",
            ),
            Some(mode) => {
                Check::ok(name, format!("`{mode}`; it matters only for `traceparent` over TLS, HTTP/2 and gRPC"))
            }
            None => Check::ok(name, "cannot be told (securityfs is not mounted); `none` and `integrity` do no harm"),
        }
    }

    fn unprivileged(&self) -> Check {
        let finding = match self.text("proc/sys/kernel/unprivileged_bpf_disabled").as_deref() {
            Some("0") => "allowed by the kernel; the agent does not use it",
            Some(_) => "refused by the kernel; the agent does not need it",
            None => "unknown; the agent does not need it",
        };
        Check::ok("unprivileged BPF", finding)
    }

    fn cgroups(&self) -> Check {
        let unified = self.path("sys/fs/cgroup/cgroup.controllers").exists();
        let version = if unified { "version 2" } else { "version 1, or both" };
        Check::ok("control groups", format!("{version}; containers are recognised in either"))
    }

    fn memory(&self) -> Check {
        let name = "memory limit";
        let Some(limit) = self.memory_limit() else { return Check::ok(name, "none") };
        let megabytes = limit >> 20;
        match limit >= LEAST_MEMORY {
            true => Check::ok(name, format!("{megabytes} MiB")),
            false => Check::warn(
                name,
                format!("{megabytes} MiB; the agent and its kernel maps may need {} MiB", LEAST_MEMORY >> 20),
                "raise the limit of its control group",
            ),
        }
    }

    /// The limit of our control group, version 2 or 1; `max` and the huge number version 1 has for it mean none.
    fn memory_limit(&self) -> Option<u64> {
        let groups = self.text("proc/self/cgroup")?;
        let files = groups.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
            match controllers {
                "" => Some(format!("sys/fs/cgroup/{path}/memory.max")),
                _ if controllers.split(',').any(|one| one == "memory") => {
                    Some(format!("sys/fs/cgroup/memory/{path}/memory.limit_in_bytes"))
                }
                _ => None,
            }
        });
        files.filter_map(|file| self.text(&file)?.parse().ok()).filter(|limit| *limit < 1 << 60).min()
    }
}

/// 5.10 or later.
fn is_tested(release: &str) -> bool {
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= (5, 10)
}

/// Checks of the outputs that are set.
pub struct OutputCheck<'a>(pub &'a Outputs);

impl Probe for OutputCheck<'_> {
    fn checks(&self) -> Vec<Check> {
        let server = self.0.server_url.as_deref().map(server);
        let file = self.0.file.as_deref().map(file);
        let certificate = self.0.server_ca_cert_file.as_deref().map(certificate);
        server.into_iter().chain(file).chain(certificate).collect()
    }
}

/// Connects only: the server's own answer is `send`'s business.
fn server(url: &str) -> Check {
    let name = "APM Server";
    let remedy = "check `server_url`, the network and that the server runs; `run` works and keeps trying";
    let Some(address) = address(url) else { return Check::warn(name, format!("`{url}` names no host"), remedy) };
    let connected = address.to_socket_addrs().map(|found| found.take(4).map(connect).find(Result::is_ok));
    match connected {
        Ok(Some(_)) => Check::ok(name, format!("`{url}` takes connections")),
        Ok(None) => Check::warn(name, format!("`{url}` takes no connections"), remedy),
        Err(error) => Check::warn(name, format!("the host of `{url}` cannot be resolved: {error}"), remedy),
    }
}

fn connect(address: std::net::SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, Duration::from_secs(2))
}

/// `host:port` of a URL.
fn address(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.chars().all(|digit| digit.is_ascii_digit()));
    let port = if scheme == "https" { 443 } else { 80 };
    match (authority.is_empty(), has_port) {
        (true, _) => None,
        (false, true) => Some(authority.to_string()),
        (false, false) => Some(format!("{authority}:{port}")),
    }
}

fn file(path: &Path) -> Check {
    let name = "output file";
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let writable = rustix::fs::access(if path.exists() { path } else { folder }, rustix::fs::Access::WRITE_OK);
    match writable {
        Ok(()) => Check::ok(name, format!("`{}` can be written", path.display())),
        Err(error) => Check::fail(
            name,
            ExitCode::Output,
            format!("`{}` cannot be written: {error}", path.display()),
            "make its folder, or name another file",
        ),
    }
}

fn certificate(path: &Path) -> Check {
    let name = "certificate file";
    match fs::read_to_string(path) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => {
            Check::ok(name, format!("`{}` holds certificates", path.display()))
        }
        Ok(_) => Check::fail(
            name,
            ExitCode::Output,
            format!("`{}` holds no PEM certificate", path.display()),
            "name a PEM file",
        ),
        Err(error) => Check::fail(
            name,
            ExitCode::Output,
            format!("`{}` cannot be read: {error}", path.display()),
            "name a PEM file",
        ),
    }
}

/// The check `run` makes before it asks the kernel: one clear sentence instead of an error number.
pub fn may_run() -> Result<(), Check> {
    let own = Proc::default().process(std::process::id()).ok().and_then(|process| process.status());
    let checks = [privileges(&own.unwrap_or_default()), System::default().pid_namespace()];
    checks.into_iter().find(|check| check.code != ExitCode::Ok).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
