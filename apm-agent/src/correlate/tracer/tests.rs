//! Joining what a run time says with what the wire shows, event by event.

mod grpc;
mod outgoing;
mod statement;

use apm_common::{
    event::{CarriedBody, ROUTER_SERVE_MUX},
    propagation::begun,
};

use super::*;
use crate::{
    bridge::{
        CallBegan, Context, Failed, Message, Panicked, Recovered, Recoverer, RequestEnded, RequestFacts, Said,
        SpanEnded, SpanKind, SpanStatus, Thrown,
    },
    build::{Transaction, destination::Endpoint, sample},
    correlate::TraceId,
    event::Asked,
    exchange::{Sql, SqlError},
};

const PID: u32 = 7;
const PORT: u16 = 40_000;
const SECOND: Nanos = 1_000_000_000;

/// A tracer, and what the wire and the run time of one process tell it.
struct Stage {
    tracer: Tracer,
    instance: Arc<ServiceInstance>,
    addresses: Addresses,
}

fn context(span: u64, parent: Option<u64>) -> Context {
    Context { trace: TraceId(0xabc), span: SpanId(span), parent: parent.map(SpanId), sampled: true }
}

fn ended(span: u64, number: u64) -> Said {
    Said::RequestEnded(Box::new(RequestEnded {
        context: Some(context(span, None)),
        remote_port: PORT,
        ordinal: Some(("C".into(), number)),
        began: None,
        route: None,
        exception: None,
        facts: None,
    }))
}

impl Stage {
    fn new() -> Self {
        let remote = Endpoint::Ip(([127, 0, 0, 1], PORT).into());
        let mut stage = Self {
            tracer: Tracer::new(Capture::default(), Ids::seeded(1), Clock { offset: 0 }),
            instance: Arc::default(),
            addresses: Addresses { remote, ..Addresses::default() },
        };
        stage.say(0, Said::Began(Detail::default()));
        stage
    }

    /// A process whose requests probes name.
    fn named() -> Self {
        let mut stage = Self::new();
        stage.tracer.bridged.clear();
        stage.instance = Arc::new(ServiceInstance { agent_name: go::AGENT_NAME.into(), ..ServiceInstance::default() });
        stage
    }

    fn say(&mut self, time: Nanos, said: Said) {
        let instance = Arc::clone(&self.instance);
        self.tracer.told(&Message { pid: PID, time, said }, &instance);
    }

    fn party(&self, connection: u64) -> (Arc<ServiceInstance>, Addresses, u64) {
        (Arc::clone(&self.instance), self.addresses.clone(), connection)
    }

