//! Debian packages: what is missing is installed when we are root on Debian, and named otherwise.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::shell;

/// Installs those of `packages` that are missing.
///
/// # Errors
/// If something is missing and this is not root on Debian (the sentence names the packages), or apt fails.
pub fn ensure(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !can_install() {
        bail!("these Debian packages are missing: {}. Install them, or run this as root on Debian.", missing.join(" "));
    }
    shell::step(&format!("installing Debian packages: {}", missing.join(" ")), || {
        // A package list of some days ago may name versions that are gone, so it is always fetched anew.
        shell::run(apt_get().args(["-qq", "-o", "Acquire::Retries=3", "update"]))?;
        let options = ["-qq", "-y", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0", "--no-install-recommends"];
        shell::run(apt_get().args(options).arg("install").args(&missing).env("NEEDRESTART_SUSPEND", "1"))
    })
}

/// True when we are root on Debian (or a relative with apt).
pub fn can_install() -> bool {
    is_root() && Path::new("/usr/bin/apt-get").exists()
}

/// True when the effective user is root.
pub fn is_root() -> bool {
    apm_tests::privilege::is_root()
}

fn is_installed(package: &str) -> bool {
    let answer = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", package]).output();
    answer.is_ok_and(|output| output.stdout == b"installed")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
    command
}
