//! Fuzzes the reader of executables (`binary`).
#![no_main]

use std::path::Path;

use apm_agent::binary::Binary;
use apm_agent_fuzz::file;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(binary) = Binary::read(file::holding(input), Path::new("fuzzed")) else { return };
    binary.exports("Py_Version");
    binary.links("libc.so");
    binary.constant::<4>("Py_Version");
    binary.text_after(b"node v", |text| text.len() > 3);
});
