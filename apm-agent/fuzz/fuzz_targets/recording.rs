//! Fuzzes recordings (`recording`), and the pipeline behind them.
#![no_main]

use apm_agent::recording::{Frame, Replay};
use apm_agent_fuzz::pipeline::Played;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(mut replay) = Replay::read(input) else { return };
    let mut played = Played::new();
    while let Ok(Some(frame)) = replay.frame() {
        match frame {
            Frame::Event(record) => played.record(record),
            Frame::Service { pid, instance } => played.pipeline.watch(pid, instance),
            Frame::Clock(clock) => played.pipeline.set_clock(clock),
            Frame::Said(message) => played.said(&message),
            Frame::End { .. } => {}
        }
    }
    played.finish();
});