    fn wire(&mut self, connection: u64, act: impl FnOnce(&mut Tracer, &Party<'_>)) {
        let (instance, addresses, connection) = self.party(connection);
        let party =
            Party { connection, pid: PID, instance: &instance, addresses: &addresses, whole: true, carried: None };
        act(&mut self.tracer, &party);
    }

    fn request(&mut self, serial: u64, from: Nanos, to: Nanos) {
        self.wire(1, |tracer, party| {
            tracer.request_opened(party, serial, stamp(from, 1));
            tracer.request_done(party, exchange(serial, from, to, Payload::Http(sample::http("/a", &[]))));
        });
    }

    fn statement(&mut self, tid: u32, serial: u64, from: Nanos, to: Nanos, text: &str) {
        self.wire(2, |tracer, party| {
            tracer.call_opened(party, serial, stamp(from, tid));
            tracer.call_done(party, exchange(serial, from, to, Payload::Sql(sample::sql(text))));
        });
    }

    fn documents(&mut self) -> (Vec<Transaction>, Vec<Span>) {
        let (mut transactions, mut spans) = (Vec::new(), Vec::new());
        for (_, document) in self.tracer.take_documents() {
            match document {
                Document::Transaction(transaction) => transactions.push(transaction),
                Document::Span(span) => spans.push(span),
                _ => {}
            }
        }
        (transactions, spans)
    }
}

fn stamp(time: Nanos, tid: u32) -> Stamp {
    Stamp { time, mark: Mark { tid, polled: true, owner: 0 }.pack() }
}

fn exchange(serial: u64, from: Nanos, to: Nanos, payload: Payload) -> Box<Exchange> {
    let (opened, closed) = (stamp(from, 1), stamp(to, 1));
    Box::new(Exchange { serial, opened, closed, ..sample::exchange(Ending::Complete, payload) })
}

fn announced(tid: u32, parent: u64) -> Said {
    Said::CallBegan(CallBegan {
        tid,
        within: Some(Context { trace: TraceId(0xabc), span: SpanId(parent), parent: None, sampled: true }),
    })
}

#[test]
fn a_request_takes_the_place_the_run_time_gave_it() {
    let mut stage = Stage::new();
    stage.request(0, 10, 20);
    stage.request(1, 30, 40);
    assert!(stage.documents().0.is_empty(), "they wait");
    stage.say(45, ended(0x22, 1));
    stage.say(46, ended(0x11, 0));
    let (transactions, _) = stage.documents();
    let places: Vec<_> = transactions.iter().map(|one| (one.place.id.0, one.start, one.name.as_str())).collect();
    assert_eq!(places, [(0x22, 0, "GET /a"), (0x11, 0, "GET /a")]);
    assert_eq!(stage.tracer.counters.requests_joined, 2);
}

#[test]
fn a_statement_hangs_where_its_thread_announced_it() {
    let mut stage = Stage::new();
    stage.wire(1, |tracer, party| tracer.request_opened(party, 0, stamp(10, 1)));
    stage.say(11, announced(5, 0x11));
    stage.statement(5, 0, 12, 15, "SELECT 1");
    stage.wire(1, |tracer, party| {
        tracer.request_done(party, exchange(0, 10, 20, Payload::Http(sample::http("/a", &[]))));
    });
    stage.say(21, ended(0x11, 0));
    let (transactions, spans) = stage.documents();
    assert_eq!((transactions.len(), spans.len()), (1, 1));
    assert_eq!((spans[0].place.parent, spans[0].transaction), (Some(SpanId(0x11)), Some(SpanId(0x11))));
    assert_eq!(spans[0].place.trace, transactions[0].place.trace);
}

#[test]
fn a_drivers_own_statements_are_counted_and_not_told() {
    let mut stage = Stage::new();
    stage.statement(5, 0, 5, 6, "SELECT oid FROM pg_type");
    stage.say(11, announced(5, 0x11));
    stage.statement(5, 1, 12, 15, "SELECT 1");
    stage.say(20, Said::Heard);
    stage.say(3 * SECOND, Said::Heard);
    stage.say(4 * SECOND, Said::Ended);
    let (transactions, spans) = stage.documents();
    assert_eq!((transactions.len(), spans.len()), (0, 1), "{spans:?}");
    // Its transaction never ended while the run time spoke.
    assert_eq!(spans[0].transaction, None);
    assert_eq!(stage.tracer.counters.calls_internal, 1);
}

#[test]
fn a_call_is_the_span_it_carried() {
    let mut stage = Stage::new();
    let sent = [("traceparent", "00-00000000000000000000000000000abc-0000000000000033-01")];
    let headers =
        TraceHeaders { traceparent: Some(sent[0].1.to_owned()), traceparent_count: 1, ..TraceHeaders::default() };
    stage.wire(3, |tracer, party| {
        tracer.call_opened(party, 0, stamp(12, 5));
        tracer.call_sent(party, 0, &headers);
        tracer.call_done(party, exchange(0, 12, 18, Payload::Http(sample::http("/b", &sent))));
    });
    stage.say(19, Said::SpanEnded(Box::new(client_span(0x33, Some(0x11)))));
    stage.request(0, 10, 20);
    stage.say(21, ended(0x11, 0));
    let (_, spans) = stage.documents();
    assert_eq!(spans.len(), 1, "the wire's and the run time's are one");
    assert_eq!((spans[0].place.id, spans[0].place.parent), (SpanId(0x33), Some(SpanId(0x11))));
    assert_eq!(spans[0].transaction, Some(SpanId(0x11)));
}

fn client_span(id: u64, parent: Option<u64>) -> SpanEnded {
    SpanEnded {
        source: "System.Net.Http".into(),
        name: "GET".into(),
        context: context(id, parent),
        remote_parent: false,
        duration: 5,
        kind: SpanKind::Client,
        status: SpanStatus::Unset,
        attributes: vec![("url.full".into(), "https://api.example/x".into())],
    }
}

#[test]
fn spans_below_spans_find_their_transaction() {
    let mut stage = Stage::new();
    let own = SpanEnded { source: "Shop".into(), kind: SpanKind::Internal, ..client_span(0x44, Some(0x11)) };
    stage.say(12, announced(5, 0x44));
    stage.statement(5, 0, 13, 14, "SELECT 1");
    stage.say(15, Said::SpanEnded(Box::new(own)));
    stage.request(0, 10, 20);
    stage.say(21, ended(0x11, 0));
    let (_, mut spans) = stage.documents();
    spans.sort_by_key(|span| span.place.parent.map(|parent| parent.0));
    let parents: Vec<_> = spans.iter().map(|span| (span.place.parent, span.transaction)).collect();
    let root = Some(SpanId(0x11));
    assert_eq!(parents, [(root, root), (Some(SpanId(0x44)), root)]);
}

#[test]
fn what_stays_alone_goes_out_as_the_wire_shows_it() {
    let mut stage = Stage::new();
    stage.request(0, 10, 20);
    stage.say(SECOND, Said::Heard);
    assert!(stage.documents().0.is_empty());
    stage.say(3 * SECOND, Said::Heard);
    let (transactions, _) = stage.documents();
    assert_eq!((transactions.len(), transactions[0].name.as_str()), (1, "GET unknown route"));
    assert_eq!(stage.tracer.counters.requests_alone, 1);
}

#[test]
fn another_trace_than_the_wire_shows_is_not_believed() {
    let mut stage = Stage::new();
    let headers = TraceHeaders {
        traceparent: Some("00-00000000000000000000000000000def-0000000000000099-01".into()),
        traceparent_count: 1,
        ..TraceHeaders::default()
    };
    stage.wire(1, |tracer, party| {
        tracer.request_opened(party, 0, stamp(10, 1));
        tracer.request_read(party.connection, 0, &headers);
        tracer.request_done(party, exchange(0, 10, 20, Payload::Http(sample::http("/a", &[]))));
    });
    stage.say(21, ended(0x11, 0));
    let (transactions, _) = stage.documents();
    assert_eq!(transactions[0].place.trace, TraceId(0xdef));
    assert_eq!((stage.tracer.counters.requests_joined, stage.tracer.counters.requests_alone), (0, 1));
}

#[test]
fn what_the_wire_hides_is_asked_for_and_told() {
    let mut stage = Stage::new();
    let hidden = |facts| {
        let Said::RequestEnded(mut ended) = ended(0x11, 0) else { unreachable!() };
        (ended.remote_port, ended.began, ended.facts) = (1, Some(3 * SECOND), facts);
        Said::RequestEnded(ended)
    };
    for time in 1..=5 {
        stage.say(time, hidden(None));
    }
    stage.say(3 * SECOND, Said::Heard);
    let wanted = Detail { requests: true, ..Detail::default() };
    assert_eq!(stage.tracer.take_widened().collect::<Vec<_>>(), [(PID, wanted)]);
    stage.say(3 * SECOND, Said::Began(wanted));
    let facts = RequestFacts {
        method: "GET".into(),
        target: "/secret?x".into(),
        scheme: "https".into(),
        protocol: "HTTP/2".into(),
        headers: vec![("Host".into(), "shop.example".into())],
        status: Some(200),
        peer: Some("127.0.0.1".into()),
    };
    stage.say(4 * SECOND, hidden(Some(Box::new(facts))));
    stage.say(7 * SECOND, Said::Heard);
    assert!(stage.tracer.take_widened().next().is_none(), "it tells of them already");
    let (transactions, _) = stage.documents();
    let http = transactions[0].http.as_ref().expect("a request");
    assert_eq!((http.url.full.as_str(), http.version.as_str()), ("https://shop.example/secret?x", "2.0"));
    assert_eq!((transactions[0].start, transactions[0].duration), (3_000_000, SECOND));
}

/// A request that thread 1 read, with a statement of its that failed, answered by `answerer`.
fn failed_statement(answerer: u32) -> Vec<Document> {
    let mut stage = Stage::new();
    stage.say(1, Said::Ended);
    let blocking = |time, tid| Stamp { time, mark: Mark { tid, polled: false, owner: 0 }.pack() };
    stage.wire(1, |tracer, party| tracer.request_opened(party, 0, blocking(10, 1)));
    stage.wire(2, |tracer, party| {
        let error = Some(SqlError { code: "42P01".into(), message: "no table".into(), severity: "ERROR".into() });
        let sql = Sql { error, ..sample::sql("SELECT nothing") };
        tracer.call_opened(party, 0, stamp(20, 1));
        tracer.call_done(party, exchange(0, 20, 30, Payload::Sql(sql)));
    });
    assert_eq!(stage.tracer.take_documents().count(), 0, "what belongs to a request waits for its end");
    stage.wire(1, |tracer, party| {
        let answered = exchange(0, 10, 40, Payload::Http(sample::http("/a", &[])));
        tracer.request_done(party, Box::new(Exchange { closed: blocking(40, answerer), ..*answered }));
    });
    stage.tracer.take_documents().map(|(_, document)| document).collect()
}

fn the_error(documents: &[Document]) -> (&ErrorEvent, &ErrorPlace) {
    let error = documents.iter().find_map(|document| match document {
        Document::Error(error) => Some(error),
        _ => None,
    });
    let error = error.unwrap();
    (error, error.within.as_ref().unwrap())
}

#[test]
fn an_error_of_a_call_tells_the_request() {
    let documents = failed_statement(1);
    let (error, place) = the_error(&documents);
    assert_eq!(error.http.as_ref().map(|http| http.method.as_str()), Some("GET"));
    assert_eq!(place.transaction_type, Some("request"));
    assert!(documents.iter().any(|one| matches!(one, Document::Span(span) if span.place.id == place.parent)));
}

#[test]
fn an_error_leaves_a_request_that_was_handed_over_with_its_call() {
    let documents = failed_statement(2);
    let (error, place) = the_error(&documents);
    assert_eq!(error.http, None);
    let span = documents.iter().find_map(|one| match one {
        Document::Span(span) => Some(span),
        _ => None,
    });
    let span = span.unwrap();
    assert_eq!((place.parent, place.transaction), (span.place.id, span.transaction));
    let kind = documents.iter().find_map(|one| match one {
        Document::Transaction(one) if Some(one.place.id) == place.transaction => Some(one.kind),
        _ => None,
    });
    assert_eq!(kind, Some("exit"));
}

/// A statement sent for the request of this name; 0: for none.
fn sent_for(stage: &mut Stage, owner: u64, serial: u64) {
    stage.wire(2, |tracer, party| {
        let at = Stamp { time: 12, mark: Mark { tid: 5, polled: true, owner }.pack() };
        tracer.call_opened(party, serial, at);
        tracer.call_done(party, exchange(serial, 12, 15, Payload::Sql(sample::sql("SELECT 1"))));
    });
}

#[test]
fn a_call_hangs_on_the_request_that_its_bytes_name() {
    let mut stage = Stage::named();
    for serial in [0, 1] {
        stage.wire(1, |tracer, party| tracer.request_opened(party, serial, stamp(10, 1)));
    }
    stage.tracer.request_handled(PID, 100, 1, 5);
    stage.tracer.request_handled(PID, 101, 1, 5);
    stage.tracer.request_handled(PID, 102, 1, 5);
    stage.tracer.request_routed((PID, 100), ROUTER_SERVE_MUX, 0, "GET example.org/items/{id}");
    for (serial, owner) in [(0, 101), (1, 0), (2, 102), (3, 100)] {
        sent_for(&mut stage, owner, serial);
    }
    for serial in [0, 1] {
        let http = Payload::Http(sample::http("/items/7", &[]));
        stage.wire(1, |tracer, party| tracer.request_done(party, exchange(serial, 10, 20, http)));
    }
    let (transactions, spans) = stage.documents();
    let names: Vec<&str> = transactions.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names[2..], ["GET /items/{id}", "GET unknown route"], "behind two calls that nothing is known of");
    let parents: Vec<_> = spans.iter().map(|span| span.place.parent).collect();
    let places: Vec<_> = transactions.iter().map(|one| Some(one.place.id)).collect();
    assert_eq!(parents, [places[0], places[1], places[2], places[3]]);
    let counters = stage.tracer.counters;
    assert_eq!((counters.requests_named, counters.requests_unplaced, counters.calls_linked), (2, 1, 2));
}

