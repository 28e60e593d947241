//! Against a server of the tests' own on loopback, which answers as it is told.

use std::{io::Read, net::TcpListener};

use fake::{Answer, FakeServer, reply, serve};

use super::*;
use crate::{
    build::{ErrorEvent, sample},
    correlate::TraceId,
    metric::Metricset,
};

mod fake;

/// Every event is a request of its own.
fn outputs() -> Outputs {
    Outputs { api_request_size: 1, ..Outputs::default() }
}

fn tuning() -> Tuning {
    Tuning { second: Duration::ZERO, compress: None, finish: Duration::from_secs(20) }
}

fn start(server: &FakeServer, outputs: &Outputs, tuning: Tuning) -> ServerOutput {
    ServerOutput::tuned(&server.url, outputs, tuning).unwrap()
}

fn instance(name: &str) -> Arc<ServiceInstance> {
    Arc::new(ServiceInstance { name: name.into(), version: Some("1".into()), ..ServiceInstance::default() })
}

fn publish(output: &mut ServerOutput, count: u64) {
    for number in 0..count {
        output.publish(&instance("shop"), &Document::Span(sample::span(number + 1)));
    }
}

/// The counters that are not zero, without their common prefix.
fn counters(output: &ServerOutput) -> Vec<(String, u64)> {
    let list = output.counters().into_iter().filter(|(name, value)| *value > 0 && !name.ends_with("bytes"));
    list.map(|(name, value)| (name.strip_prefix("send.server.").unwrap().to_owned(), value)).collect()
}

fn counted(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter().map(|(name, value)| (name.to_string(), *value)).collect()
}

