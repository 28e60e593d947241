//! What every parser's fuzz target does: decodes the input into what may happen on a connection, plays it, and checks
//! what every parser promises for any bytes: no panic, exactly one `Done` for each `Opened`, bounded memory.

pub mod file;
pub mod pipeline;

use apm_agent::exchange::{Side, Signal, Stamp};
use apm_agent::protocol::{Join, PROTOCOLS, Protocol};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Most bytes one conversation may hold, signals taken out: above what any parser's header states.
const CONVERSATION_BYTES: usize = 16 * 1024 * 1024;

/// Counts the bytes in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged; only counters are kept beside.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promises are those `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes in use now, all threads together.
pub fn bytes_in_use() -> usize {
    IN_USE.load(Relaxed)
}

/// Defines the fuzz target of a protocol, by its name in `PROTOCOLS`.
#[macro_export]
macro_rules! fuzz_protocol {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::play($name, input));
    };
}

/// Plays one input. See [`Reader`] for how it is decoded.
pub fn play(name: &str, input: &[u8]) {
    let protocol = *PROTOCOLS.iter().find(|protocol| protocol.name() == name).expect("the protocol is in the list");
    let mut reader = Reader { rest: input };
    let join = if reader.byte() & 1 == 0 { Join::Start } else { Join::Late };
    check_recognise(protocol, input, join);

    let before = IN_USE.load(Relaxed);
    let mut conversation = protocol.conversation(join);
    let mut signals = Vec::new();
    let mut pairs = Pairs::default();
    let mut time = 0;
    while let Some(operation) = reader.operation() {
        time += 1;
        let at = Stamp { time, mark: time };
        match operation {
            Operation::Feed(side, bytes) => conversation.feed(side, bytes, at, &mut signals),
            Operation::Gap(side, length) => conversation.gap(side, length, at, &mut signals),
            Operation::Close(by) => conversation.close(by, at, &mut signals),
        }
        pairs.check(&mut signals);
        let held = IN_USE.load(Relaxed).saturating_sub(before);
        assert!(held < CONVERSATION_BYTES, "the conversation holds {held} bytes");
    }
    conversation.finish(Stamp { time: time + 1, mark: 0 }, &mut signals);
    pairs.check(&mut signals);
    assert!(pairs.open.is_empty(), "never done: {:?}", pairs.open);
}

/// Any split of the input into two sides is judged without panic.
fn check_recognise(protocol: &dyn Protocol, input: &[u8], join: Join) {
    let (client, server) = input.split_at(input.len() / 2);
    protocol.recognise(client, server, join);
    protocol.recognise(input, b"", join);
    protocol.recognise(b"", input, join);
}

/// The serials that are open.
#[derive(Default)]
struct Pairs {
    opened: u64,
    open: Vec<u64>,
}

impl Pairs {
    fn check(&mut self, signals: &mut Vec<Signal>) {
        for signal in signals.drain(..) {
            match signal {
                Signal::Opened { serial, .. } => {
                    assert_eq!(serial, self.opened, "serials count up from 0");
                    self.opened += 1;
                    self.open.push(serial);
                }
                Signal::Request { serial, .. } => assert!(self.open.contains(&serial), "request {serial} is not open"),
                Signal::Done(exchange) => {
                    let place = self.open.iter().position(|serial| *serial == exchange.serial);
                    self.open.remove(place.expect("what is done was open"));
                }
                Signal::Resynchronised { .. } | Signal::RequestsMissed | Signal::Opaque => {}
            }
        }
        // The room of the drained signals must not count as the conversation's.
        signals.shrink_to_fit();
    }
}

enum Operation<'a> {
    Feed(Side, &'a [u8]),
    Gap(Side, u64),
    Close(Option<Side>),
}

/// Decodes the input: after a first byte (bit 0: joined late) each operation is a byte that says what and who, and a
/// length in one byte, or two; a feed is followed by its bytes.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    fn operation(&mut self) -> Option<Operation<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let kind = self.byte();
        let side = if kind & 1 == 0 { Side::Client } else { Side::Server };
        Some(match kind & 0b1110 {
            // Rare on purpose: what follows a close is dull.
            0b1110 => Operation::Close(if kind & 16 == 0 { Some(side) } else { None }),
            0b1100 | 0b1010 => Operation::Gap(side, u64::from(self.byte()) << (kind >> 4)),
            long => {
                let high = if long == 0b1000 { self.byte() } else { 0 };
                let length = usize::from(u16::from_be_bytes([high, self.byte()]));
                let (bytes, rest) = self.rest.split_at(length.min(self.rest.len()));
                self.rest = rest;
                Operation::Feed(side, bytes)
            }
        })
    }
}
