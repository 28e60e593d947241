//! The head of an HTTP/1 request that lies in a buffer: where its first line ends, whether it is whole, and whether the
//! program itself says its place in a trace.
//!
//! How far the search has come is kept in memory, as in [`ring::Capture`](crate::ring::Capture).

use apm_common::limits::{HEAD_BYTES, HEAD_STEPS};
use aya_ebpf::helpers::generated::bpf_probe_read_kernel as read_kernel_bytes;

/// The longest name that is looked for, and a word for the look ahead.
const MARGIN: usize = 32;

/// A head that is searched.
#[repr(C, align(8))]
pub struct Head {
    /// The bytes, as far as `len` says; then anything.
    pub bytes: [u8; HEAD_BYTES + MARGIN],
    /// How many.
    pub len: u64,
    /// Place of the next byte.
    at: u64,
    /// Where the second line begins; 0: not found yet.
    second: u64,
    /// One of the states below.
    state: u64,
}

const SEARCHING: u64 = 0;
const WHOLE: u64 = 1;
const PLACED: u64 = 2;
const STRANGE: u64 = 3;

/// What was found.
pub enum Found {
    /// A head without a place in a trace, whose second line begins here.
    Plain(u32),
    /// It has a place in a trace.
    Placed,
    /// It does not end here, or is none.
    NotWhole,
}

/// A byte of the head, which may lie behind its end.
#[inline(always)]
fn byte(head: &Head, at: u64) -> u8 {
    if at >= HEAD_BYTES as u64 {
        return 0;
    }
    // SAFETY: within the bytes.
    unsafe { core::ptr::read_volatile(head.bytes.as_ptr().add(at as usize)) }
}

/// Reads and writes of the state that the compiler keeps in memory.
macro_rules! state {
    ($head:ident.$member:ident) => {
        // SAFETY: a member of a reference.
        unsafe { core::ptr::read_volatile(&raw const $head.$member) }
    };
    ($head:ident.$member:ident = $value:expr) => {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(&raw mut $head.$member, $value) }
    };
}

/// Searches the head.
#[inline(always)]
pub fn search(head: &mut Head) -> Found {
    state!(head.at = 0);
    state!(head.second = 0);
    state!(head.state = SEARCHING);
    for _ in 0..HEAD_STEPS {
        if !step(head) {
            break;
        }
    }
    let second = state!(head.second);
    match state!(head.state) {
        WHOLE if second > 0 && second < HEAD_BYTES as u64 => Found::Plain(second as u32),
        PLACED => Found::Placed,
        _ => Found::NotWhole,
    }
}

/// Looks at the next byte, or the next eight if no line ends in them; false: there is no more to look for.
#[inline(always)]
fn step(head: &mut Head) -> bool {
    let at = state!(head.at);
    if at >= state!(head.len) || at >= HEAD_BYTES as u64 {
        return false;
    }
    // SAFETY: within the bytes, and aligned: the place is a multiple of eight.
    if at % 8 == 0
        && !has_newline(unsafe { core::ptr::read_volatile(head.bytes.as_ptr().add((at & !7) as usize).cast()) })
    {
        state!(head.at = at + 8);
        return true;
    }
    state!(head.at = at + 1);
    if byte(head, at) == b'\n' { line(head, at + 1) } else { true }
}

/// Is one of the eight bytes `\n`? (Mycroft's test for a zero byte.)
#[inline(always)]
fn has_newline(word: u64) -> bool {
    let word = word ^ 0x0a0a_0a0a_0a0a_0a0a;
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080 != 0
}

/// What is written at a place, eight bytes a word; zeros where nothing can be.
#[inline(always)]
fn words<const N: usize>(head: &Head, at: u64) -> [u64; N] {
    if at > (HEAD_BYTES + MARGIN - 8 * N) as u64 {
        return [0; N];
    }
    let mut words = [0; N];
    // A helper, where the verifier walks one instruction: such a read has no alignment.
    // SAFETY: from within the bytes, as many as there is room for.
    unsafe {
        read_kernel_bytes(words.as_mut_ptr().cast(), 8 * N as u32, head.bytes.as_ptr().add(at as usize).cast());
    }
    words
}

/// Letters in lower case. Bytes of no letter may be taken for others.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// Eight bytes as a word.
const fn word(text: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*text)
}

/// A line begins.
#[inline(always)]
fn line(head: &mut Head, at: u64) -> bool {
    if state!(head.second) == 0 {
        state!(head.second = at);
        if at < 14 || words::<1>(head, at - 10) != [word(b"HTTP/1.1")] {
            state!(head.state = STRANGE);
            return false;
        }
    }
    let [first, second, third] = words::<3>(head, at);
    // Behind the end lies what was there before.
    if first as u16 == u16::from_le_bytes(*b"\r\n") && at + 2 <= state!(head.len) {
        state!(head.state = WHOLE);
        return false;
    }
    let is_own = (first | LOWER == word(b"tracepar") && second as u32 | LOWER as u32 == u32::from_le_bytes(*b"ent:"))
        || (first | LOWER == word(b"elastic-")
            && second | LOWER == word(b"apm-trac")
            && third | LOWER == word(b"eparent:"));
    if is_own {
        state!(head.state = PLACED);
    }
    !is_own
}
