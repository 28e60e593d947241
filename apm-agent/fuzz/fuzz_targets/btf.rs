//! Fuzzes the reader of the kernel's type information (`kernel::btf`).
#![no_main]

use apm_agent::kernel::btf::Btf;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(btf) = Btf::parse(input.to_vec()) else { return };
    for (structure, member) in [("a", "b"), ("task_struct", "tgid"), ("sock_common", "skc_daddr"), ("", "")] {
        btf.offset(structure, member);
    }
});
