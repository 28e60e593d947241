//! How deep the programs' stacks are. Since Linux 6.13 each function may have 512 bytes of its own; before, a program and
//! what it calls have them together (`check_max_stack_depth` in kernel/bpf/verifier.c), which no kernel at hand would say.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex, SymbolKind};

/// `MAX_BPF_STACK`
const MOST: u64 = 512;
/// What a function takes is rounded up to this, at least.
const UNIT: u64 = 32;

/// `BPF_REG_10`, the frame, and instructions (include/uapi/linux/bpf.h).
const FRAME: u8 = 10;
const LOAD: u8 = 1;
const STORES: [u8; 2] = [2, 3];
const MOVE: u8 = 0xbf;
const ADD: u8 = 0x07;
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_CALL`: of a function of the object, not of the kernel.
const OWN: u8 = 1;

/// Where a function begins.
type Place = (SectionIndex, u64);

/// A function: its name, the bytes of its frame, and what it calls.
struct Function {
    name: String,
    frame: u64,
    calls: Vec<Place>,
}

/// Checks that older kernels take every program of an object.
///
/// # Errors
/// With the programs that they refuse.
pub fn check(object: &[u8]) -> Result<()> {
    let functions = functions(object)?;
    let too_deep = functions.iter().filter_map(|(place, function)| {
        let depth = depth(&functions, *place, 8);
        (depth > MOST).then(|| format!("{} ({depth} bytes)", function.name))
    });
    let too_deep: Vec<_> = too_deep.collect();
    ensure!(
        too_deep.is_empty(),
        "before Linux 6.13 a program may have {MOST} bytes of stack with what it calls; more have: {}",
        too_deep.join(", ")
    );
    Ok(())
}

fn depth(functions: &HashMap<Place, Function>, place: Place, levels: u32) -> u64 {
    let Some(function) = functions.get(&place).filter(|_| levels > 0) else { return 0 };
    let below = function.calls.iter().map(|called| depth(functions, *called, levels - 1)).max();
    function.frame.max(1).next_multiple_of(UNIT) + below.unwrap_or(0)
}

fn functions(object: &[u8]) -> Result<HashMap<Place, Function>> {
    let file = object::File::parse(object)?;
    let mut found = HashMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index)?;
        let relocations: HashMap<u64, Place> = section
            .relocations()
            .filter_map(|(offset, relocation)| {
                let RelocationTarget::Symbol(target) = relocation.target() else { return None };
                let target = file.symbol_by_index(target).ok()?;
                Some((offset, (target.section_index()?, target.address())))
            })
            .collect();
        let (start, end) = (symbol.address() as usize, (symbol.address() + symbol.size()) as usize);
        let code = section.data()?.get(start..end).context("a function outside of its section")?;
        let mut function = Function { name: symbol.name()?.to_owned(), frame: 0, calls: Vec::new() };
        read(code, symbol.address(), |at| relocations.get(&at).copied().unwrap_or((index, at + 8)), &mut function);
        found.insert((index, symbol.address()), function);
    }
    ensure!(!found.is_empty(), "the object has no functions");
    Ok(found)
}

/// Reads a function's instructions. `base` says what the number in a call counts from.
fn read(code: &[u8], start: u64, base: impl Fn(u64) -> Place, function: &mut Function) {
    let mut is_frame = [false; 16];
    for (instruction, at) in code.chunks_exact(8).zip((start..).step_by(8)) {
        let &[operation, registers, low, high, a, b, c, d] = instruction else { continue };
        let (to, from) = (registers & 15, registers >> 4);
        let (offset, number) =
            (i64::from(i16::from_le_bytes([low, high])), i64::from(i32::from_le_bytes([a, b, c, d])));
        let class = operation & 7;
        let reached = match operation {
            ADD if is_frame[usize::from(to)] => number,
            _ if class == LOAD && from == FRAME || STORES.contains(&class) && to == FRAME => offset,
            _ => 0,
        };
        function.frame = function.frame.max(reached.min(0).unsigned_abs());
        is_frame[usize::from(to)] = operation == MOVE && from == FRAME;
        if operation == CALL && from == OWN {
            let (section, from) = base(at);
            // In a relocated call it counts from the instruction before.
            let is_local = from == at + 8;
            let words = if is_local { number } else { number + 1 };
            function.calls.push((section, from.wrapping_add_signed(8 * words)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_no_program_too_deep() {
        let object = std::fs::read(crate::tree::root().join(crate::ebpf::sources::OBJECT)).expect("the object");
        check(&object).expect("none");
        let functions = functions(&object).expect("functions");
        let depth_of = |name: &str| {
            let (place, _) = functions.iter().find(|(_, function)| function.name == name).expect("it is there");
            depth(&functions, *place, 8)
        };
        assert!(depth_of("go_handle") > 256, "it is known to have a large frame");
        let exit = functions.values().find(|function| function.name == "exit_recvmmsg").expect("it is there");
        assert!(exit.calls.iter().all(|called| functions.contains_key(called)) && !exit.calls.is_empty());
    }

    #[test]
    fn frames_and_calls_are_read() {
        // r2 = r10; r2 += -40; *(u64 *)(r10 - 16) = r1; call +1
        let code: [[u8; 8]; 4] = [
            [MOVE, 0xa2, 0, 0, 0, 0, 0, 0],
            [ADD, 0x02, 0, 0, 0xd8, 0xff, 0xff, 0xff],
            [0x7b, 0x1a, 0xf0, 0xff, 0, 0, 0, 0],
            [CALL, 0x10, 0, 0, 1, 0, 0, 0],
        ];
        let mut function = Function { name: String::new(), frame: 0, calls: Vec::new() };
        read(&code.concat(), 0, |at| (SectionIndex(1), at + 8), &mut function);
        assert_eq!((function.frame, function.calls), (40, vec![(SectionIndex(1), 40)]));
    }
}
