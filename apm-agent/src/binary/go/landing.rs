//! Where the results of a function are seen cheaply: after its calls instead of at its returns.
//!
//! Every `ret` is single-stepped by the kernel. But a caller nearly always tests or stores what it got, and the first
//! instruction after the call that the kernel emulates mostly has the results still in their registers. Callers that
//! hand the results on unchanged are climbed through.

use std::collections::HashSet;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Register};

use super::{
    GoBinary,
    functions::Function,
    image::Image,
    site::{self, Price, Site},
};

/// Instructions looked at after a call.
const MOST_INSTRUCTIONS: usize = 32;

/// Callers climbed through, one above the other.
const DEEPEST: usize = 4;

/// Calls looked at for one function.
const MOST_CALLS: usize = 256;

/// Code decoded for one function, in bytes.
pub(super) const MOST_CODE: usize = 64 << 20;

/// Bytes of a near call or jump with a 32-bit distance.
const CALL_LENGTH: u64 = 5;

/// Where results are seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landings {
    /// In order of address. Where a caller can only be left by its own return, that is single-stepped.
    pub sites: Vec<Site>,
    /// Every call has one: each caller is known, and none overwrites a result before.
    pub is_complete: bool,
}

/// Who calls whom directly, by distances from the start of the code: the callee and the call.
#[derive(Debug)]
pub(super) struct CallIndex(Vec<(u32, u32)>);

impl CallIndex {
    /// Finds everything that looks like a call of, or a jump to, the first instruction of a function.
    pub(super) fn build(image: &Image, text: u64, text_end: u64, entries: &HashSet<u32>) -> Self {
        const PIECE: u64 = 1 << 20;
        let mut calls = Vec::new();
        let mut start = text;
        while start < text_end {
            // The file ends where it ends, whatever the module data say of the code.
            let Some(piece) = image.bytes(start, (text_end - start).min(PIECE + CALL_LENGTH - 1)) else { break };
            for place in memchr::memchr2_iter(0xe8, 0xe9, &piece).filter(|place| (*place as u64) < PIECE) {
                let Some(distance) = piece.get(place + 1..place + 5) else { continue };
                let distance = i32::from_le_bytes(distance.try_into().unwrap_or_default());
                let call = start + place as u64;
                let target = (call + CALL_LENGTH).wrapping_add_signed(distance.into()).wrapping_sub(text);
                if let (Ok(target), Ok(call)) = (u32::try_from(target), u32::try_from(call - text))
                    && entries.contains(&target)
                {
                    calls.push((target, call));
                }
            }
            start += PIECE;
        }
        calls.sort_unstable();
        Self(calls)
    }

    fn of(&self, callee: u32) -> impl Iterator<Item = u32> {
        let start = self.0.partition_point(|(other, _)| *other < callee);
        self.0.iter().skip(start).take_while(move |(other, _)| *other == callee).map(|(_, call)| *call)
    }
}

/// What follows a call.
enum After {
    Site(u64),
    /// The results go on to the caller's caller; the address of the `ret`.
    Return(u64),
    Lost,
}

/// A search for the landings of one function.
pub(super) struct Search<'binary> {
    pub(super) binary: &'binary GoBinary,
    pub(super) calls: &'binary CallIndex,
    /// Registers that hold results.
    pub(super) results: &'binary [Register],
    pub(super) seen: HashSet<u64>,
    /// Bytes of code that may still be decoded.
    pub(super) budget: usize,
    pub(super) found: Landings,
}

impl Search<'_> {
    /// Adds the landings of all calls of a function; false when some are not known.
    pub(super) fn callers_of(&mut self, function: &Function, depth: usize) -> bool {
        if !self.seen.insert(function.entry) {
            return true;
        }
        // Whose address is stored somewhere is called from where no one can see.
        if depth > DEEPEST || self.binary.is_stored(function.entry) {
            return false;
        }
        let Some(callee) = self.binary.text_distance(function.entry) else { return false };
        let mut is_complete = true;
        let mut count = 0;
        for call in self.calls.of(callee).take(MOST_CALLS) {
            count += 1;
            is_complete &= self.call(function, call, depth);
        }
        is_complete && (1..MOST_CALLS).contains(&count)
    }

    fn call(&mut self, callee: &Function, distance: u32, depth: usize) -> bool {
        let address = self.binary.text_address(distance);
        let Some(caller) = self.binary.function_at(address) else { return true };
        let Some(code) = self.binary.code(&caller) else { return false };
        let Some(budget) = self.budget.checked_sub(code.len()) else { return false };
        self.budget = budget;
        let Some(instruction) = instruction_at(&code, caller.entry, address) else { return true };
        if instruction.flow_control() == FlowControl::UnconditionalBranch {
            // Functions jump to their own start after the stack was grown; others do in place of a call at their end.
            return caller.entry == callee.entry || self.callers_of(&caller, depth + 1);
        }
        let place = usize::try_from(instruction.next_ip() - caller.entry).unwrap_or(usize::MAX);
        match self.after(code.get(place..).unwrap_or_default(), instruction.next_ip()) {
            After::Site(address) => self.add(address, Price::Emulated),
            After::Return(address) => {
                let before = self.found.sites.len();
                if self.callers_of(&caller, depth + 1) {
                    return true;
                }
                // Some of its callers are unknown: its own return sees them all.
                self.found.sites.truncate(before);
                self.add(address, Price::SingleStepped)
            }
            After::Lost => false,
        }
    }

    fn add(&mut self, address: u64, price: Price) -> bool {
        let site = self.binary.file_offset(address).map(|offset| Site { address, offset, price, repeats: false });
        self.found.sites.extend(site);
        site.is_some()
    }

    fn after(&self, code: &[u8], start: u64) -> After {
        let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
        let mut written = InstructionInfoFactory::new();
        for instruction in decoder.iter().take(MOST_INSTRUCTIONS) {
            if site::is_push(&instruction) || site::is_emulated(&instruction) || instruction.code() == Code::Nopd {
                return After::Site(instruction.ip());
            }
            match instruction.flow_control() {
                FlowControl::Return => return After::Return(instruction.ip()),
                FlowControl::Next if !site::writes_any(&mut written, &instruction, self.results) => {}
                _ => return After::Lost,
            }
        }
        After::Lost
    }
}

/// The instruction at an address, when one begins there.
fn instruction_at(code: &[u8], entry: u64, address: u64) -> Option<Instruction> {
    let mut decoder = Decoder::with_ip(64, code, entry, DecoderOptions::NONE);
    decoder.iter().find(|instruction| instruction.ip() >= address).filter(|instruction| instruction.ip() == address)
}
