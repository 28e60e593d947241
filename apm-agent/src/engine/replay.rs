//! Turns a recording into documents: the same ones every time.

use std::path::Path;

use crate::{
    config::Capture,
    correlate::Ids,
    event::decode,
    pipeline::Pipeline,
    recording::{Frame, RecordingError, Replay},
    send::Output,
};

/// Replays a recording into an output, which it does not finish. Gives back the counters.
///
/// # Errors
/// When the recording cannot be read; what came before the damage has been handed on.
pub fn replay(
    path: &Path,
    capture: Capture,
    output: &mut dyn Output,
) -> Result<Vec<(&'static str, u64)>, RecordingError> {
    let mut recording = Replay::open(path)?;
    let mut pipeline = Pipeline::new(capture, Ids::seeded(recording.seed), recording.clock);
    let mut last = 0;
    while let Some(frame) = recording.frame()? {
        match frame {
            Frame::Event(record) => {
                if let Some((header, event)) = decode(record) {
                    last = last.max(header.time);
                    pipeline.handle(&header, &event, output);
                }
            }
            Frame::Service { pid, instance } => pipeline.watch(pid, instance),
            Frame::Said(message) => pipeline.told(&message, output),
            Frame::Clock(clock) => pipeline.set_clock(clock),
            Frame::End { time } => last = last.max(time),
        }
        pipeline.take_wishes();
    }
    pipeline.finish(last, output);
    Ok(pipeline.counters())
}