#[test]
fn sends_streams_with_the_right_headers() {
    let server = FakeServer::start(&[]);
    let token = Outputs { secret_token: Some("t0p".into()), ..outputs() };
    let mut output = start(&server, &token, Tuning { compress: Some(true), ..tuning() });
    publish(&mut output, 1);
    let post = server.next_post();
    assert!(post.head.starts_with("POST /intake/v2/events HTTP/1.1\r\n"), "{}", post.head);
    assert_eq!(post.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(post.header("content-encoding"), Some("gzip"));
    assert_eq!(post.header("accept"), Some("application/json"));
    assert_eq!(post.header("authorization"), Some("Bearer t0p"));
    let agent = format!("apm-agent-ebpf/{} (shop 1)", intake::AGENT_VERSION);
    assert_eq!(post.header("user-agent"), Some(agent.as_str()));
    assert_eq!(post.lines(), ["metadata", "span"]);
    output.finish();
    assert_eq!(counters(&output), counted(&[("events.published", 1), ("events.sent", 1), ("requests.ok", 1)]));
}

#[test]
fn compresses_nothing_for_this_machine() {
    let server = FakeServer::start(&[]);
    let mut output = start(&server, &outputs(), tuning());
    publish(&mut output, 1);
    assert_eq!(server.next_post().header("content-encoding"), None);
}

#[test]
fn batches_by_instance_and_flushes_at_the_end() {
    let server = FakeServer::start(&[]);
    let mut output = start(&server, &Outputs::default(), tuning());
    for name in ["a", "b", "a"] {
        output.publish(&instance(name), &Document::Transaction(sample::transaction()));
    }
    output.finish();
    assert_eq!(server.next_post().lines(), ["metadata", "transaction", "transaction"]);
    assert_eq!(server.next_post().lines(), ["metadata", "transaction"]);
    assert_eq!(counters(&output), counted(&[("events.published", 3), ("events.sent", 3), ("requests.ok", 2)]));
}

#[test]
fn flushes_by_time_retirement_and_unhandled_errors() {
    let server = FakeServer::start(&[]);
    let quick = Outputs { api_request_time: Duration::from_millis(1), ..Outputs::default() };
    let mut output = start(&server, &quick, tuning());
    publish(&mut output, 1);
    assert_eq!(server.next_post().lines(), ["metadata", "span"]);
    let mut output = start(&server, &Outputs::default(), tuning());
    publish(&mut output, 1);
    output.retire(&instance("shop"));
    assert_eq!(server.next_post().lines(), ["metadata", "span"]);
    let unhandled = ErrorEvent { handled: false, ..sample::error() };
    output.publish(&instance("shop"), &Document::Error(unhandled));
    assert_eq!(server.next_post().lines(), ["metadata", "error"]);
}

#[test]
fn gates_by_the_servers_version() {
    for (information, present) in [(r#"{"version":"8.7.0"}"#, false), (r#"{"version":"9.6.0"}"#, true), ("", true)] {
        let server = FakeServer::with_version(&[], information);
        let mut output = start(&server, &outputs(), tuning());
        publish(&mut output, 1);
        let body = String::from_utf8(server.next_post().body).unwrap();
        assert_eq!(body.contains("activation_method"), present, "{information}");
    }
}

#[test]
fn counts_what_a_server_refuses_and_never_sends_it_again() {
    let partial = r#"{"accepted":1,"errors":[{"message":"wrong","document":"{}"}]}"#;
    let server = FakeServer::start(&[Answer::Reply(400, partial)]);
    let mut output = start(&server, &Outputs::default(), tuning());
    publish(&mut output, 3);
    output.retire(&instance("shop"));
    assert_eq!(server.next_post().lines().len(), 4);
    output.publish(&instance("shop"), &Document::Transaction(sample::transaction()));
    output.finish();
    assert_eq!(server.next_post().lines(), ["metadata", "transaction"]);
    let expected = [
        ("events.published", 4),
        ("events.sent", 2),
        ("events.refused", 2),
        ("requests.ok", 1),
        ("requests.failed", 1),
    ];
    assert_eq!(counters(&output), counted(&expected));
}

#[test]
fn drops_the_request_that_failed_and_goes_on() {
    let failures = [
        Answer::Reply(401, ""),
        Answer::Reply(413, "{}"),
        Answer::Reply(429, r#"{"accepted":0,"errors":[{"message":"rate limit exceeded"}]}"#),
        Answer::Reply(500, ""),
        Answer::Reply(503, r#"{"errors":[{"message":"queue is full"}]}"#),
        Answer::Reply(301, ""),
        Answer::Close,
    ];
    let server = FakeServer::start(&failures);
    let mut output = start(&server, &outputs(), tuning());
    let mut bodies = std::collections::HashSet::new();
    let all = failures.len() as u64 + 1;
    publish(&mut output, all);
    for _ in 0..all {
        assert!(bodies.insert(server.next_post().body), "sent again");
    }
    output.finish();
    let failed = all - 1;
    let expected = [
        ("events.published", all),
        ("events.sent", 1),
        ("events.dropped.request_failed", failed),
        ("requests.ok", 1),
        ("requests.failed", failed),
    ];
    assert_eq!(counters(&output), counted(&expected));
}

#[test]
fn gives_up_on_a_server_that_hangs() {
    let server = FakeServer::start(&[Answer::Hang]);
    let mut output = start(&server, &Outputs { server_timeout: Duration::from_secs(1), ..outputs() }, tuning());
    publish(&mut output, 2);
    server.next_post();
    assert_eq!(server.next_post().lines(), ["metadata", "span"]);
    output.finish();
    let expected = [
        ("events.published", 2),
        ("events.sent", 1),
        ("events.dropped.request_failed", 1),
        ("requests.ok", 1),
        ("requests.failed", 1),
    ];
    assert_eq!(counters(&output), counted(&expected));
}

#[test]
fn ends_in_time_with_a_server_that_hangs() {
    let server = FakeServer::start(&[Answer::Hang, Answer::Hang]);
    let mut output = start(&server, &Outputs::default(), Tuning { finish: Duration::from_millis(300), ..tuning() });
    for name in ["a", "b"] {
        output.publish(&instance(name), &Document::Span(sample::span(1)));
    }
    let before = Instant::now();
    output.finish();
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    let lost: u64 =
        counters(&output).iter().filter(|(name, _)| name.starts_with("events.dropped")).map(|(_, n)| n).sum();
    assert_eq!(lost, 2, "{:?}", counters(&output));
}

/// An address where nobody listens.
fn absent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn keeps_events_for_a_server_that_is_down_and_counts_those_that_do_not_fit() {
    let small = Outputs { max_queue_size: 5, ..outputs() };
    let patient = Tuning { second: Duration::from_secs(3600), finish: Duration::from_millis(300), ..tuning() };
    let mut output = ServerOutput::tuned(&absent(), &small, patient).unwrap();
    publish(&mut output, 12);
    output.finish();
    let expected = [("events.published", 12), ("events.dropped.queue_full", 7), ("events.dropped.at_end", 5)];
    assert_eq!(counters(&output), counted(&expected));
}

#[test]
fn metrics_find_room_where_events_do_not() {
    let small = Outputs { max_queue_size: 1, ..outputs() };
    let patient = Tuning { second: Duration::from_secs(3600), finish: Duration::from_millis(300), ..tuning() };
    let mut output = ServerOutput::tuned(&absent(), &small, patient).unwrap();
    publish(&mut output, 3);
    let mut set = Metricset::new(1);
    set.add("system.memory.total", Some(1));
    for _ in 0..1030 {
        output.publish(&instance("shop"), &Document::Metrics(set.clone()));
    }
    output.finish();
    let expected = [
        ("events.published", 1033),
        ("events.dropped.queue_full", 2),
        ("events.dropped.metrics_queue_full", 6),
        ("events.dropped.at_end", 1025),
    ];
    assert_eq!(counters(&output), counted(&expected));
}

#[test]
fn sends_what_waited_when_the_server_comes_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let slow = Tuning { second: Duration::from_millis(20), ..tuning() };
    let mut output = ServerOutput::tuned(&format!("http://{address}"), &Outputs::default(), slow).unwrap();
    publish(&mut output, 3);
    let listener = TcpListener::bind(address).unwrap();
    let (sender, posts) = mpsc::channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            serve(connection.unwrap(), "", || Answer::Reply(202, ""), &sender);
        }
    });
    output.retire(&instance("shop"));
    let post = posts.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(post.lines(), ["metadata", "span", "span", "span"]);
    output.finish();
    assert_eq!(counters(&output), counted(&[("events.published", 3), ("events.sent", 3), ("requests.ok", 1)]));
}

