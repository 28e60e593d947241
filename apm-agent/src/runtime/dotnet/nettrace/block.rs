//! What is in blocks: events, descriptions of events, sequence points.
//!
//! ```text
//! block of events: header size u16 | flags u16 | … up to the header's size | events
//! ```

use super::{
    Cursor, Dropped, Event, Item, Level, Trace, frame::BlockKind, metadata::Descriptions, sequence::Sequences,
};

/// Flag of a block: headers of events are compressed.
const COMPRESSED: u16 = 1;

/// Head of an event; that of the event before in compressed blocks.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    metadata: u32,
    sequence: u32,
    thread: u64,
    capture_thread: u64,
    time: u64,
    activity: [u8; 16],
    size: u32,
}

/// What is known from the blocks read so far.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    trace: Trace,
    descriptions: Descriptions,
    sequences: Sequences,
    pub dropped: Dropped,
}

impl Blocks {
    /// The stream is about this process.
    pub fn begin(&mut self, trace: Trace) {
        self.trace = trace;
    }

    /// Reads a block. One that makes no sense is left where it stops doing so: the next one is not affected.
    pub fn read(&mut self, kind: BlockKind, body: &[u8], sink: &mut impl FnMut(Item<'_>)) {
        let whole = match kind {
            BlockKind::SequencePoint => self.sequence_point(body),
            BlockKind::Event => events(body, |head, payload| self.event(head, payload, sink)),
            BlockKind::Metadata => events(body, |_, payload| {
                if self.descriptions.add(payload).is_none() {
                    self.dropped.descriptions += 1;
                }
            }),
        };
        if whole.is_none() {
            self.dropped.garbled_blocks += 1;
        }
        self.dropped.threads = self.sequences.untracked();
        let lost = self.sequences.take_lost();
        if lost > 0 {
            sink(Item::Lost(lost));
        }
    }

    fn event(&mut self, head: &Head, payload: &[u8], sink: &mut impl FnMut(Item<'_>)) {
        self.sequences.event(head.capture_thread, head.sequence);
        let Some(description) = self.descriptions.get(head.metadata) else {
            self.dropped.undescribed_events += 1;
            return;
        };
        sink(Item::Event(Event {
            provider: &description.provider,
            id: description.id,
            name: &description.name,
            version: description.version,
            level: Level(description.level),
            keywords: description.keywords,
            time: self.trace.nanoseconds(head.time),
            thread: head.thread,
            activity: head.activity,
            fields: &description.fields,
            payload,
        }));
    }

    fn sequence_point(&mut self, body: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(body);
        let (_time, count) = (cursor.u64()?, cursor.u32()?);
        let threads = (0..count).map_while(|_| Some((cursor.u64()?, cursor.u32()?)));
        let told = self.sequences.checkpoint(threads);
        (told == u64::from(count)).then_some(())
    }
}

/// Calls `each` for every event of a block. `None` when the block makes no sense somewhere.
fn events(body: &[u8], mut each: impl FnMut(&Head, &[u8])) -> Option<()> {
    let mut header = Cursor::new(body);
    let (size, flags) = (header.u16()?, header.u16()?);
    let mut cursor = Cursor::new(body.get(usize::from(size).max(4)..)?);
    let mut head = Head::default();
    while !cursor.is_empty() {
        let payload = if flags & COMPRESSED != 0 {
            head.read_compressed(&mut cursor)?;
            cursor.bytes(usize::try_from(head.size).ok()?)?
        } else {
            head.read_plain(&mut cursor)?
        };
        each(&head, payload);
    }
    Some(())
}

impl Head {
    /// Reads a head of which only what differs from the one before is there.
    fn read_compressed(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let flags = cursor.u8()?;
        let has = |bit: u8| flags & bit != 0;
        if has(1) {
            self.metadata = cursor.varuint32()?;
        }
        if has(2) {
            self.sequence = self.sequence.wrapping_add(cursor.varuint32()?).wrapping_add(1);
            self.capture_thread = cursor.varuint64()?;
            let _processor = cursor.varuint32()?;
        } else if self.metadata != 0 {
            self.sequence = self.sequence.wrapping_add(1);
        }
        if has(4) {
            self.thread = cursor.varuint64()?;
        }
        if has(8) {
            let _stack = cursor.varuint32()?;
        }
        self.time = self.time.wrapping_add(cursor.varuint64()?);
        if has(16) {
            self.activity = cursor.array()?;
        }
        if has(32) {
            let _related_activity: [u8; 16] = cursor.array()?;
        }
        if has(128) {
            self.size = cursor.varuint32()?;
        }
        Some(())
    }

    /// Reads a head that is whole, and the payload after it.
    fn read_plain<'a>(&mut self, cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
        let size = usize::try_from(cursor.u32()?).ok()?;
        let mut event = Cursor::new(cursor.bytes(size)?);
        // The highest bit says that the events before it are sorted.
        self.metadata = event.u32()? & 0x7fff_ffff;
        (self.sequence, self.thread, self.capture_thread) = (event.u32()?, event.u64()?, event.u64()?);
        let _processor_and_stack = event.u64()?;
        self.time = event.u64()?;
        self.activity = event.array()?;
        let _related_activity: [u8; 16] = event.array()?;
        self.size = event.u32()?;
        let payload = event.bytes(usize::try_from(self.size).ok()?)?;
        // Zeros up to a position divisible by 4; a block begins at one.
        let padding = (4 - (size % 4)) % 4;
        cursor.bytes(padding.min(cursor.rest().len()))?;
        Some(payload)
    }
}
