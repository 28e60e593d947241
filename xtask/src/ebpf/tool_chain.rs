//! Which compiler builds the BPF object: rustup's nightly where it has the library's source, else Debian's
//! `rustc-web`, which comes with it. Both need `bpf-linker`, built against the LLVM of the compiler.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{debian, shell};

/// Version of `bpf-linker` the object is linked with.
const LINKER_VERSION: &str = "0.13.0";

/// Debian's compiler, its library source, and the LLVM both were built with.
const DEBIAN_PACKAGES: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "llvm-22-dev", "llvm-22"];

/// Where Debian puts LLVM 22's programs.
const DEBIAN_LLVM: &str = "/usr/lib/llvm-22/bin";

/// A way to call cargo for the BPF target.
pub struct ToolChain {
    /// For the headline.
    pub title: String,
    /// `llvm-strip` or an equivalent.
    pub strip: PathBuf,
    cargo: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

impl ToolChain {
    /// A cargo command of this tool chain, free of what the cargo above us has put into the environment.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            command.env_remove(name);
        }
        // A target folder given for the workspace would mix two compilers.
        command.env_remove("CARGO_TARGET_DIR");
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command
    }
}

/// Finds a tool chain, installing what is missing when that is possible.
///
/// # Errors
/// If something is missing and cannot be installed; the sentence names it.
pub fn find() -> Result<ToolChain> {
    match nightly_cargo() {
        Some(cargo) => nightly(cargo),
        None => debian_web(),
    }
}

/// Cargo of rustup's nightly, if the source of the library is there.
fn nightly_cargo() -> Option<PathBuf> {
    let rustup = shell::find_program("rustup")?;
    let which = Command::new(rustup).args(["which", "--toolchain", "nightly", "cargo"]).output().ok()?;
    let cargo = PathBuf::from(String::from_utf8(which.stdout).ok()?.trim());
    let library = cargo.parent()?.parent()?.join("lib/rustlib/src/rust/library/core");
    (which.status.success() && library.exists()).then_some(cargo)
}

fn nightly(cargo: PathBuf) -> Result<ToolChain> {
    ensure_linker(&[], None)?;
    let strip = ["llvm-strip", "llvm-strip-22", "llvm-strip-21", "llvm-strip-20", "llvm-strip-19"];
    let strip =
        strip.iter().find_map(shell::find_program).or_else(|| Some(PathBuf::from(DEBIAN_LLVM).join("llvm-strip")));
    let strip = strip.filter(|path| path.exists());
    let rustc = cargo.with_file_name("rustc");
    Ok(ToolChain {
        title: "rustup's nightly".to_owned(),
        strip: strip.context("`llvm-strip` is missing. Install Debian's package `llvm`.")?,
        cargo,
        variables: vec![("RUSTC", rustc.into())],
    })
}

fn debian_web() -> Result<ToolChain> {
    debian::ensure(&DEBIAN_PACKAGES).context(
        "the BPF object is built with rustup's nightly and `rust-src`, or with Debian's `rustc-web`; neither is here",
    )?;
    let features = ["--no-default-features", "--features", "llvm-22"];
    ensure_linker(&features, Some(Path::new(DEBIAN_LLVM)))?;
    Ok(ToolChain {
        title: "Debian's rustc-web".to_owned(),
        strip: PathBuf::from(DEBIAN_LLVM).join("llvm-strip"),
        cargo: "/usr/bin/cargo".into(),
        // A released compiler refuses `-Z` without this.
        variables: vec![
            ("RUSTC", "/usr/bin/rustc".into()),
            ("RUSTC_BOOTSTRAP", "1".into()),
            ("PATH", path_with(&cargo_bin()?)?),
        ],
    })
}

fn ensure_linker(features: &[&str], llvm: Option<&Path>) -> Result<()> {
    let folder = cargo_bin()?;
    if shell::find_program("bpf-linker").is_some() || folder.join("bpf-linker").exists() {
        return Ok(());
    }
    shell::step("installing bpf-linker (half a minute)", || {
        let mut install = shell::cargo();
        install.args(["install", "--quiet", "--locked", "bpf-linker", "--version", LINKER_VERSION]).args(features);
        if let Some(folder) = llvm {
            install.env("PATH", path_with(folder)?);
        }
        shell::run(install.env_remove("CARGO_TARGET_DIR"))
    })
}

fn cargo_bin() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(home).join("bin"));
    }
    Ok(PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo/bin"))
}

fn path_with(first: &Path) -> Result<OsString> {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(first.to_owned()).chain(std::env::split_paths(&rest));
    std::env::join_paths(folders).context("a folder of PATH has a colon in its name")
}
