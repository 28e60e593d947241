//! The kernel side's user-space half: load, attach, drain, count. The only module that names aya.
//!
//! Loads the embedded BPF object with offsets from the running kernel's BTF, attaches it to tracepoints, shows by a
//! round trip of its own bytes that it works here, and hands on raw records.

mod attach;
pub mod btf;
mod failure;
mod layout;
mod load;
mod peer;
mod probe;
mod program;
mod propagation;
mod self_test;
pub mod stopping;
mod tools;
mod tracefs;
mod uprobe;
mod writing;

pub use failure::KernelFailure;
pub use load::Kernel;
pub use peer::peer_pid;
pub use probe::KernelProbe;
pub use program::{Hook, PROGRAMS, Program, When};
pub use tools::{Channel, Diversion, Tools};
pub use uprobe::{GoProbes, Probe};
pub use writing::Written;

/// Which processes the kernel programs capture as pending, until the caller has decided about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Every process that execs: targets are chosen by executable.
    pub exec: bool,
    /// Every process that begins to listen: targets are chosen by port.
    pub listen: bool,
}
