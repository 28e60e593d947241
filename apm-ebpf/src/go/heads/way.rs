//! How bytes get into a program's memory.

use apm_common::counter::Counter;
use aya_ebpf::{helpers::generated::bpf_probe_write_user, macros::uprobe, programs::ProbeContext};

use super::{super::Hit, Buffer};
use crate::maps::CALL_CARRIES;

/// What is to be written.
pub struct Order<'a> {
    /// The buffer.
    pub buffer: &'a Buffer,
    /// How many bytes go behind its end: some, and no more than there are. Read from memory, so that the compiler knows
    /// nothing of it.
    pub length: u64,
    /// Address of the frame at its end, and the length of what that holds; zeros: there is none.
    pub frame: [u64; 2],
    /// The call's span.
    pub span: u64,
}

impl Order<'_> {
    /// The three bytes that say how long a frame is (RFC 9113, section 4.1).
    #[inline(always)]
    pub fn frame_length(length: u64) -> [u8; 4] {
        ((length as u32) << 8).to_be_bytes()
    }
}

/// Way into a program's memory.
pub trait Way {
    /// Writes, and gives back the state of the call.
    fn write<const N: usize>(hit: &Hit, order: &Order<'_>, bytes: &[u8; N]) -> Result<u32, Counter>;
}

/// The kernel's helper writes, where it is allowed to.
pub struct Direct;

impl Way for Direct {
    /// The buffer's own length comes last: until then nobody knows of the rest. That it can be written is tried first, so
    /// that no frame is left which says it is longer than it is.
    #[inline(always)]
    fn write<const N: usize>(_: &Hit, order: &Order<'_>, bytes: &[u8; N]) -> Result<u32, Counter> {
        let Order { buffer, length, frame: [frame, block], .. } = *order;
        let used = buffer.used.to_ne_bytes();
        // The helper takes no bytes that may be none. Two comparisons, each with one bound: of both at once the compiler
        // makes one of another register, from which the verifier learns nothing.
        let bounded = if length > N as u64 { N as u64 } else { length };
        let bounded = if bounded < 1 { 1 } else { bounded };
        if !put(buffer.used_at, used.as_ptr(), 8) || !put(buffer.start + buffer.used, bytes.as_ptr(), bounded as u32) {
            return Err(Counter::CallsWriteFailed);
        }
        let longer = Order::frame_length(block + length);
        if frame != 0 && !put(frame, longer.as_ptr(), 3) {
            return Err(Counter::CallsWriteFailed);
        }
        let more = (buffer.used + length).to_ne_bytes();
        if put(buffer.used_at, more.as_ptr(), 8) {
            return Ok(CALL_CARRIES);
        }
        let before = Order::frame_length(block);
        if frame != 0 {
            put(frame, before.as_ptr(), 3);
        }
        Err(Counter::CallsWriteFailed)
    }
}

#[inline(always)]
fn put(to: u64, from: *const u8, length: u32) -> bool {
    // SAFETY: the helper checks both.
    unsafe { bpf_probe_write_user(to as *mut _, from.cast(), length) == 0 }
}

/// Attached nowhere: whether it can be loaded says whether the helper may be used.
#[uprobe]
pub fn may_write(_: ProbeContext) -> u32 {
    put(0, [0_u8; 8].as_ptr(), 8) as u32
}
