//! The whole way from a kernel event to a line of Elastic's JSON, for the targets whose input is events.

use std::sync::Arc;

use apm_agent::{
    bridge::Message, build::Document, clock::Clock, config::Capture, correlate::Ids, event::decode, intake,
    metadata::ServiceInstance, pipeline::Pipeline, send::Output,
};
use apm_common::event::kind;

use crate::bytes_in_use;

/// Most bytes the pipeline may hold after an input of libFuzzer's size: a few conversations and requests.
const PIPELINE_BYTES: usize = 64 * 1024 * 1024;

/// Writes documents and forgets them.
#[derive(Default)]
struct Nowhere {
    line: Vec<u8>,
}

impl Output for Nowhere {
    fn publish(&mut self, _: &Arc<ServiceInstance>, document: &Document) {
        self.line.clear();
        if intake::write_document(document, &mut self.line).is_ok() {
            assert_eq!(self.line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
        }
    }

    fn finish(&mut self) {}
}

/// A pipeline that is fed.
pub struct Played {
    /// The pipeline itself.
    pub pipeline: Pipeline,
    output: Nowhere,
    before: usize,
    last: u64,
}

impl Played {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it measures from where it was made")]
    pub fn new() -> Self {
        let before = bytes_in_use();
        let pipeline = Pipeline::new(Capture::default(), Ids::seeded(1), Clock { offset: 0 });
        Self { pipeline, output: Nowhere::default(), before, last: 0 }
    }

    /// Handles a record.
    pub fn record(&mut self, record: &[u8]) {
        let Some((header, event)) = decode(record) else { return };
        self.last = self.last.max(header.time);
        self.pipeline.handle(&header, &event, &mut self.output);
        self.pipeline.take_wishes();
        let held = bytes_in_use().saturating_sub(self.before);
        assert!(held < PIPELINE_BYTES, "the pipeline holds {held} bytes");
    }

    /// Handles what a run time said.
    pub fn said(&mut self, message: &Message) {
        self.last = self.last.max(message.time);
        self.pipeline.told(message, &mut self.output);
        self.pipeline.take_wishes();
    }

    /// Ends what is open.
    pub fn finish(mut self) {
        self.pipeline.finish(self.last, &mut self.output);
        for (name, value) in self.pipeline.counters() {
            assert!(!name.ends_with(".open") || value == 0, "{name} is {value} after the end");
        }
    }
}

/// Plays an input: the whole of it as one record, and then as a row of small ones that make sense. Each is seven bytes and
/// what they announce: kind, flags, process, connection, step of the position, length (two bytes), then bytes: the payload
/// of a data event, the rest of the body of any other.
pub fn play(input: &[u8]) {
    let mut played = Played::new();
    for pid in 1..4 {
        let name = format!("service {}", pid % 2);
        played.pipeline.watch(pid, Arc::new(ServiceInstance { name, ..ServiceInstance::default() }));
    }
    played.record(input);
    let mut positions = [[0_u64; 2]; 8];
    let (mut rest, mut time) = (input, 1_000_000_000);
    while let Some(([kind, flags, process, connection, step, high, low], bytes)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(bytes.len());
        let (bytes, after) = bytes.split_at(length);
        rest = after;
        time += 1_000_000 * u64::from(process >> 4);
        let (kind, connection) = (u16::from(kind % 10), u64::from(connection % 8));
        let mut record = header(time, u32::from(process & 3), kind, u16::from(*flags), length);
        record.extend(connection.to_ne_bytes());
        if kind == kind::DATA {
            let position = &mut positions[connection as usize][usize::from(flags & 1)];
            // Mostly where the stream has come to; now and then a gap, or a step back.
            *position = position.saturating_add_signed(i64::from(step.cast_signed()));
            record.extend(position.to_ne_bytes());
            *position += length as u64;
        }
        record.extend(bytes);
        played.record(&record);
    }
    played.finish();
}

fn header(time: u64, process: u32, kind: u16, flags: u16, length: usize) -> Vec<u8> {
    let mut record = time.to_ne_bytes().to_vec();
    record.extend(process.to_ne_bytes());
    record.extend((process + u32::from(flags >> 6)).to_ne_bytes());
    record.extend(kind.to_ne_bytes());
    record.extend(flags.to_ne_bytes());
    record.extend((length as u32).to_ne_bytes());
    record
}
