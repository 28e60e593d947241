//! The kernel programs of apm-agent: list of modules and licence, nothing else.
//!
//! First statement of every program: is this process ours? What is read of the kernel is read at the offsets in
//! [`settings`], which user space takes from the running kernel's BTF. Nothing here parses a protocol.
#![no_std]
#![no_main]
#![allow(missing_docs, reason = "entry points are documented by their module; the macros make them public")]

mod bind;
mod channel;
mod close;
mod connect;
mod go;
mod length;
mod maps;
mod process;
mod propagate;
mod registers;
mod ring;
mod settings;
mod signal;
mod socket;
mod transfer;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: the verifier refuses a program in which it could be.
    loop {}
}

/// Helpers such as `bpf_probe_read_kernel` are for programs under a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
