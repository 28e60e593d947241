//! Running programs, with what is going on printed for the person who waits.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

/// Prints a step's headline.
pub fn say(text: &str) {
    eprintln!("==> {text}");
}

/// Runs a command to its end, its output on ours.
///
/// # Errors
/// If it cannot be started or does not end with status 0.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = describe(command);
    let status = command.status().with_context(|| format!("could not start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs a step under a headline and says how long it took.
///
/// # Errors
/// Those of the step.
pub fn step<T>(text: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    say(text);
    let start = Instant::now();
    let value = action().with_context(|| format!("this step failed: {text}"))?;
    eprintln!("    {:.1} s", start.elapsed().as_secs_f64());
    Ok(value)
}

/// A cargo command in the repository's root, with the cargo that runs this task.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::tree::root());
    command
}

/// First file of this name on `PATH`.
pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
