//! Shows that the programs see what they should on this kernel: a few bytes of our own through a socket pair.
//!
//! Saved registers, descriptor table and socket are read at offsets; a kernel that lays one of them out otherwise would
//! give silence or nonsense. So watch ourselves for one write and expect it back, byte for byte.

use std::{
    io::Write as _,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use apm_common::event::{DATA_OUTGOING, PROCESS_WATCHED, ProcessEntry};

use super::{Kernel, KernelFailure};
use crate::event::{Event, decode};

const MESSAGE: &[u8] = b"apm-agent self-test";

/// Runs the test; afterwards nothing of it is left in the maps.
///
/// # Errors
/// When the bytes do not come back.
pub fn run(kernel: &mut Kernel) -> Result<(), KernelFailure> {
    let io = |_| KernelFailure::SelfTest("a socket pair could not be made");
    let (mut ours, peer) = UnixStream::pair().map_err(io)?;
    let pid = std::process::id();
    kernel.watch(pid, ProcessEntry { start_time: 0, state: PROCESS_WATCHED, reserved: 0 })?;
    let written = ours.write_all(MESSAGE);
    drop((ours, peer));
    kernel.forget(pid);
    written.map_err(io)?;
    if seen(kernel) { Ok(()) } else { Err(KernelFailure::SelfTest("a write of our own was not seen")) }
}

fn seen(kernel: &mut Kernel) -> bool {
    let deadline = Instant::now() + Duration::from_secs(1);
    let mut found = false;
    while !found && Instant::now() < deadline {
        kernel.drain(usize::MAX, |record| {
            if let Some((header, Event::Data { bytes, position: 0, .. })) = decode(record) {
                found |= bytes == MESSAGE && header.flags & DATA_OUTGOING != 0;
            }
        });
        kernel.wait(Duration::from_millis(5));
    }
    found
}