#[test]
fn backs_off_after_failures() {
    let server = FakeServer::start(&[Answer::Reply(500, ""), Answer::Reply(500, "")]);
    let patient = Tuning { second: Duration::from_secs(3600), ..tuning() };
    let mut output = start(&server, &outputs(), patient);
    publish(&mut output, 3);
    server.next_post();
    server.next_post();
    // The first pause has no length, the second is an hour; only the end cuts it short.
    assert!(server.posts.recv_timeout(Duration::from_millis(100)).is_err());
    output.finish();
    server.next_post();
    assert_eq!(counters(&output)[1], ("events.sent".to_owned(), 1));
}

#[test]
fn counts_events_that_are_too_large() {
    let server = FakeServer::start(&[]);
    let mut output = start(&server, &outputs(), tuning());
    let mut large = sample::transaction();
    large.links = vec![(TraceId(1), crate::correlate::SpanId(1)); 10_000];
    output.publish(&instance("shop"), &Document::Transaction(large));
    output.finish();
    assert_eq!(counters(&output), counted(&[("events.published", 1), ("events.dropped.too_large", 1)]));
}

#[test]
fn words_what_the_system_says() {
    let url = absent();
    let client = Client::new(&url, &Outputs::default()).unwrap();
    let failure = client.version(Duration::from_secs(20)).unwrap_err();
    let sentence = failure.sentence(client.url());
    assert!(sentence.starts_with(&format!("APM Server at {url} cannot be reached (")), "{sentence}");
    assert!(sentence.to_lowercase().contains("refused"), "{sentence}");

    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    thread::spawn(move || {
        let (mut connection, _) = plain.accept().unwrap();
        reply(&mut connection, 400, "this is no TLS");
        let _ = connection.read(&mut [0; 1024]);
    });
    let client = Client::new(&url, &Outputs::default()).unwrap();
    let failure = client.version(Duration::from_secs(20)).unwrap_err();
    let sentence = failure.sentence(client.url());
    assert!(sentence.contains("offers no TLS connection we trust"), "{sentence}");
}

#[test]
fn never_holds_up_the_pipeline() {
    let server = FakeServer::start(&[Answer::Hang]);
    let small = Outputs { max_queue_size: 10, ..outputs() };
    let mut output = start(&server, &small, Tuning { finish: Duration::from_millis(100), ..tuning() });
    publish(&mut output, 1);
    server.next_post();
    let before = Instant::now();
    publish(&mut output, 100);
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    output.finish();
    let expected = [
        ("events.published", 101),
        ("events.dropped.queue_full", 90),
        // One in the request whose answer nobody waited for, and ten behind it.
        ("events.under_way", 11),
    ];
    assert_eq!(counters(&output), counted(&expected));
}
