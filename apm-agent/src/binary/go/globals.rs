//! Where the run time keeps its own variables. Nothing in a stripped binary names them, but the code of functions that
//! must use them does: what they pass to a function of theirs, or how they go through a slice. x86-64 only.

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::{GoBinary, functions::Function};

/// Addresses of variables of package `runtime`, as the file lays them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Globals {
    /// `memstats.heapStats`, with which `memstats` begins.
    pub heap_stats: u64,
    /// `gcController`
    pub gc_controller: u64,
    /// `sched.lock`
    pub sched_lock: u64,
    /// `allglen`
    pub all_goroutines: u64,
    /// `allp`, a slice.
    pub all_processors: u64,
}

/// Functions that lock `sched.lock` before anything else.
const LOCK_SCHED: [&str; 9] = [
    "runtime.stopm",
    "runtime.startm",
    "runtime.schedEnableUser",
    "runtime.goschedImpl",
    "runtime.injectglist",
    "runtime.exitsyscall0",
    "runtime.sysmon",
    "runtime.schedinit",
    "runtime.stopTheWorldWithSema",
];

/// What they call for it.
const LOCK: [&str; 3] = ["runtime.lock2", "runtime.lockWithRank", "runtime.lock"];

impl GoBinary {
    /// Where the run time's variables are; `None` where its code is not as expected.
    pub fn globals(&self) -> Option<Globals> {
        let refill = self.decoded("runtime.(*mcache).refill")?;
        let gcinit = self.decoded("runtime.gcinit")?;
        let init = ["runtime.(*gcControllerState).init", "runtime.(*gcControllerState).setGCPercent"];
        let mut locks: HashMap<u64, usize> = HashMap::new();
        for name in LOCK_SCHED {
            let lock = self.decoded(name).and_then(|code| self.receiver(&code, &LOCK));
            lock.into_iter().for_each(|lock| *locks.entry(lock).or_default() += 1);
        }
        let (sched_lock, votes) = locks.into_iter().max_by_key(|(_, votes)| *votes)?;
        Some(Globals {
            heap_stats: self.receiver(&refill, &["runtime.(*consistentHeapStats).acquire"])?,
            gc_controller: self.receiver(&gcinit, &init)?,
            sched_lock: Some(sched_lock).filter(|_| votes >= 2)?,
            all_goroutines: stored(&self.decoded("runtime.allgadd")?)?,
            all_processors: slice(&self.decoded("runtime.procresize")?)?,
        })
    }

    fn decoded(&self, name: &str) -> Option<Vec<Instruction>> {
        let function: Function = self.function(name)?;
        let code = self.code(&function)?;
        Some(Decoder::with_ip(64, &code, function.entry, DecoderOptions::NONE).iter().collect())
    }

    /// The address that is put into the first register of arguments before the first call of one of these.
    fn receiver(&self, code: &[Instruction], callees: &[&str]) -> Option<u64> {
        let callees: Vec<u64> = callees.iter().filter_map(|name| Some(self.function(name)?.entry)).collect();
        let mut address = None;
        for instruction in code {
            match instruction.mnemonic() {
                Mnemonic::Lea if instruction.op0_register() == Register::RAX => address = variable(instruction),
                Mnemonic::Call if callees.contains(&instruction.near_branch_target()) => return address,
                _ => {}
            }
        }
        None
    }
}

/// The address an instruction gives relative to itself.
fn variable(instruction: &Instruction) -> Option<u64> {
    instruction.is_ip_rel_memory_operand().then(|| instruction.ip_rel_memory_address())
}

/// Where a function last stores something atomically.
fn stored(code: &[Instruction]) -> Option<u64> {
    let (mut addresses, mut found) = (HashMap::new(), None);
    for instruction in code {
        match instruction.mnemonic() {
            Mnemonic::Lea => {
                addresses.insert(instruction.op0_register(), variable(instruction));
            }
            Mnemonic::Xchg if instruction.op0_kind() == OpKind::Memory => {
                let by_register = || addresses.get(&instruction.memory_base()).copied().flatten();
                found = variable(instruction).or_else(by_register).or(found);
            }
            _ => {}
        }
    }
    found
}

/// The slice whose pointer and length a function takes most often: three words in a row.
fn slice(code: &[Instruction]) -> Option<u64> {
    let mut uses: HashMap<u64, usize> = HashMap::new();
    for instruction in code.iter().filter(|instruction| instruction.mnemonic() == Mnemonic::Mov) {
        variable(instruction).into_iter().for_each(|place| *uses.entry(place).or_default() += 1);
    }
    let of = |place: u64| uses.get(&place).copied();
    let slices = uses.keys().filter_map(|place| {
        let (pointer, length, _) = (of(*place)?, of(place.checked_add(8)?)?, of(place.checked_add(16)?)?);
        Some((pointer + length, *place))
    });
    slices.max().map(|(_, place)| place)
}
