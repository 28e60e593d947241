//! Calls of one function by another: what is passed is in its registers there, and the kernel emulates a near call.

use iced_x86::{Decoder, DecoderOptions};

use super::{
    GoBinary,
    functions::Function,
    site::{Price, Site},
};

impl GoBinary {
    /// Where one function calls another directly, in order of address. None for arm64.
    pub fn calls(&self, caller: &Function, callee: &Function) -> Vec<Site> {
        let Some(code) = self.code(caller) else { return Vec::new() };
        let mut decoder = Decoder::with_ip(64, &code, caller.entry, DecoderOptions::NONE);
        let calls = decoder
            .iter()
            .filter(|instruction| instruction.is_call_near() && instruction.near_branch_target() == callee.entry);
        let site = |address| {
            Some(Site { address, offset: self.file_offset(address)?, price: Price::Emulated, repeats: false })
        };
        calls.filter_map(|call| site(call.ip())).collect()
    }
}
