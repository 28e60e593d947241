//! Where things are: the repository, what was built, and where tests build their programs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository's root")
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The agent under test: `$APM_AGENT`, else the release build.
pub fn agent() -> PathBuf {
    std::env::var_os("APM_AGENT").map_or_else(|| target().join("release/apm-agent"), PathBuf::from)
}

/// Where .NET was unpacked by `cargo xtask setup`: `$APM_DOTNET`, else `target/dotnet`.
pub fn dotnet() -> PathBuf {
    std::env::var_os("APM_DOTNET").map_or_else(|| target().join("dotnet"), PathBuf::from)
}

/// Where every Node.js and its libraries were installed by `cargo xtask setup`: `$APM_NODE`, else `target/node`.
pub fn node() -> PathBuf {
    std::env::var_os("APM_NODE").map_or_else(|| target().join("node"), PathBuf::from)
}

/// Source of a program that is a target.
pub fn app(name: &str) -> PathBuf {
    root().join("tests/apps").join(name)
}

/// Folder where programs of the tests are built.
///
/// # Errors
/// If it cannot be created.
pub fn build() -> Result<PathBuf> {
    let folder = target().join("e2e");
    fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
    Ok(folder)
}