#[test]
fn a_call_has_the_place_that_was_written_into_it() {
    let mut stage = Stage::named();
    stage.wire(1, |tracer, party| tracer.request_opened(party, 0, stamp(10, 1)));
    stage.tracer.request_handled(PID, 100, 1, 5);
    let begun = TraceId::of_halves(begun(stage.tracer.ids.secret(), 5, PID, 100).trace);
    let body = |trace, sampled| CarriedBody { trace, span: 0x77, flags: sampled };
    let [upper, lower] = [(begun.0 >> 64) as u64, begun.0 as u64];
    // Of the request's trace; of another, which is recorded, and which is not; and one that began at another time.
    let carried = [([upper, lower], 1, 12), ([0, 0xabc], 1, 12), ([0, 0xdef], 0, 12), ([upper, lower], 1, 11)];
    for (serial, (trace, sampled, sent)) in (0..).zip(carried) {
        stage.wire(2, |tracer, party| {
            let at = Stamp { time: 12, mark: Mark { tid: 5, polled: true, owner: 100 }.pack() };
            let party = Party { carried: Some((sent, body(trace, sampled).into())), ..*party };
            tracer.call_opened(&party, serial, at);
            let http = Payload::Http(sample::http("/b", &[]));
            tracer.call_done(&party, exchange(serial, 12, 15, http));
        });
    }
    stage.wire(1, |tracer, party| {
        tracer.request_done(party, exchange(0, 10, 20, Payload::Http(sample::http("/a", &[]))));
    });
    let (transactions, spans) = stage.documents();
    assert_eq!(transactions.iter().map(|one| one.place.trace).collect::<Vec<_>>(), [TraceId(0xabc), begun]);
    let places: Vec<_> = spans.iter().map(|span| (span.place.trace, span.place.id == SpanId(0x77))).collect();
    assert_eq!(places, [(TraceId(0xabc), true), (begun, true), (begun, false)]);
    assert_eq!(stage.tracer.counters.calls_carrying_another_trace, 2);
}

