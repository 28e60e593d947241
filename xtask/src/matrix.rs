//! `cargo xtask matrix`: the README's support matrix, from the list of protocols. The test that holds the README to
//! the list writes it when asked to; so this program needs not link the agent, which it may have to build first.

use anyhow::Result;

use crate::shell;

/// Writes the matrix.
///
/// # Errors
/// If the README has no place for it.
pub fn run() -> Result<()> {
    let mut command = shell::cargo();
    command.args(["test", "--quiet", "--package", "apm-agent", "--test", "readme"]).env("APM_WRITE_README", "1");
    shell::run(&mut command)
}
