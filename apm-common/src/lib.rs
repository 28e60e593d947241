//! What the kernel programs (`apm-ebpf`) and user space (`apm-agent`) agree on.
//!
//! Everything here is plain data with a fixed layout: no padding holes, sizes asserted at compile time, native byte
//! order. A change of a layout changes [`ABI_VERSION`], which recordings carry in their header.
#![no_std]

pub mod counter;
pub mod event;
pub mod fasthttp;
pub mod go;
pub mod limits;
pub mod outgoing;
pub mod propagation;
pub mod settings;
pub mod sqlite;
pub mod stopping;

/// Version of the layouts in this crate; a recording made with another version is refused.
pub const ABI_VERSION: u32 = 1;
