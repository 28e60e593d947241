//! Fuzzes the reader of .NET's event streams (`runtime::dotnet`): replies of the diagnostics port, streams, payloads. The
//! first byte says in pieces of how many bytes the rest comes.
#![no_main]

use apm_agent::runtime::dotnet::{
    Event, Item, ProcessInfo, Reader, ipc,
    nettrace::{LARGEST_BLOCK, Level},
    payload::{Counter, Exception, GarbageCollection, LogRecord, SourceEvent},
};

/// Fields of events that the stream does not describe, or not so.
fn read(event: &Event) {
    if let Some(SourceEvent::Happened { arguments, .. }) = SourceEvent::read(event) {
        let mut length = 0;
        arguments.each(|name, value| length += name.units() + value.units());
        assert!(length * 2 <= event.payload.len(), "arguments are part of the payload");
    }
    Counter::read(event);
    LogRecord::read(event);
    Exception::read(event);
    GarbageCollection::read(event);
    assert!(event.level >= Level::ALWAYS && event.payload.len() <= LARGEST_BLOCK);
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((size, stream)) = input.split_first() else { return };
    let _ = (ipc::receive(&mut &stream[..]), ProcessInfo::read(stream));
    let mut reader = Reader::new();
    let mut errors = 0;
    for piece in stream.chunks(usize::from(*size) + 1) {
        let told = reader.feed(piece, |item| {
            assert_eq!(errors, 0, "nothing is told after an error");
            if let Item::Event(event) = item {
                read(&event);
            }
        });
        errors += u32::from(told.is_err());
    }
    errors += u32::from(reader.finish().is_err());
    assert!(errors <= 1, "an error is told once");
});
