//! What one core pays for an exchange and for a transaction: `cargo bench -p apm-agent --bench pipeline`.
//!
//! Medians of batches, so that a busy neighbour does not count. Compare runs of one machine and one hour only.

use std::{fmt::Write as _, hint::black_box, sync::Arc, time::Instant};

use apm_agent::{
    build::Document,
    clock::Clock,
    config::Capture,
    correlate::Ids,
    event::decode,
    exchange::{Side, Signal, Stamp},
    intake,
    metadata::ServiceInstance,
    pipeline::Pipeline,
    protocol::{Join, Protocol, http1::Http1, postgres::Postgres},
    send::Output,
};
use apm_common::event::{DATA_OUTGOING, ROLE_CLIENT, ROLE_SERVER, kind};

const BATCHES: usize = 101;
const ROUNDS: usize = 2_000;

const REQUEST: &[u8] =
    b"GET /items/42?full=1 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
    Accept: text/html,application/xhtml+xml\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-GB\r\n\
    Cookie: theme=dark; session=0123456789abcdef\r\nConnection: keep-alive\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: bench/1\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\nContent-Type: text/plain\r\n\
    Content-Length: 12\r\nConnection: keep-alive\r\n\r\nHello, shop!";
const STATEMENT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;";

fn main() {
    let http = [(Side::Client, REQUEST.to_vec()), (Side::Server, RESPONSE.to_vec())];
    converse("HTTP/1.1 request and response", &Http1, &[], &http);
    converse("PostgreSQL simple query", &Postgres, &greeting(), &simple());
    converse("PostgreSQL prepared statement", &Postgres, &prepared_greeting(), &prepared());
    transactions(true);
    transactions(false);
}

/// Prints the median time of a round, after one batch to warm up.
fn measure(what: &str, mut round: impl FnMut()) {
    let mut batch = || {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| round());
        start.elapsed().as_nanos() as f64 / ROUNDS as f64
    };
    batch();
    let mut times: Vec<f64> = (0..BATCHES).map(|_| batch()).collect();
    times.sort_by(f64::total_cmp);
    println!("{what:<55} {:>8.0} ns  (fastest {:.0})", times[BATCHES / 2], times[0]);
}

type Chunk = (Side, Vec<u8>);

