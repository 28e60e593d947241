//! The guest: qemu, the host's root as its own, and a command whose status it says on its console.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{cache, kernel::Kernel};
use crate::{debian, shell};

/// Debian packages that are needed.
const PACKAGES: [&str; 5] = ["qemu-system-x86", "busybox-static", "kmod", "cpio", "xz-utils"];

/// Where Debian 13 and 12 have it; since 13 in a package of its own.
const VIRTIOFSD: [&str; 2] = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"];

/// What the guest says with the command's status, and before its output.
const EXIT: &str = "GUEST-EXIT ";
const START: &str = "GUEST-START";

/// Memory, MiB: what the guest writes is kept there, too.
const MEMORY: u32 = 6144;

/// Installs what is needed.
///
/// # Errors
/// If that cannot be done.
pub fn prepare() -> Result<()> {
    debian::ensure(&PACKAGES)?;
    if virtiofsd().is_none() {
        debian::ensure(&["virtiofsd"])?;
    }
    virtiofsd().map(|_| ()).context("there is no virtiofsd")
}

fn virtiofsd() -> Option<&'static Path> {
    VIRTIOFSD.iter().map(Path::new).find(|path| path.exists())
}

/// Ends when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots a kernel and runs a command as root, in the folder of the tests; gives back its status.
///
/// # Errors
/// If the guest does not start, or says no status.
pub fn run(kernel: &Kernel, command: &[String], append: &str, timeout: u64) -> Result<i32> {
    let folder = cache()?.join(format!("run-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let status = boot(kernel, &folder, command, append, timeout);
    let _ = fs::remove_dir_all(&folder);
    status
}

fn boot(kernel: &Kernel, folder: &Path, command: &[String], append: &str, timeout: u64) -> Result<i32> {
    let initrd = initrd(kernel, folder, command)?;
    let socket = folder.join("root.sock");
    let _share = share(&socket)?;
    let memory = format!("memory-backend-memfd,id=mem,size={MEMORY}M,share=on");
    let mut qemu = Command::new("qemu-system-x86_64");
    // `microvm` hangs now and then in software; `max` is what that can do. With two processors the kernel now and then dies
    // of its own breakpoints when it changes its code, as it does for each perf event.
    qemu.args(["-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", &MEMORY.to_string()]);
    qemu.args(["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio", "-kernel"]).arg(&kernel.image);
    qemu.arg("-initrd").arg(initrd).arg("-append").arg(format!("console=ttyS0 quiet panic=-1 oops=panic {append}"));
    qemu.args(["-object", &memory, "-numa", "node,memdev=mem", "-device", "virtio-rng-pci"]);
    qemu.arg("-chardev").arg(format!("socket,id=host,path={}", socket.display()));
    qemu.args(["-device", "vhost-user-fs-pci,chardev=host,tag=host"]);
    let mut running = Running(qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let console = running.0.stdout.take().context("qemu has no console")?;
    // It ends when we have read what it says, or takes too long.
    let (read, is_read) = channel::<()>();
    let ends = thread::spawn(move || {
        let _ = is_read.recv_timeout(Duration::from_secs(timeout));
        drop(running);
    });
    let status = status(console).with_context(|| format!("the guest has {timeout} s"));
    drop(read);
    let _ = ends.join();
    status
}

/// Passes on what a guest says from its start on, until it says the command's status.
fn status(console: impl io::Read) -> Result<i32> {
    let (mut last, mut is_started) = (Vec::new(), false);
    for line in BufReader::new(console).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        if let Some((_, status)) = line.split_once(EXIT) {
            return status.trim().parse().context("the guest says no status");
        }
        if is_started {
            println!("{line}");
        }
        is_started |= line.contains(START);
        last.push(line);
    }
    let from = last.len().saturating_sub(20);
    bail!("the guest ended without a status, or took too long:\n{}", last[from..].join("\n"))
}

/// Shares this machine's root.
fn share(socket: &Path) -> Result<Running> {
    let program = virtiofsd().context("there is no virtiofsd")?;
    let help = Command::new(program).arg("--help").output()?;
    // The one in C, and the one in Rust.
    let is_newer = [help.stdout, help.stderr].concat().windows(12).any(|part| part == b"--shared-dir");
    let mut command = Command::new(program);
    command.arg(format!("--socket-path={}", socket.display()));
    match is_newer {
        true => command.args(["--shared-dir=/", "--sandbox=chroot", "--cache=always"]),
        false => {
            command.args(["-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=always", "--thread-pool-size=2", "-f"])
        }
    };
    let running = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    for _ in 0..200 {
        if socket.exists() {
            return Ok(running);
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("virtiofsd does not listen")
}

/// The guest's first file system: busybox, modules, what comes first, and the command.
fn initrd(kernel: &Kernel, folder: &Path, command: &[String]) -> Result<PathBuf> {
    let root = folder.join("initrd");
    for name in ["bin", "dev", "proc", "sys", "modules", "low", "up", "root"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy(shell::find_program("busybox").context("there is no busybox")?, root.join("bin/busybox"))?;
    for module in fs::read_dir(&kernel.modules)? {
        let module = module?;
        fs::copy(module.path(), root.join("modules").join(module.file_name()))?;
    }
    executable(&root.join("init"), include_str!("init.sh"))?;
    let quoted: Vec<String> = command.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    let variables = ["PATH", "HOME", "GOFLAGS", "GOPROXY"].iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some(format!("export {name}='{}'\n", value.replace('\'', "'\\''")))
    });
    let folder = crate::tree::root().join("tests");
    let variables: String = variables.collect();
    executable(
        &root.join("command"),
        &format!("#!/bin/sh\n{variables}cd '{}'\nexec {}\n", folder.display(), quoted.join(" ")),
    )?;
    let archive = root.with_extension("cpio");
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . | cpio -o -H newc --quiet"]).current_dir(&root);
    fs::File::create(&archive)?.write_all(&super::output(&mut pack)?)?;
    Ok(archive)
}

fn executable(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context("a script cannot be made executable")
}
