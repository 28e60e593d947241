//! Calls that probes alone show.

use super::*;
use crate::event::{Call, GrpcCall};

#[test]
fn a_call_that_the_wire_does_not_show() {
    let mut stage = Stage::named();
    let instance = Arc::clone(&stage.instance);
    stage.tracer.request_asked(PID, &instance, &Asked { request: 100, method: "GET".into(), ..Asked::default() }, 10);
    let call = |call, owner| Call {
        call,
        owner,
        scheme: "https".into(),
        host: "shop.example".into(),
        path: "/items/7".into(),
        ..Call::default()
    };
    let end = |status, failed, sent| CallEnd { status, failed, sent, time: 20 };
    // Nothing of the first was sent; the fourth's request is not known; the fifth goes on.
    for (number, owner) in [(1, 100), (2, 100), (3, 100), (4, 0), (5, 100)] {
        stage.tracer.call_begun(PID, &instance, &call(number, owner), Addresses::default(), 11);
    }
    for (number, end) in [(1, end(None, true, false)), (2, end(Some(200), true, true)), (3, end(None, true, true))] {
        stage.tracer.call_ended((PID, number), end);
    }
    stage.tracer.call_ended((PID, 4), end(Some(404), false, true));
    stage.tracer.call_ended((PID, 9), end(Some(200), false, true));
    stage.tracer.request_answered((PID, 100), (Some(200), None), false, 30);
    stage.tracer.process_ended(PID, 0, &instance, 40);
    let mut transactions = Vec::new();
    let mut spans = Vec::new();
    for (_, document) in stage.tracer.take_documents() {
        match document {
            Document::Span(span) => spans.push(span),
            Document::Transaction(transaction) => transactions.push(transaction.place.id),
            other => panic!("{other:?}"),
        }
    }
    let [alone, request] = transactions.as_slice() else { panic!("{transactions:?}") };
    let told: Vec<_> = spans.iter().map(|span| (span.place.parent.unwrap(), span.outcome)).collect();
    let expected = [(*alone, Outcome::Failure), (*request, Outcome::Success), (*request, Outcome::Failure)];
    assert_eq!(told, expected);
    let http = spans[0].http.as_ref().expect("a call");
    assert_eq!((http.url.as_str(), http.method.as_str()), ("https://shop.example/items/7", "GET"));
    let counters = stage.tracer.counters;
    assert_eq!((counters.calls_hidden, counters.unfinished), (3, 1));
    assert_eq!(stage.tracer.open(), (0, 0), "nothing is left open");
}

#[test]
fn such_a_call_has_the_place_that_was_written_into_it() {
    let mut stage = Stage::named();
    let instance = Arc::clone(&stage.instance);
    stage.tracer.request_asked(PID, &instance, &Asked { request: 100, method: "GET".into(), ..Asked::default() }, 10);
    let begun = begun(stage.tracer.ids.secret(), 10, PID, 100).trace;
    // Of the request's trace, and of another, of HTTP/2 and of gRPC.
    for (number, trace) in [(1, begun), (2, [0, 0xabc])] {
        let carried = |span| CarriedBody { trace, span, flags: 1 }.into();
        let call = Call { call: number, owner: 100, host: "shop.example".into(), ..Call::default() };
        stage.tracer.call_begun(PID, &instance, &call, Addresses::default(), 11);
        stage.tracer.call_carried((PID, number), carried(0x70 + number));
        let end = CallEnd { status: Some(200), failed: false, sent: true, time: 20 };
        stage.tracer.call_ended((PID, number), end);
        stage.tracer.call_carried((PID, 10 + number), carried(0x80 + number));
        let call = GrpcCall { call: 10 + number, request: 100, code: Some(0), started: 11, ..GrpcCall::default() };
        stage.tracer.grpc_call_ended(PID, &instance, &call, 20);
    }
    stage.tracer.request_answered((PID, 100), (Some(200), None), false, 30);
    let (_, spans) = stage.documents();
    let mut places: Vec<_> = spans.iter().map(|span| (span.place.id.0, span.place.trace)).collect();
    places.sort_unstable_by_key(|(id, _)| *id);
    let [own, other] = [begun, [0, 0xabc]].map(TraceId::of_halves);
    assert_eq!(places, [(0x71, own), (0x72, other), (0x81, own), (0x82, other)]);
    assert_eq!(stage.tracer.counters.calls_carrying_another_trace, 2);
    assert!(stage.tracer.carrying.is_empty(), "nothing is left");
}
