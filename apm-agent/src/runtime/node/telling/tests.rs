use super::*;
use crate::{
    bridge::Context,
    correlate::{SpanId, TraceId},
    runtime::node::record::tests::{RECORDED, batch, batches, metrics},
};

fn told(telling: &mut Telling, batch: &[u8]) -> Vec<(Nanos, Said)> {
    let mut all = Vec::new();
    telling.told(batch, &mut |time, said| all.push((time, said)));
    all
}

#[test]
fn records_become_messages() {
    let mut telling = Telling::default();
    let all: Vec<_> = batches(RECORDED).into_iter().flat_map(|batch| told(&mut telling, batch)).collect();
    assert_eq!(telling.lost, 0);
    let request = all.iter().find_map(|(time, said)| match said {
        Said::RequestEnded(ended) => Some((*time, ended)).filter(|(_, ended)| ended.ordinal.is_none()),
        _ => None,
    });
    let (time, request) = request.expect("a request on a connection that was there before");
    let facts = request.facts.as_ref().expect("it was asked for");
    assert_eq!((facts.method.as_str(), facts.target.as_str(), facts.status), ("GET", "/http/object", Some(200)));
    assert_eq!((facts.peer.as_deref(), &request.route), (Some("127.0.0.1"), &None));
    assert!(facts.headers.iter().any(|(name, _)| name == "Host"));
    assert!(request.began.is_some_and(|began| began < time && time - began < 10_000_000_000), "{:?}", request.began);

    let span = all.iter().find_map(|(_, said)| match said {
        Said::SpanEnded(ended) => Some(ended).filter(|ended| ended.context.parent == request.context.map(|at| at.span)),
        _ => None,
    });
    let span = span.expect("its call");
    assert_eq!((span.source.as_str(), span.kind, span.status), ("http", SpanKind::Client, SpanStatus::Ok));
    assert!(span.context.sampled && span.duration > 0 && !span.remote_parent);

    let threw = all.iter().find_map(|(_, said)| if let Said::Threw(threw) = said { Some(threw) } else { None });
    let thrown = &threw.expect("the refused call").thrown;
    assert_eq!((thrown.kind.as_str(), thrown.code.as_deref()), ("Error", Some("ECONNREFUSED")));
    assert!(thrown.message.starts_with("connect ECONNREFUSED 127.0.0.1:1"), "{}", thrown.message);
    let culprit = thrown.culprit.as_deref().unwrap_or_default();
    assert!(culprit.ends_with(" (node:net)"), "{culprit}");
}

#[test]
fn what_is_missing_is_counted() {
    let mut telling = Telling::default();
    let one = metrics(&[("a", 1.0)]);
    let mut feed = |first, thread, records: &[Vec<u8>]| {
        let said = told(&mut telling, &batch(first, thread, records)).len();
        (said, std::mem::take(&mut telling.lost))
    };
    assert_eq!(feed(40, 0, std::slice::from_ref(&one)), (1, 0), "what was told before we came is not lost");
    assert_eq!(feed(41, 0, &[one.clone(), one.clone()]), (2, 0));
    assert_eq!(feed(50, 0, std::slice::from_ref(&one)), (1, 7));
    assert_eq!(feed(3, 1, std::slice::from_ref(&one)), (1, 0), "another thread");
    assert_eq!(feed(0, 0, std::slice::from_ref(&one)), (1, 0), "another script");
    assert_eq!(feed(1, 0, &[vec![99]]), (0, 1), "nobody knows what that is");
    assert_eq!(feed(2, 0, std::slice::from_ref(&one)), (1, 0));
    assert_eq!(feed(u32::MAX, 1, std::slice::from_ref(&one)), (1, 0), "the past");
    assert_eq!(told(&mut telling, b"APMX").len(), 0);
    assert_eq!(telling.lost, 1);
}

#[test]
fn what_tls_hides_is_not_looked_for_on_the_wire() {
    let facts = |scheme, protocol| Facts {
        method: "GET",
        scheme,
        protocol,
        peer: "127.0.0.1",
        target: "/",
        status: 200,
        headers: Vec::new(),
    };
    for (facts, port) in [
        (None, 7),
        (Some(facts("http", "HTTP/1.1")), 7),
        (Some(facts("https", "HTTP/1.1")), 0),
        (Some(facts("http", "HTTP/2.0")), 0),
    ] {
        let context = Context { trace: TraceId(1), span: SpanId(2), parent: None, sampled: true };
        let request =
            Request { ended: 9, began: 8, context, port: 7, ordinal: None, route: "", is_operation: false, facts };
        assert_eq!(request_ended(&request, 0).remote_port, port, "{request:?}");
    }
}
