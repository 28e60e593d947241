//! What goes into a call: the place in the trace as lines of HTTP/1, or as fields of HTTP/2.

use apm_common::{
    event::CarriedBody,
    go::GoKey,
    propagation::{
        BLOCK_BYTES, FIELD_VALUES, STATE_BYTES, STATE_FIELD, STATE_FIELD_LENGTH, STATE_LINE, STATE_VALUE, VALUES,
        digits,
    },
};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel as read_kernel_bytes;

use crate::maps::{Call, PROPAGATION, TRACE_STATES};

/// Room for all lines with the longest `tracestate`, a multiple of eight.
pub const LINES_BYTES: usize = STATE_VALUE + STATE_BYTES + 20;

/// What goes into a call.
#[repr(C)]
pub struct Lines {
    /// Bytes of it.
    pub len: u64,
    /// They, then anything.
    pub bytes: [u8; LINES_BYTES],
}

/// The `tracestate` of a request's caller: where it lies, and its length.
type State = Option<(*const u8, u64)>;

impl Lines {
    /// Puts lines together; gives back how long they are. `caller`: the request for which the call is made.
    #[inline(always)]
    pub fn as_lines(&mut self, call: &Call, caller: GoKey) -> Option<u64> {
        // SAFETY: map values live until the program ends (RCU), and user space does not change this one.
        let template = unsafe { &*PROPAGATION.get_ptr(0)? };
        self.begin(&template.block, VALUES, &call.place);
        let length = match (call.begins, state_of(caller)) {
            (0, Some(state)) => self.copy(STATE_VALUE, state).map(|length| {
                self.put(STATE_VALUE + length as usize, b'\r');
                self.put(STATE_VALUE + length as usize + 1, b'\n');
                STATE_VALUE as u64 + length + 2
            }),
            (0, None) => None,
            _ => Some(template.block_len as u64),
        };
        let length = length.unwrap_or(STATE_LINE as u64);
        self.len = length;
        Some(length)
    }

    /// Puts fields together, as [`as_lines`](Self::as_lines).
    #[inline(always)]
    pub fn as_fields(&mut self, call: &Call, caller: GoKey) -> Option<u64> {
        // SAFETY: as above.
        let template = unsafe { &*PROPAGATION.get_ptr(0)? };
        self.begin(&template.fields, FIELD_VALUES, &call.place);
        let length = match (call.begins, state_of(caller)) {
            (0, Some(state)) => self.state_field(state),
            (0, None) => None,
            _ => Some(template.fields_len as u64),
        };
        let length = length.unwrap_or(STATE_FIELD as u64);
        self.len = length;
        Some(length)
    }

    /// The value of the field `tracestate`, its length before it in seven bits or, from 127 on, in more (RFC 7541, section
    /// 5.1).
    #[inline(always)]
    fn state_field(&mut self, (text, length): (*const u8, u64)) -> Option<u64> {
        const AT: usize = STATE_FIELD_LENGTH;
        let more = length.wrapping_sub(127);
        let before = match length {
            ..127 => {
                self.put(AT, length as u8);
                self.copy(AT + 1, (text, length))?;
                1
            }
            ..255 => {
                self.put(AT, 127);
                self.put(AT + 1, more as u8);
                self.copy(AT + 2, (text, length))?;
                2
            }
            _ => {
                self.put(AT, 127);
                self.put(AT + 1, more as u8 | 0x80);
                self.put(AT + 2, (more >> 7) as u8);
                self.copy(AT + 3, (text, length))?;
                3
            }
        };
        Some(AT as u64 + before + length)
    }

    #[inline(always)]
    fn begin(&mut self, block: &[u8; BLOCK_BYTES], values: [usize; 2], place: &CarriedBody) {
        for word in 0..BLOCK_BYTES / 8 {
            // SAFETY: both have so many words, and both are aligned.
            unsafe {
                let from = block.as_ptr().cast::<u64>().add(word).read_volatile();
                self.bytes.as_mut_ptr().cast::<u64>().add(word).write_volatile(from);
            }
        }
        for value in values {
            self.put_value(value, place);
        }
    }

    #[inline(always)]
    fn copy(&mut self, at: usize, (text, length): (*const u8, u64)) -> Option<u64> {
        // What the compiler knows of it already the verifier may not: it is told here, by a value of which nothing is known.
        // SAFETY: a variable.
        let length = unsafe { (&raw const length).read_volatile() };
        let length = if length > STATE_BYTES as u64 { STATE_BYTES as u64 } else { length };
        // SAFETY: there is room for `length` behind all places where it is put.
        let read = unsafe { read_kernel_bytes(self.bytes.as_mut_ptr().add(at).cast(), length as u32, text.cast()) };
        (read == 0).then_some(length)
    }

    #[inline(always)]
    fn put(&mut self, at: usize, byte: u8) {
        if at < LINES_BYTES {
            // SAFETY: within the bytes.
            unsafe { self.bytes.as_mut_ptr().add(at).write_volatile(byte) };
        }
    }

    /// Writes the digits of a `traceparent` whose ids are zeros.
    #[inline(always)]
    fn put_value(&mut self, at: usize, place: &CarriedBody) {
        // Behind the version and a dash.
        self.put_hex(at + 3, place.trace[0]);
        self.put_hex(at + 19, place.trace[1]);
        self.put_hex(at + 36, place.span);
        self.bytes[at + 54] = b'0' + (place.flags & 1) as u8;
    }

    #[inline(always)]
    fn put_hex(&mut self, at: usize, number: u64) {
        for (half, number) in [(number >> 32) as u32, number as u32].into_iter().enumerate() {
            self.bytes[at + 8 * half..at + 8 * half + 8].copy_from_slice(&digits(number).to_be_bytes());
        }
    }
}

/// The `tracestate` that a request's caller sent, if it goes on.
#[inline(always)]
fn state_of(caller: GoKey) -> State {
    // SAFETY: map values live until the program ends (RCU).
    let text = unsafe { &*TRACE_STATES.get_ptr(caller)? };
    (text.len != 0 && text.len <= STATE_BYTES as u64).then_some((text.bytes.as_ptr(), text.len))
}
