//! Recorded streams (`tests/nettrace/ORIGIN.md`), and some made by hand for what the run time does not send.

use super::*;

/// A recorded stream.
pub(in crate::runtime::dotnet) fn recorded(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nettrace");
    std::fs::read(folder.join(name)).expect("a recorded stream")
}

const RECORDED: [&str; 3] = ["dotnet10.nettrace", "dotnet8.nettrace", "small10.nettrace"];

/// Everything a stream tells, and how it ended.
fn told<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Result<(), NettraceError>, Dropped) {
    let mut reader = Reader::new();
    let mut items = Vec::new();
    let mut end = Ok(());
    for piece in pieces {
        let read = reader.feed(piece, |item| items.push(format!("{item:?}")));
        end = end.and(read);
    }
    (items, end.and(reader.finish()), reader.dropped())
}

fn told_whole(bytes: &[u8]) -> (Vec<String>, Result<(), NettraceError>, Dropped) {
    told([bytes].into_iter())
}

#[test]
fn recorded_streams_are_read_whole() {
    // As many as another reader finds: see `ORIGIN.md`.
    for (name, events) in [("dotnet10.nettrace", 240), ("dotnet8.nettrace", 243), ("small10.nettrace", 16)] {
        let bytes = recorded(name);
        let mut reader = Reader::new();
        let (mut count, mut lost, mut trace) = (0, 0, None);
        let mut times = Vec::new();
        let read = reader.feed(&bytes, |item| match item {
            Item::Trace(first) => trace = Some(first),
            Item::Lost(more) => lost += more,
            Item::Event(event) => {
                count += 1;
                times.push(event.time);
                assert!(!event.provider.is_empty() && event.level <= Level::VERBOSE, "{event:?}");
            }
        });
        assert_eq!((read, reader.finish(), reader.has_ended()), (Ok(()), Ok(()), true), "{name}");
        assert_eq!(count, events, "{name}");
        assert_eq!((lost, reader.dropped()), (0, Dropped::default()), "{name}");
        let trace = trace.expect("the first object");
        assert_eq!((trace.frequency, trace.pointer_size, trace.processors), (1_000_000_000, 8, 2));
        // 2026-11-21, and three seconds at most.
        assert!((1_795_219_200_000..1_795_305_600_000).contains(&trace.wall_time_ms), "{trace:?}");
        assert!(times.iter().all(|time| (trace.time..trace.time + 4_000_000_000).contains(time)), "{name}");
        assert_eq!(reader.position(), bytes.len() as u64);
    }
}

#[test]
fn pieces_of_any_size_tell_the_same() {
    for name in RECORDED {
        let bytes = recorded(name);
        let whole = told_whole(&bytes);
        for size in [1, 2, 3, 7, 64, 1000, 4096, 65_536] {
            assert!(told(bytes.chunks(size)) == whole, "{name} in pieces of {size}");
        }
    }
}

#[test]
fn a_cut_is_noticed_wherever_it_is() {
    for (name, step) in [("small10.nettrace", 1), ("dotnet8.nettrace", 997), ("dotnet10.nettrace", 991)] {
        let bytes = recorded(name);
        let (all, ..) = told_whole(&bytes);
        for length in (0..bytes.len()).step_by(step) {
            let (items, end, _) = told_whole(&bytes[..length]);
            assert_eq!(end, Err(NettraceError::Truncated { at: length as u64 }), "{name}");
            assert!(all.starts_with(&items), "{name} cut at {length}");
        }
    }
}

#[test]
fn an_error_is_told_once() {
    let mut reader = Reader::new();
    assert_eq!(reader.feed(&[b'x'; 100], |_| panic!("nothing")), Err(NettraceError::NotNettrace));
    assert_eq!(reader.feed(&recorded("small10.nettrace"), |_| panic!("nothing")), Ok(()));
    assert_eq!(reader.finish(), Ok(()));
    let newest = [b"Nettrace\0\0\0\0\x06\0\0\0".as_slice(), &[0; 64]].concat();
    assert_eq!(told_whole(&newest).1, Err(NettraceError::NotNettrace), "version 6");
    let mut newer = recorded("small10.nettrace");
    newer[39] = 9;
    assert_eq!(told_whole(&newer).1, Err(NettraceError::Newer(9)));
    let mut torn = recorded("small10.nettrace");
    let end_of_trace = torn.windows(5).position(|bytes| bytes == b"Trace").expect("the name") + 5 + 1 + TRACE_LENGTH;
    assert_eq!(torn[end_of_trace], 6);
    torn[end_of_trace] = 7;
    assert!(matches!(told_whole(&torn).1, Err(NettraceError::Garbled { .. })));
}