#[test]
fn a_panic_is_an_error_by_what_becomes_of_it() {
    let panicked = |goroutine, request| {
        let thrown = Thrown { kind: "string".into(), message: format!("{goroutine}"), ..Thrown::default() };
        Said::Panicked(Box::new(Panicked { goroutine, request, thrown }))
    };
    let recovered = |goroutine, by| Said::Recovered(Recovered { goroutine, by });
    let mut stage = Stage::named();
    let instance = Arc::clone(&stage.instance);
    for (serial, status, by) in [
        (0, Some(500), Some(Recoverer::Program)),
        (1, Some(200), Some(Recoverer::Program)),
        (2, Some(500), Some(Recoverer::Language)),
        (3, None, None),
    ] {
        let name = 100 + serial;
        stage.wire(1, |tracer, party| tracer.request_opened(party, serial, stamp(10, 1)));
        stage.tracer.request_handled(PID, name, 1, 5);
        stage.say(11, panicked(serial, name));
        if let Some(by) = by {
            stage.say(12, recovered(serial, by));
        }
        let http = Http { status, ..sample::http("/", &[]) };
        let mut done = exchange(serial, 10, 20, Payload::Http(http));
        if status.is_none() {
            done.ending = Ending::Aborted { by: None };
        }
        stage.wire(1, |tracer, party| tracer.request_done(party, done));
    }
    stage.say(30, panicked(8, 0));
    stage.say(31, recovered(8, Recoverer::Program));
    stage.say(32, panicked(9, 0));
    stage.tracer.process_ended(PID, 512, &instance, 50);
    let errors = stage.tracer.take_documents().filter_map(|(_, document)| match document {
        Document::Error(error) => Some((error.message, error.handled, error.within.is_some())),
        _ => None,
    });
    let told = |message: &str, handled, within| (message.to_owned(), handled, within);
    assert_eq!(errors.collect::<Vec<_>>(), [told("0", true, true), told("3", false, true), told("9", false, false)]);
}

