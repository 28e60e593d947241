//! The head of an HTTP/1 request that lies in a buffer: where its first line ends, whether it is whole, and whether the
//! program itself says its place in a trace.
//!
//! How far the search has come is kept in memory, as in [`ring::Capture`](crate::ring::Capture).

use apm_common::limits::{HEAD_BYTES, HEAD_STEPS};

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
    if at % 8 == 0 && !has_newline(unsafe { core::ptr::read_volatile(head.bytes.as_ptr().add((at & !7) as usize).cast()) })
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

/// A line begins.
#[inline(always)]
fn line(head: &mut Head, at: u64) -> bool {
    if state!(head.second) == 0 {
        state!(head.second = at);
        if at < 14 || differs(head, at - 10, b"http/1.1\r") {
            state!(head.state = STRANGE);
            return false;
        }
    }
    let found = match byte(head, at) | 0x20 {
        b't' if !differs(head, at, b"traceparent:") => PLACED,
        b'e' if !differs(head, at, b"elastic-apm-traceparent:") => PLACED,
        // `\r` with the bit of lower case.
        0x2d if byte(head, at) == b'\r' && at + 2 <= state!(head.len) => WHOLE,
        _ => SEARCHING,
    };
    state!(head.state = found);
    found == SEARCHING
}

/// Is something else than `text`, which is in lower case, written here? Bytes of no letter may be taken for others.
#[inline(always)]
fn differs<const N: usize>(head: &Head, at: u64, text: &[u8; N]) -> bool {
    if at >= (HEAD_BYTES + MARGIN - N) as u64 {
        return true;
    }
    let mut differing = 0;
    for (index, letter) in text.iter().enumerate() {
        // SAFETY: within the bytes.
        let byte = unsafe { core::ptr::read_volatile(head.bytes.as_ptr().add(at as usize + index)) };
        differing |= (byte | 0x20) ^ (letter | 0x20);
    }
    differing != 0
}
