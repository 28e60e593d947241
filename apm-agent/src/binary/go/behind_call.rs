//! Where the results of a call can be read cheaply: behind the call, while they are still in registers.
//!
//! A probe on a function's `ret` is always single-stepped, and a return probe would break Go's stack growth. But what
//! calls a function mostly branches soon after, on its result or on the garbage collector's write barrier, and branches
//! are emulated.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory};

use super::site::{ARGUMENTS, is_emulated, writes_any};

/// Instructions looked at behind the call.
const MOST_INSTRUCTIONS: usize = 16;

/// Address of the first cheap instruction behind the only call of `callee` in the code of a function, which begins at
/// `entry`; `None` when there is no or another call, or a result is gone before.
pub(super) fn find(code: &[u8], entry: u64, callee: u64) -> Option<u64> {
    let calls = |instruction: &Instruction| instruction.is_call_near() && instruction.near_branch_target() == callee;
    let mut found = None;
    let mut decoder = Decoder::with_ip(64, code, entry, DecoderOptions::NONE);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if calls(&instruction) && found.replace(instruction.next_ip()).is_some() {
            return None;
        }
    }
    let start = found?;
    let behind = code.get(usize::try_from(start.checked_sub(entry)?).ok()?..)?;
    // Results come in the registers of arguments; the last of these is the closure's, which has none.
    let (_, results) = ARGUMENTS.split_last()?;
    let mut written = InstructionInfoFactory::new();
    for instruction in Decoder::with_ip(64, behind, start, DecoderOptions::NONE).iter().take(MOST_INSTRUCTIONS) {
        match instruction.flow_control() {
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch if is_emulated(&instruction) => {
                return Some(instruction.ip());
            }
            FlowControl::Next if !writes_any(&mut written, &instruction, results) => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `call 0x2000` at 0x1000, then `rest`.
    fn behind_call(rest: &[u8]) -> Vec<u8> {
        [&[0xe8, 0xfb, 0x0f, 0x00, 0x00], rest].concat()
    }

    #[test]
    fn the_branch_behind_the_call() {
        // mov rdx,[rsp+38h]; cmp dword [rip+0],0; je
        let rest = [0x48, 0x8b, 0x54, 0x24, 0x38, 0x83, 0x3d, 0, 0, 0, 0, 0, 0x74, 0x10];
        assert_eq!(find(&behind_call(&rest), 0x1000, 0x2000), Some(0x1011));
        assert_eq!(find(&behind_call(&rest), 0x1000, 0x3000), None, "it calls something else");
        let twice = [behind_call(&rest), vec![0xe8, 0xe8, 0x0f, 0x00, 0x00]].concat();
        assert_eq!(find(&twice, 0x1000, 0x2000), None, "it is called twice");
    }

    #[test]
    fn results_must_still_be_there() {
        // mov rcx,[rsp+38h]; test rax,rax; je
        let rest = [0x48, 0x8b, 0x4c, 0x24, 0x38, 0x48, 0x85, 0xc0, 0x74, 0x10];
        assert_eq!(find(&behind_call(&rest), 0x1000, 0x2000), None);
        assert_eq!(find(&behind_call(&[0xc3]), 0x1000, 0x2000), None);
        assert_eq!(find(&behind_call(&[]), 0x1000, 0x2000), None);
    }

    proptest::proptest! {
        #[test]
        fn survives_any_bytes(code in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let code = behind_call(&code);
            if let Some(address) = find(&code, 0x1000, 0x2000) {
                proptest::prop_assert!((0x1005..0x1000 + code.len() as u64).contains(&address));
            }
        }
    }
}