const TRACE_LENGTH: usize = 48;

/// A stream made by hand.
struct Made(Vec<u8>);

impl Made {
    fn new() -> Self {
        let mut made = Self(b"Nettrace\x14\0\0\0!FastSerialization.1".to_vec());
        made.begin("Trace");
        for part in [2026_u16, 11, 6, 21, 10, 0, 0, 0] {
            made.0.extend(part.to_le_bytes());
        }
        // A clock of 10 MHz.
        for number in [50_u64, 10_000_000] {
            made.0.extend(number.to_le_bytes());
        }
        for number in [8_u32, 7, 2, 0] {
            made.0.extend(number.to_le_bytes());
        }
        made.0.push(6);
        made
    }

    fn begin(&mut self, name: &str) {
        self.0.extend([5, 5, 1, 4, 0, 0, 0, 4, 0, 0, 0]);
        self.0.extend((name.len() as u32).to_le_bytes());
        self.0.extend(name.as_bytes());
        self.0.push(6);
    }

    fn block(mut self, name: &str, body: &[u8]) -> Self {
        self.begin(name);
        self.0.extend((body.len() as u32).to_le_bytes());
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
        self.0.extend(body);
        self.0.push(6);
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(1);
        self.0
    }
}

fn text(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// A block of events with heads that are whole.
fn plain(events: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![20, 0, 0, 0];
    body.extend([0; 16]);
    for event in events {
        body.extend((event.len() as u32).to_le_bytes());
        body.extend(event);
        while !body.len().is_multiple_of(4) {
            body.push(0);
        }
    }
    body
}

fn event(metadata: u32, sequence: u32, time: u64, payload: &[u8]) -> Vec<u8> {
    let mut event = Vec::new();
    event.extend((metadata | 0x8000_0000).to_le_bytes());
    event.extend(sequence.to_le_bytes());
    event.extend([11_u64.to_le_bytes(), 12_u64.to_le_bytes(), [0; 8], time.to_le_bytes()].concat());
    event.extend([3; 16]);
    event.extend([0; 16]);
    event.extend((payload.len() as u32).to_le_bytes());
    event.extend(payload);
    event
}

fn description(number: u32, fields: &[u8]) -> Vec<u8> {
    let head = [&number.to_le_bytes()[..], &text("P"), &5_u32.to_le_bytes(), &text("E"), &0x10_u64.to_le_bytes()];
    [&head.concat()[..], &2_u32.to_le_bytes(), &4_u32.to_le_bytes(), fields].concat()
}

#[test]
fn heads_that_are_whole_and_other_clocks() {
    // Of the fields, the first two are not there in version 4, the tags are of version 5: an opcode, and an array of bytes.
    let array = [&text("A")[..], &19_u32.to_le_bytes(), &6_u32.to_le_bytes()].concat();
    let mut fields = [0, 0, 0, 0, 1, 0, 0, 0, 1, 9].to_vec();
    fields.extend((array.len() as u32 + 8).to_le_bytes());
    fields.push(2);
    fields.extend([&1_u32.to_le_bytes()[..], &(array.len() as u32 + 4).to_le_bytes(), &array].concat());
    let stream = Made::new()
        .block("MetadataBlock", &plain(&[event(0, 0, 0, &description(1, &fields))]))
        .block("Unknown", &[0xff; 333])
        .block("EventBlock", &plain(&[event(1, 1, 70, b"abc"), event(2, 2, 71, b""), event(1, 4, 72, b"")]))
        .end();
    let mut reader = Reader::new();
    let mut seen = Vec::new();
    let read = reader.feed(&stream, |item| match item {
        Item::Trace(trace) => assert_eq!((trace.time, trace.pid), (5000, 7)),
        Item::Lost(count) => seen.push(("lost".to_string(), count, Vec::new())),
        Item::Event(event) => {
            assert_eq!((event.provider, event.id, event.name, event.version), ("P", 5, "E", 2));
            assert_eq!((event.level, event.keywords, event.thread), (Level::INFORMATIONAL, 0x10, 11));
            assert_eq!(event.activity, [3; 16]);
            let kind = Kind::Array(Box::new(Kind::UInt8));
            assert_eq!(event.fields, [Field { name: "A".into(), kind }]);
            seen.push(("event".to_string(), event.time, event.payload.to_vec()));
        }
    });
    assert_eq!((read, reader.has_ended()), (Ok(()), true));
    let told = |what: &str, number, bytes: &[u8]| (what.to_string(), number, bytes.to_vec());
    assert_eq!(seen, [told("event", 7000, b"abc"), told("event", 7200, b""), told("lost", 1, b"")]);
    assert_eq!(reader.dropped(), Dropped { undescribed_events: 1, ..Dropped::default() });
}

#[test]
fn sequence_points_tell_of_lost_events() {
    let mut point = [&9_u64.to_le_bytes()[..], &2_u32.to_le_bytes()].concat();
    for (thread, number) in [(12_u64, 5_u32), (99, 0)] {
        point.extend([&thread.to_le_bytes()[..], &number.to_le_bytes()].concat());
    }
    let made = || {
        Made::new()
            .block("MetadataBlock", &plain(&[event(0, 0, 0, &description(1, &[]))]))
            .block("EventBlock", &plain(&[event(1, 1, 70, b"")]))
    };
    let (items, end, dropped) = told_whole(&made().block("SPBlock", &point).end());
    assert_eq!((items.last().map(String::as_str), end, dropped), (Some("Lost(4)"), Ok(()), Dropped::default()));
    let (_, end, dropped) = told_whole(&made().block("SPBlock", &point[..30]).end());
    assert_eq!((end, dropped.garbled_blocks), (Ok(()), 1));
}

#[test]
fn what_is_too_large_is_skipped_and_counted() {
    let stream = Made::new()
        .block("EventBlock", &vec![0; LARGEST_BLOCK + 1])
        .block("StackBlock", &vec![0; LARGEST_BLOCK + 1])
        .block("EventBlock", b"\xff\xff\x01\0")
        .end();
    for size in [1 << 22, 4096, 1 << 16] {
        let (items, end, dropped) = told(stream.chunks(size));
        assert_eq!((items.len(), end), (1, Ok(())));
        assert_eq!(dropped, Dropped { large_blocks: 1, garbled_blocks: 1, ..Dropped::default() });
    }
}

#[test]
fn memory_is_bounded() {
    let mut reader = Reader::new();
    let mut stream = Made::new();
    let many: Vec<_> = (0..MOST as u32 + 7).map(|number| event(0, 0, 0, &description(number, &[]))).collect();
    for part in many.chunks(4000) {
        stream = stream.block("MetadataBlock", &plain(part));
    }
    // A size that never comes is not waited for with memory.
    let mut stream = stream.0;
    stream.extend(Made(Vec::new()).block("EventBlock", &[]).0[..25].iter());
    reader.feed(&stream, |_| {}).expect("readable");
    assert_eq!(reader.dropped().descriptions, 7);
    let deep = [1_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat().repeat(100_000);
    let block = plain(&[event(0, 0, 0, &description(1, &deep)), event(0, 0, 0, &[1, 2])]);
    let (_, end, dropped) = told_whole(&Made::new().block("MetadataBlock", &block).end());
    assert_eq!(
        (end, dropped.descriptions),
        (Ok(()), 1),
        "too deep is no description of fields, too short is none at all"
    );
}

const MOST: usize = metadata::MOST_ENTRIES;

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    /// Whatever a stream holds: an error at most, told once, and the same for pieces of any size.
    #[test]
    fn streams_may_hold_anything(
        lies in proptest::collection::vec((0_usize..4694, proptest::prelude::any::<u8>()), 1..30),
        size in 1_usize..5000,
    ) {
        let mut bytes = recorded("small10.nettrace");
        for (position, lie) in lies {
            bytes[position] = lie;
        }
        assert!(told(bytes.chunks(size)) == told_whole(&bytes));
    }
}
