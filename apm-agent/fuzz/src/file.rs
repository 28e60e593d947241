//! Inputs as files: executables are read from files.

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    sync::OnceLock,
};

/// A file without a name, in memory, with these bytes; the same one each time.
pub fn holding(bytes: &[u8]) -> File {
    static FILE: OnceLock<File> = OnceLock::new();
    let mut file = FILE.get_or_init(|| {
        let path = format!("/dev/shm/apm-agent-fuzz-{}", std::process::id());
        let file = File::options().create_new(true).read(true).write(true).open(&path).expect("a file in memory");
        std::fs::remove_file(&path).expect("it is ours");
        file
    });
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(bytes)).expect("memory is there");
    file.try_clone().expect("a descriptor")
}
