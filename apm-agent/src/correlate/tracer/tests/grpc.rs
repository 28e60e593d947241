//! Requests and calls of gRPC.

use apm_common::event::ROUTER_GRPC;

use super::*;
use crate::{event::GrpcCall, exchange::Grpc};

#[test]
fn requests_and_calls_of_grpc() {
    let mut stage = Stage::named();
    let instance = Arc::clone(&stage.instance);
    let method = |is_grpc| if is_grpc { String::new() } else { "POST".into() };
    let path = || "/a.B/C".into();
    let asked =
        |request, is_grpc| Asked { request, is_grpc, method: method(is_grpc), path: path(), ..Asked::default() };
    for (request, is_grpc) in [(1, true), (2, true), (3, false)] {
        stage.tracer.request_asked(PID, &instance, &asked(request, is_grpc), 10);
    }
    let call = |call, request, code| GrpcCall { call, request, code, started: 11, ..GrpcCall::default() };
    // One is told of at its beginning, and ends after its request; one only at its end; one is of no request.
    stage.tracer.grpc_call_began((PID, 21), 1, 11);
    stage.tracer.grpc_call_ended(PID, &instance, &call(22, 1, Some(5)), 12);
    stage.tracer.request_answered((PID, 1), (None, Some(Grpc { code: Some(5) })), false, 13);
    stage.tracer.grpc_call_ended(PID, &instance, &call(21, 1, Some(0)), 14);
    stage.tracer.grpc_call_ended(PID, &instance, &call(23, 0, None), 15);
    // `net/http` gives up before gRPC has answered.
    stage.tracer.request_routed((PID, 3), ROUTER_GRPC, 0, "/a.B/C");
    stage.tracer.request_answered((PID, 3), (Some(200), None), false, 16);
    stage.tracer.request_answered((PID, 3), (None, Some(Grpc { code: Some(1) })), false, 17);
    stage.tracer.request_answered((PID, 3), (Some(200), None), false, 18);
    // The second ends with its program.
    stage.tracer.grpc_call_began((PID, 24), 2, 18);
    let thrown = Thrown { message: "the end".into(), ..Thrown::default() };
    stage.say(19, Said::Panicked(Box::new(Panicked { goroutine: 5, request: 2, thrown })));
    stage.tracer.process_ended(PID, 512, &instance, 20);
    let documents: Vec<Document> = stage.tracer.take_documents().map(|(_, document)| document).collect();
    let told = documents.iter().map(|document| match document {
        Document::Transaction(one) => (one.place.parent.is_some(), one.kind, one.result.as_deref(), one.outcome),
        Document::Span(one) => (one.transaction.is_some(), one.kind, None, one.outcome),
        Document::Error(one) => (one.within.is_some(), "error", None, Outcome::Unknown),
        _ => (false, "", None, Outcome::Unknown),
    });
    let expected = [
        (true, "external", None, Outcome::Failure),
        (false, "request", Some("NotFound"), Outcome::Success),
        (true, "external", None, Outcome::Success),
        (true, "external", None, Outcome::Failure),
        (false, "exit", None, Outcome::Failure),
        (false, "request", Some("Canceled"), Outcome::Success),
        (true, "error", None, Outcome::Unknown),
        (false, "request", None, Outcome::Failure),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected, "{documents:#?}");
    let counters = stage.tracer.counters;
    assert_eq!((counters.calls_linked, counters.calls_without_parent, counters.requests_hidden), (2, 1, 3));
    assert!(stage.tracer.grpc_calls.is_empty() && stage.tracer.requests.is_empty(), "nothing is left open");
}
