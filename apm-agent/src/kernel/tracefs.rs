//! tracefs, where tracepoints get their numbers.

use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use super::KernelFailure;

const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Is it mounted where everybody looks for it?
fn mounted() -> bool {
    PLACES.iter().any(|place| Path::new(place).join("events").is_dir())
}

/// Makes tracefs visible to this process. Where the host has none it is mounted in a mount namespace of our own, so
/// that nothing of it is left when the agent ends, however it ends.
///
/// Must be called before other threads exist: they would keep the old namespace.
///
/// # Errors
/// When it cannot be mounted.
pub fn ensure() -> Result<(), KernelFailure> {
    if mounted() {
        return Ok(());
    }
    let io = |error: rustix::io::Errno| KernelFailure::NoTracefs(error.into());
    // SAFETY: only the mount namespace is left, which no Rust object depends on.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.map_err(io)?;
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).map_err(io)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("nodev", PLACES[0], "tracefs", flags, None).map_err(io)
}
