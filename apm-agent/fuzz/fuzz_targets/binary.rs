//! Fuzzes the reader of executables (`binary`).
#![no_main]

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    path::Path,
    sync::OnceLock,
};

use apm_agent::binary::Binary;

/// A file without a name: executables are read from files.
fn file() -> &'static File {
    static FILE: OnceLock<File> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = format!("/dev/shm/apm-agent-fuzz-{}", std::process::id());
        let file = File::options().create_new(true).read(true).write(true).open(&path).expect("a file in memory");
        std::fs::remove_file(&path).expect("it is ours");
        file
    })
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut file = file();
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(input)).expect("memory is there");
    let Ok(binary) = Binary::read(file.try_clone().expect("a descriptor"), Path::new("fuzzed")) else { return };
    binary.exports("Py_Version");
    binary.links("libc.so");
    binary.constant::<4>("Py_Version");
    binary.text_after(b"node v", |text| text.len() > 3);
});
