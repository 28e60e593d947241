//! `cargo xtask ebpf`: builds `apm-ebpf/` into `apm-agent/ebpf/apm-ebpf.bpf.o`, which `apm-agent` embeds, and writes
//! the list of sources it was built from beside it. The object is in the repository, so a plain `cargo build` needs
//! neither nightly nor LLVM; CI builds it anew and tests the new one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{shell, tree};

mod sources;
mod stack;
mod tool_chain;

use tool_chain::ToolChain;

/// Name of the BPF target: little-endian eBPF.
const TARGET: &str = "bpfel-unknown-none";

/// Options of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only compare the sources with those the object in the repository was built from
    #[arg(long)]
    check: bool,
}

/// Builds or checks the object.
///
/// # Errors
/// If a tool is missing and cannot be installed, the build fails, or `--check` finds a difference.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.check {
        return check();
    }
    if !tree::root().join("apm-ebpf/Cargo.toml").exists() {
        bail!("there is no folder `apm-ebpf` in {}", tree::root().display());
    }
    let tool_chain = tool_chain::find()?;
    let built = shell::step(&format!("building apm-ebpf with {}", tool_chain.title), || build(&tool_chain))?;
    install(&tool_chain, &built)
}

/// Compares the recorded sources with those in the tree.
///
/// # Errors
/// If they differ, naming the files and the remedy.
pub fn check() -> Result<()> {
    match sources::differences(tree::root())? {
        differences if differences.is_empty() => Ok(()),
        differences => bail!("{}", sources::complaint(&differences)),
    }
}

fn build(tool_chain: &ToolChain) -> Result<PathBuf> {
    let folder = tree::root().join("apm-ebpf");
    let target = tree::target().join("ebpf");
    // Fetched first: the paths to hide from the object are known only then.
    let mut fetch = tool_chain.cargo();
    shell::run(fetch.current_dir(&folder).arg("fetch"))?;
    let mut command = tool_chain.cargo();
    command.current_dir(&folder).env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\x1f"));
    command.args(["build", "--release", "-Z", "build-std=core", "--target", TARGET, "--target-dir"]).arg(&target);
    shell::run(&mut command)?;
    Ok(target.join(TARGET).join("release/apm-ebpf"))
}

/// Flags of the BPF compiler: debug information is what BTF is made of, and paths of this machine must not get into
/// the object, so that the same sources give the same object elsewhere.
fn flags() -> Result<Vec<String>> {
    let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
    // `aya-ebpf` needs to know whose registers a probe reads.
    flags.push(format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH));
    flags.push(format!("--remap-path-prefix={}=.", tree::root().display()));
    for folder in registry_folders()? {
        flags.push(format!("--remap-path-prefix={}=crates", folder.display()));
    }
    Ok(flags)
}

fn registry_folders() -> Result<Vec<PathBuf>> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"),
    };
    let Ok(entries) = fs::read_dir(home.join("registry/src")) else { return Ok(Vec::new()) };
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn install(tool_chain: &ToolChain, built: &Path) -> Result<()> {
    let object = tree::root().join(sources::OBJECT);
    fs::create_dir_all(object.parent().context("the object has no folder")?)?;
    let stripped = built.with_extension("stripped");
    // DWARF is nine tenths of the object; the kernel wants BTF only, which `--strip-debug` leaves alone.
    let mut strip = Command::new(&tool_chain.strip);
    shell::run(strip.arg("--strip-debug").arg("-o").arg(&stripped).arg(built))?;
    let bytes = fs::read(&stripped)?;
    if !contains(&bytes, b".BTF.ext") {
        bail!("the object built has no BTF; is `bpf-linker` 0.10 or newer?");
    }
    stack::check(&bytes)?;
    fs::write(&object, &bytes).with_context(|| format!("could not write {}", object.display()))?;
    fs::write(tree::root().join(sources::RECORD), sources::listing(tree::root())?)?;
    shell::say(&format!("wrote {} ({} bytes) and {}", sources::OBJECT, bytes.len(), sources::RECORD));
    Ok(())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