#[test]
fn a_request_that_the_wire_does_not_show() {
    let mut stage = Stage::named();
    let instance = Arc::clone(&stage.instance);
    let asked = |request, traceparent: &str| Asked {
        request,
        is_http2: true,
        over_tls: true,
        method: "GET".into(),
        path: "/items/7".into(),
        query: "a=b".into(),
        host: "shop.example".into(),
        remote: "[::1]:4711".into(),
        traceparent: traceparent.into(),
        ..Asked::default()
    };
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    stage.tracer.request_asked(PID, &instance, &asked(100, caller), 10);
    stage.tracer.request_asked(PID, &instance, &asked(101, ""), 11);
    stage.tracer.request_asked(PID, &instance, &asked(102, ""), 12);
    stage.tracer.request_routed((PID, 100), ROUTER_SERVE_MUX, 0, "/items/{id}");
    let thrown = Thrown { kind: "*errors.errorString".into(), message: "empty".into(), ..Thrown::default() };
    stage.say(13, Said::Failed(Box::new(Failed { request: 100, thrown: thrown.clone() })));
    stage.say(13, Said::Failed(Box::new(Failed { request: 9, thrown })));
    stage.tracer.request_answered((PID, 100), (Some(200), None), false, 20);
    stage.tracer.request_answered((PID, 101), (None, None), true, 21);
    stage.tracer.request_answered((PID, 9), (Some(200), None), false, 22);
    stage.tracer.process_ended(PID, 0, &instance, 23);
    stage.tracer.request_answered((PID, 102), (Some(200), None), false, 23);
    let documents: Vec<Document> = stage.tracer.take_documents().map(|(_, document)| document).collect();
    let [Document::Error(error), Document::Transaction(first), Document::Transaction(second)] = documents.as_slice()
    else {
        panic!("{documents:?}")
    };
    assert_eq!((first.name.as_str(), first.outcome), ("GET /items/{id}", Outcome::Success));
    assert_eq!(first.place.parent, Some(SpanId(0xb7ad_6b71_6920_3331)));
    assert_eq!((error.handled, error.within.as_ref().map(|place| place.parent)), (true, Some(first.place.id)));
    assert_eq!((second.outcome, second.place.parent), (Outcome::Failure, None));
    let http = first.http.as_ref().expect("a request");
    assert_eq!((http.version.as_str(), http.url.full.as_str()), ("2.0", "https://shop.example/items/7?a=b"));
    assert_eq!(http.remote_address.as_deref(), Some("::1"));
    let counters = stage.tracer.counters;
    assert_eq!((counters.requests_hidden, counters.unfinished, counters.failures_unplaced), (2, 1, 1));
    assert!(stage.tracer.requests.is_empty(), "nothing is left open");
}
