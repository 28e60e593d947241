//! Fuzzes the configuration file (`config::file`).
#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(error) = apm_agent::config::file::parse(Path::new("apm-agent.yml"), text) {
        assert!(!error.to_string().is_empty());
    }
});
