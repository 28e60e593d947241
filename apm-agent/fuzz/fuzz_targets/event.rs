//! Fuzzes kernel events (`event::decode`) and the whole pipeline behind them: see `pipeline::play` for how the input is read.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| apm_agent_fuzz::pipeline::play(input));