/// Feeds a conversation the same exchange again and again.
fn converse(what: &str, protocol: &dyn Protocol, greeting: &[Chunk], exchange: &[Chunk]) {
    let mut conversation = protocol.conversation(Join::Start);
    let mut signals = Vec::new();
    let mut at = Stamp::default();
    for (side, bytes) in greeting {
        conversation.feed(*side, bytes, at, &mut signals);
    }
    let mut done = 0;
    measure(what, || {
        for (side, bytes) in exchange {
            at.time += 1_000;
            conversation.feed(*side, black_box(bytes), at, &mut signals);
        }
        done += signals.drain(..).filter(|signal| matches!(signal, Signal::Done(_))).count();
    });
    let setup = usize::from(!greeting.is_empty()) * (greeting.len() / 2);
    assert_eq!(done, (BATCHES + 1) * ROUNDS + setup, "{what}: every exchange is seen");
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn greeting() -> Vec<Chunk> {
    let body = b"\0\x03\0\0user\0bench\0database\0shop\0\0";
    let startup = [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat();
    vec![(Side::Client, startup), (Side::Server, [message(b'R', &[0; 4]), message(b'Z', b"I")].concat())]
}

fn prepared_greeting() -> Vec<Chunk> {
    let parse = [message(b'P', format!("P0\0{STATEMENT}\0\0\0").as_bytes()), message(b'S', b"")].concat();
    let parsed = [message(b'1', b""), message(b'Z', b"I")].concat();
    [greeting(), vec![(Side::Client, parse), (Side::Server, parsed)]].concat()
}

fn answer() -> Vec<u8> {
    let row = message(b'D', b"\0\x01\0\0\0\x0242");
    let columns = message(b'T', b"\0\x01abalance\0\0\0\x40\x01\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    [columns, row, message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

fn simple() -> Vec<Chunk> {
    vec![(Side::Client, message(b'Q', format!("{STATEMENT}\0").as_bytes())), (Side::Server, answer())]
}

fn prepared() -> Vec<Chunk> {
    let bind = message(b'B', b"\0P0\0\0\0\0\x01\0\0\0\x044711\0\0");
    let ask = [bind, message(b'D', b"P\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    vec![(Side::Client, ask), (Side::Server, [message(b'2', b""), answer()].concat())]
}

const PID: u32 = 4711;

fn header(time: u64, kind: u16, flags: u16, len: usize) -> Vec<u8> {
    let mut record = time.to_ne_bytes().to_vec();
    record.extend([PID, PID].iter().flat_map(|id| id.to_ne_bytes()));
    record.extend([kind, flags].iter().flat_map(|value| value.to_ne_bytes()));
    record.extend((len as u32).to_ne_bytes());
    record
}

fn open(connection: u64, role: u8, remote_port: u16) -> Vec<u8> {
    let mut record = header(0, kind::OPEN, 0, 0);
    record.extend([connection, 0].iter().flat_map(|value| value.to_ne_bytes()));
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[127, 0, 0, 1]);
    record.extend([address, address].concat());
    record.extend([8080, remote_port, libc::AF_INET as u16].iter().flat_map(|value| value.to_ne_bytes()));
    record.extend([role, 0, 0, 0, 0, 0]);
    record
}

/// A data event whose time and position go on from round to round.
struct Data {
    record: Vec<u8>,
    step: u64,
}

impl Data {
    fn new(connection: u64, flags: u16, bytes: &[u8], before: u64) -> Self {
        let mut record = header(0, kind::DATA, flags, bytes.len());
        record.extend([connection, before].iter().flat_map(|value| value.to_ne_bytes()));
        record.extend(bytes);
        Self { record, step: bytes.len() as u64 }
    }

    fn position(&self) -> u64 {
        u64::from_ne_bytes(self.record[32..40].try_into().unwrap())
    }

    fn advance(&mut self, time: u64) {
        let next = self.position() + self.step;
        self.record[32..40].copy_from_slice(&next.to_ne_bytes());
        self.record[..8].copy_from_slice(&time.to_ne_bytes());
    }
}

/// Writes lines, as every output of documents does.
struct Lines {
    bytes: Vec<u8>,
    documents: usize,
    written: bool,
}

impl Output for Lines {
    fn publish(&mut self, _instance: &Arc<ServiceInstance>, document: &Document) {
        self.documents += 1;
        if self.written {
            let _ = intake::write_document(black_box(document), &mut self.bytes);
        }
    }

    fn finish(&mut self) {}
}

/// A request with one query below it, from the kernel's records to lines.
fn transactions(written: bool) {
    let mut pipeline = Pipeline::new(Capture::default(), Ids::seeded(1), Clock { offset: 1_700_000_000_000_000_000 });
    pipeline.watch(PID, Arc::new(ServiceInstance { name: "shop".into(), ..ServiceInstance::default() }));
    let mut lines = Lines { bytes: Vec::new(), documents: 0, written };
    let mut handle = |record: &[u8], lines: &mut Lines| {
        let (header, event) = decode(black_box(record)).expect("a record");
        pipeline.handle(&header, &event, lines);
    };
    handle(&open(1, ROLE_SERVER, 50_000), &mut lines);
    handle(&open(2, ROLE_CLIENT, 5432), &mut lines);
    let mut passed = [0_u64; 2];
    for (side, bytes) in greeting() {
        let outgoing = side == Side::Client;
        handle(&Data::new(2, u16::from(outgoing) * DATA_OUTGOING, &bytes, 0).record, &mut lines);
        passed[usize::from(outgoing)] = bytes.len() as u64;
    }
    let [(_, query), (_, answer)] = <[Chunk; 2]>::try_from(simple()).expect("two chunks");
    let mut events = [
        Data::new(1, 0, REQUEST, 0),
        Data::new(2, DATA_OUTGOING, &query, passed[1]),
        Data::new(2, 0, &answer, passed[0]),
        Data::new(1, DATA_OUTGOING, RESPONSE, 0),
    ];
    lines.documents = 0;
    let (mut time, mut size) = (1_000, 0);
    let mut what = "records → documents of a request with a query".to_owned();
    if written {
        let _ = write!(what, ", and lines");
    }
    measure(&what, || {
        lines.bytes.clear();
        for event in &mut events {
            time += 1_000;
            handle(&event.record, &mut lines);
            event.advance(time);
        }
        size = lines.bytes.len();
    });
    assert_eq!(lines.documents, (BATCHES + 1) * ROUNDS * 2, "a transaction and a span each");
    println!("  ({size} bytes of lines)");
}
