//! Where a probe in a function is cheap: on an instruction that the kernel emulates instead of stepping over it.
//!
//! x86-64 only. The kernel (`arch/x86/kernel/uprobes.c`) emulates `push`, jumps, calls and `nop`; anything else it has
//! the processor execute out of line with a trap after it, which costs twice to fifteen times as much. Go's functions
//! begin with a stack check that is no such instruction, and is run again when the stack was grown; the `push rbp` after
//! it runs once a call, with the arguments still in their registers.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register};

/// Bytes looked at for a site.
const LONGEST: usize = 192;

/// Instructions looked at for a site.
const MOST_INSTRUCTIONS: usize = 32;

/// Registers of integer and pointer arguments and results (`abi-internal.md` of Go), in order, and the closure's.
pub(super) const ARGUMENTS: [Register; 10] = [
    Register::RAX,
    Register::RBX,
    Register::RCX,
    Register::RDI,
    Register::RSI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::RDX,
];

/// What the kernel does with a probed instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Price {
    /// It emulates it: about 0.7 µs on a nested virtual machine.
    Emulated,
    /// It lets the processor execute it with a trap after it: 9 µs there, about twice the other on bare metal.
    SingleStepped,
}

/// Where a probe at the beginning of a function goes: the arguments are still in their registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Address, as the file lays it out.
    pub address: u64,
    /// Place in the file.
    pub offset: u64,
    /// What it costs.
    pub price: Price,
    /// It is hit again when the stack was grown for the call (about once in a thousand calls).
    pub repeats: bool,
}

/// Finds the site in the code of a function, which begins at `entry`: its address, price and whether it repeats.
pub(super) fn find(code: &[u8], entry: u64) -> (u64, Price, bool) {
    let code = code.get(..LONGEST).unwrap_or(code);
    let mut decoder = Decoder::with_ip(64, code, entry, DecoderOptions::NONE);
    let mut written = InstructionInfoFactory::new();
    let mut previous = Instruction::default();
    let mut check = None;
    for instruction in decoder.iter().take(MOST_INSTRUCTIONS) {
        match instruction.flow_control() {
            _ if is_push(&instruction) => return (instruction.ip(), Price::Emulated, false),
            FlowControl::ConditionalBranch if is_stack_check(&previous) => {
                check = check.or(Some(instruction.ip()));
            }
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch | FlowControl::Call
                if is_emulated(&instruction) =>
            {
                return (instruction.ip(), Price::Emulated, false);
            }
            FlowControl::Next if !writes_any(&mut written, &instruction, &ARGUMENTS) => {}
            _ => break,
        }
        previous = instruction;
    }
    // The check's own branch is emulated, too; where nothing after it can be used (Go up to 1.20 pushes nothing), it is
    // the next best.
    match check {
        Some(address) => (address, Price::Emulated, true),
        None => (entry, Price::SingleStepped, false),
    }
}

/// `push` of a register.
pub(super) fn is_push(instruction: &Instruction) -> bool {
    instruction.code() == Code::Push_r64
}

/// Branches and calls to a place told relative to the instruction.
pub(super) fn is_emulated(instruction: &Instruction) -> bool {
    instruction.is_jcc_short_or_near() || instruction.is_jmp_short_or_near() || instruction.is_call_near()
}

/// The comparison before the branch to `morestack`: of the stack pointer, or of R12 in its place for large frames, with
/// the goroutine's limit; or the subtraction that must not pass zero.
fn is_stack_check(instruction: &Instruction) -> bool {
    let limit = instruction.memory_base() == Register::R14 && instruction.memory_displacement64() <= 0x18;
    limit || instruction.op0_register() == Register::R12
}

/// It writes to one of these registers, or a part of one.
pub(super) fn writes_any(
    factory: &mut InstructionInfoFactory,
    instruction: &Instruction,
    registers: &[Register],
) -> bool {
    let info = factory.info(instruction);
    info.used_registers().iter().any(|used| {
        let is_write = !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead);
        is_write && registers.contains(&used.register().full_register())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_after_the_stack_check() {
        // cmp rsp,[r14+10h]; jbe; push rbp
        let code = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x55, 0x48, 0x89, 0xe5];
        assert_eq!(find(&code, 0x1000), (0x1006, Price::Emulated, false));
        // lea r12,[rsp-80h]; cmp r12,[r14+10h]; jbe near; push rbp
        let code =
            [0x4c, 0x8d, 0x64, 0x24, 0x80, 0x4d, 0x3b, 0x66, 0x10, 0x0f, 0x86, 0x00, 0x02, 0x00, 0x00, 0x55, 0x90];
        assert_eq!(find(&code, 0x1000), (0x100f, Price::Emulated, false));
        // push rbp at once (no check)
        assert_eq!(find(&[0x55, 0x48, 0x89, 0xe5], 7), (7, Price::Emulated, false));
    }

    #[test]
    fn branch_that_is_not_the_check() {
        // cmp rsp,[r14+10h]; jbe; sub rsp,18h; mov [rsp+10h],rbp; lea rbp,[rsp+10h]; test rax,rax; je
        let code = [
            0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x48, 0x83, 0xec, 0x18, 0x48, 0x89, 0x6c, 0x24, 0x10, 0x48, 0x8d, 0x6c,
            0x24, 0x10, 0x48, 0x85, 0xc0, 0x74, 0x05,
        ];
        assert_eq!(find(&code, 0x1000), (0x1017, Price::Emulated, false));
    }

    #[test]
    fn check_itself_where_arguments_are_gone_after_it() {
        // cmp rsp,[r14+10h]; jbe; sub rsp,18h; mov rax,[rax]; test rax,rax; je
        let code = [
            0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x48, 0x83, 0xec, 0x18, 0x48, 0x8b, 0x00, 0x48, 0x85, 0xc0, 0x74, 0x05,
        ];
        assert_eq!(find(&code, 0x1000), (0x1004, Price::Emulated, true));
    }

    #[test]
    fn entry_where_nothing_is_emulated() {
        // mov rax,[rax]; ret
        assert_eq!(find(&[0x48, 0x8b, 0x00, 0xc3], 0x1000), (0x1000, Price::SingleStepped, false));
        assert_eq!(find(&[], 0x1000), (0x1000, Price::SingleStepped, false));
    }

    proptest::proptest! {
        /// Any bytes may stand where code should be; the site is inside of them.
        #[test]
        fn survives_any_bytes(code in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let (address, ..) = find(&code, 0x4000);
            proptest::prop_assert!((0x4000..0x4000 + code.len().max(1) as u64).contains(&address));
        }
    }
}
