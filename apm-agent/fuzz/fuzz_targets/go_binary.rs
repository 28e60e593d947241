//! Fuzzes the reader of Go programs (`binary::go`).
#![no_main]

use apm_agent::binary::go::GoBinary;
use apm_agent_fuzz::file;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(mut binary) = GoBinary::read(&file::holding(input)) else { return };
    for function in binary.functions().take(64) {
        let _ = (binary.site(&function), binary.landings(&function, 3));
        binary.symbolise(function.entry);
        binary.symbolise(function.end.wrapping_sub(1));
    }
    binary.inlined_copies("main.small");
    for found in binary.types().take(64) {
        binary.fields(found.address);
        binary.methods(found.address);
        binary.pointer_to(found.address);
    }
    binary.forget();
    binary.field("main.server", "Name");
    binary.itab("io.Writer", "*bufio.Writer");
    binary.context_types();
});
