//! Why a program cannot be hooked as a Go program.

use std::io;

use super::GoVersion;

/// Why a Go program cannot be read; one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is larger than anything a linker makes.
    #[error("it is larger than 4 GiB")]
    TooLarge,
    /// No ELF file, or one for another machine.
    #[error("it is no 64-bit ELF file for x86-64 or arm64")]
    Architecture,
    /// It has no build information.
    #[error("it was not built by Go, or all that says so was removed")]
    NotGo,
    /// It is packed; only its memory has what we look for.
    #[error("it is packed by UPX: there is no code in the file that a hook could sit on")]
    Packed,
    /// Arguments are on the stack before 1.17.
    #[error("Go {0} passes arguments on the stack; hooks need Go 1.17 or newer")]
    TooOld(GoVersion),
    /// Names were replaced, so nothing can be found by its name.
    #[error("its names are obfuscated (as by garble), so no function or type can be found")]
    Garbled,
    /// The run time's tables are not as Go's linker writes them.
    #[error("its {0} cannot be found or is damaged")]
    Damaged(&'static str),
}
