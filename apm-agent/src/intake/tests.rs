use serde_json::{Value, json};

use super::*;
use crate::{
    bridge::{Frame, Source, SpanKind},
    build::{
        Composite, Destination, DroppedSpans, ErrorEvent, ErrorLog, HttpCall, HttpContext, Otel, Outcome,
        ServiceTarget, Span, Transaction, failure, sample,
    },
    correlate::{SpanId, TraceId},
    metadata::{HostInfo, KubernetesInfo, ProcessInfo},
    metric::Metricset,
};

fn line(document: Document) -> Value {
    let mut out = Vec::new();
    write_document(&document, &mut out).unwrap();
    schema::check(&out).1
}

fn transaction(transaction: Transaction) -> Value {
    line(Document::Transaction(transaction))
}

fn span(span: Span) -> Value {
    line(Document::Span(span))
}

fn error(error: ErrorEvent) -> Value {
    line(Document::Error(error))
}

fn metadata(instance: &ServiceInstance, gates: Gates) -> Value {
    let mut out = Vec::new();
    write_metadata(instance, gates, &mut out).unwrap();
    schema::check(&out).1
}

fn instance() -> ServiceInstance {
    ServiceInstance {
        name: "shop".into(),
        version: Some("1.2".into()),
        environment: Some("test".into()),
        node_name: Some("host-7".into()),
        agent_name: "nodejs".into(),
        language: Some(("javascript".into(), None)),
        runtime: Some(("node".into(), "20.1.0".into())),
        framework: Some(("Express".into(), "4.0.0".into())),
        process: ProcessInfo {
            pid: 7,
            ppid: Some(1),
            title: Some("node".into()),
            argv: vec!["node".into(), "a.js".into()],
        },
        host: HostInfo {
            architecture: "x64".into(),
            platform: "linux".into(),
            configured_hostname: None,
            detected_hostname: Some("host".into()),
        },
        container_id: Some("c".repeat(64)),
        kubernetes: Some(KubernetesInfo { pod_name: Some("p".into()), ..KubernetesInfo::default() }),
        labels: vec![("a.b*c\"d".into(), "e".into())],
    }
}

#[test]
fn writes_a_transaction() {
    let written = transaction(sample::transaction());
    assert_eq!(
        written,
        json!({
            "id": "0000000000000001",
            "trace_id": "00000000000000000000000000000abc",
            "name": "GET unknown route",
            "type": "request",
            "result": "HTTP 2xx",
            "outcome": "success",
            "timestamp": 1_000_000,
            "duration": 20.0,
            "sampled": true,
            "sample_rate": 1.0,
            "span_count": {"started": 1, "dropped": 0},
            "context": {
                "request": {
                    "method": "GET",
                    "url": {
                        "raw": "/products?id=1",
                        "full": "http://localhost:8080/products?id=1",
                        "protocol": "http",
                        "hostname": "localhost",
                        "port": 8080,
                        "pathname": "/products",
                        "search": "id=1",
                    },
                    "headers": {"Accept": ["a", "b"], "Host": "l"},
                    "http_version": "1.1",
                    "body": "[REDACTED]",
                    "socket": {"remote_address": "127.0.0.1"},
                },
                "response": {"status_code": 200, "headers": {"Content-Type": "text/plain"}},
            },
        })
    );
}

#[test]
fn writes_the_rest_of_a_transaction() {
    let mut full = sample::transaction();
    full.place = crate::build::Place { sample_rate: None, ..sample::place(1, Some(9)) };
    full.links = vec![(TraceId(5), SpanId(6))];
    full.dropped_spans = vec![DroppedSpans {
        kind: "external",
        target: ServiceTarget { kind: "http".into(), name: Some("h:80".into()) },
        outcome: Outcome::Failure,
        count: 3,
        sum_us: 17,
    }];
    let written = transaction(full);
    assert_eq!(written["parent_id"], "0000000000000009");
    assert_eq!(written.get("sample_rate"), None);
    assert_eq!(written["links"][0]["span_id"], "0000000000000006");
    assert_eq!(
        written["dropped_spans_stats"][0],
        json!({
            "destination_service_resource": "h:80",
            "service_target_type": "http",
            "service_target_name": "h:80",
            "outcome": "failure",
            "duration": {"count": 3, "sum": {"us": 17}},
        })
    );
}

#[test]
fn writes_a_metricset() {
    let mut set = Metricset::new(1_000_000);
    set.add("system.memory.total", Some(u64::from(u32::MAX) + 1));
    set.add("system.cpu.total.norm.pct", Some(0.25));
    for (name, number) in [("not.finite", f64::NAN), ("st*r", 1.0), ("quo\"te", 1.0)] {
        set.add(name, Some(number));
    }
    let expected = json!({
        "timestamp": 1_000_000,
        "samples": {
            "system.memory.total": {"value": 4_294_967_296_u64},
            "system.cpu.total.norm.pct": {"value": 0.25},
        },
    });
    assert_eq!(line(Document::Metrics(set.clone())), expected);
    set.labels.push(("pool.name".into(), "x".repeat(2000)));
    let tags = &line(Document::Metrics(set))["tags"];
    assert_eq!(tags["pool_name"].as_str().unwrap().chars().count(), KEYWORD);
    assert_eq!(line(Document::Metrics(Metricset::default())), json!({"timestamp": 0, "samples": {}}));
}

#[test]
fn leaves_out_what_is_unknown() {
    let mut bare = sample::transaction();
    bare.result = None;
    bare.http = Some(HttpContext::default());
    assert_eq!(transaction(bare.clone())["context"], json!({}));
    bare.http = None;
    assert_eq!(transaction(bare).get("context"), None);
}

#[test]
fn writes_a_database_span() {
    let mut query = sample::span(2);
    query.composite = Some(Composite { strategy: "exact_match", count: 3, sum: 1_500_000 });
    let written = span(query);
    assert_eq!(written["parent_id"], "0000000000000001");
    assert_eq!(written["transaction_id"], "0000000000000001");
    assert_eq!(written["composite"], json!({"compression_strategy": "exact_match", "count": 3, "sum": 1.5}));
    assert_eq!(
        written["context"],
        json!({
            "destination": {"address": "127.0.0.1", "port": 5432, "service": {"resource": "postgresql/shop"}},
            "service": {"target": {"type": "postgresql", "name": "shop"}},
            "db": {
                "instance": "shop",
                "statement": "SELECT * FROM products\nWHERE id = $1",
                "type": "sql",
                "user": "app",
                "rows_affected": 3,
            },
        })
    );
}

#[test]
fn writes_an_http_span() {
    let mut call = sample::span(2);
    (call.kind, call.subtype, call.db) = ("external", "http".into(), None);
    call.place.parent = None;
    call.http = Some(HttpCall { url: "http://h/x".into(), method: "GET".into(), status: Some(404) });
    call.destination.target = ServiceTarget { kind: "http".into(), name: Some("h:80".into()) };
    let written = span(call.clone());
    assert_eq!(written["parent_id"], written["transaction_id"]);
    assert_eq!(written["context"]["destination"]["service"]["resource"], "h:80");
    assert_eq!(
        written["context"]["http"],
        json!({"url": "http://h/x", "method": "GET", "status_code": 404, "response": {"status_code": 404}})
    );
    call.http = Some(HttpCall { status: None, ..call.http.unwrap() });
    assert_eq!(span(call)["context"]["http"], json!({"url": "http://h/x", "method": "GET"}));
}

#[test]
fn writes_errors_inside_and_outside_a_trace() {
    let inside = error(sample::error());
    assert_eq!(inside["parent_id"], "0000000000000002");
    assert_eq!(inside["transaction"], json!({"sampled": true, "name": "GET unknown route", "type": "request"}));
    assert_eq!(inside["exception"]["code"], "ECONNREFUSED");
    assert_eq!(inside["exception"]["handled"], true);
    let outside = error(ErrorEvent { within: None, kind: String::new(), message: String::new(), ..sample::error() });
    for key in ["trace_id", "transaction_id", "parent_id", "transaction"] {
        assert_eq!(outside.get(key), None);
    }
    assert_eq!(outside["exception"]["message"], "[EMPTY]");
}

#[test]
fn writes_the_request_that_an_error_hit() {
    let http = sample::transaction().http.unwrap();
    let written = error(ErrorEvent { http: Some(Box::new(http)), ..sample::error() });
    assert_eq!(written["context"], transaction(sample::transaction())["context"]);
    assert_eq!(error(sample::error()).get("context"), None);
}

#[test]
fn writes_exceptions_with_stacks_and_causes() {
    let event = failure::of_exception(&sample::thrown(), false, 50, TraceId(1), 2, None);
    let written = error(event.clone());
    assert_eq!(written["culprit"], "Shop.Orders");
    assert_eq!(
        written["exception"],
        json!({
            "type": "Shop.Broken",
            "message": "no order",
            "handled": false,
            "stacktrace": [
                {"classname": "System.Int32", "function": "Parse", "library_frame": true},
                {
                    "classname": "Shop.Orders",
                    "function": "Place",
                    "filename": "/src/Program.cs",
                    "abs_path": "/src/Program.cs",
                    "lineno": 7,
                },
                {
                    "classname": "Program",
                    "function": "Main",
                    "filename": "/src/Program.cs",
                    "abs_path": "/src/Program.cs",
                    "lineno": 3,
                },
            ],
            "cause": [
                {
                    "type": "System.FormatException",
                    "message": "not a number",
                    "stacktrace": [{
                        "classname": "Shop.Orders",
                        "function": "Read",
                        "filename": "/src/Program.cs",
                        "abs_path": "/src/Program.cs",
                        "lineno": 9,
                    }],
                },
                {"type": "Deep", "message": "[EMPTY]"},
            ],
        })
    );
    let nameless = Frame { function: "main".into(), module: Some("app".into()), ..Frame::default() };
    let written = error(ErrorEvent { frames: vec![nameless], ..event.clone() });
    let frame = json!([{"function": "main", "module": "app", "filename": "n/a"}]);
    assert_eq!(written["exception"]["stacktrace"], frame);
    let source = Source { before: vec!["one".into()], line: "two".into(), after: vec!["three".into(), String::new()] };
    let quoted = Frame { function: "main".into(), source: Some(Box::new(source)), ..Frame::default() };
    let written = error(ErrorEvent { frames: vec![quoted], ..event });
    let frame = &written["exception"]["stacktrace"][0];
    assert_eq!((&frame["pre_context"], &frame["context_line"]), (&json!(["one"]), &json!("two")));
    assert_eq!(frame["post_context"], json!(["three", ""]));
}

#[test]
fn cuts_stacks_that_make_a_line_too_long() {
    let mut event = failure::of_exception(&sample::thrown(), true, usize::MAX, TraceId(1), 2, None);
    event.frames = vec![event.frames[1].clone(); 5000];
    event.causes = vec![event.causes[0].clone(); 20];
    let stack = |event: &ErrorEvent| error(event.clone())["exception"].clone();
    let cut = stack(&event);
    let lengths = ["stacktrace", "cause"].map(|list| cut[list].as_array().unwrap().len());
    assert_eq!(lengths, [50, 10]);
    event.frames.iter_mut().for_each(|frame| frame.function = "\u{1}".repeat(1024));
    let short = stack(&event);
    assert_eq!((short.get("stacktrace"), short.get("cause"), &short["message"]), (None, None, &json!("no order")));
}

#[test]
fn writes_lines_of_logs_with_and_without_an_exception() {
    let log = ErrorLog {
        message: "order 7 failed".into(),
        param_message: Some("order {id} failed".into()),
        level: Some("Error".into()),
        logger_name: Some("Shop".into()),
    };
    let alone = error(ErrorEvent { log: Some(log.clone()), ..ErrorEvent::new(TraceId(1), 2, None) });
    let written = json!({
        "message": "order 7 failed",
        "param_message": "order {id} failed",
        "level": "Error",
        "logger_name": "Shop",
    });
    assert_eq!((alone.get("exception"), &alone["log"]), (None, &written));
    let both = error(ErrorEvent { log: Some(log), ..sample::error() });
    assert_eq!((&both["exception"]["type"], &both["log"]), (&json!("ECONNREFUSED"), &written));
}

#[test]
fn writes_where_a_message_goes() {
    let target = ServiceTarget { kind: "sqs".into(), name: Some("orders".into()) };
    let destination = Destination { target, ..Destination::default() };
    let sent = Span { kind: "messaging", db: None, queue: Some("orders".into()), destination, ..sample::span(2) };
    assert_eq!(span(sent)["context"]["message"], json!({"queue": {"name": "orders"}}));
    let stored = HttpCall { status: Some(200), ..HttpCall::default() };
    let stored = span(Span { kind: "storage", http: Some(stored), ..sample::span(2) });
    assert_eq!(stored["context"]["http"], json!({"status_code": 200, "response": {"status_code": 200}}));
}

#[test]
fn writes_what_opentelemetry_says() {
    let attributes = vec![("a.b".into(), "c".into()), ("long".into(), "x".repeat(20_000))];
    let otel = Some(Otel { kind: SpanKind::Consumer, attributes });
    let request = transaction(Transaction { otel: otel.clone(), http: None, ..sample::transaction() });
    assert_eq!(request["otel"]["span_kind"], "CONSUMER");
    assert_eq!(request["otel"]["attributes"]["a.b"], "c");
    assert_eq!(request["otel"]["attributes"]["long"].as_str().unwrap().chars().count(), 10_000);
    let inner = Span {
        transaction: None,
        kind: "app",
        subtype: "internal".into(),
        action: String::new(),
        destination: Destination::default(),
        db: None,
        otel: Some(Otel::default()),
        ..sample::span(2)
    };
    let written = span(inner.clone());
    assert_eq!(written["otel"], json!({"span_kind": "INTERNAL"}));
    let absent = ["transaction_id", "context", "action"].map(|key| written.get(key));
    assert_eq!((absent, &written["parent_id"]), ([None; 3], &json!("0000000000000001")));
    let unnamed = Span { subtype: "".into(), kind: "unknown", ..inner };
    assert_eq!(span(unnamed.clone()).get("subtype"), None);
    let address = Destination { address: Some("h".into()), ..Destination::default() };
    assert_eq!(span(Span { destination: address, ..unnamed })["context"], json!({"destination": {"address": "h"}}));
    let many = (0..128).map(|number| (number.to_string(), "\u{1}".repeat(9000))).collect();
    let otel = Some(Otel { kind: SpanKind::Client, attributes: many });
    assert_eq!(span(Span { otel, ..sample::span(3) })["otel"], json!({"span_kind": "CLIENT"}));
}

#[test]
fn writes_metadata() {
    let written = metadata(&instance(), Gates::default());
    assert_eq!(
        written["service"]["agent"],
        json!({"name": "nodejs", "version": AGENT_VERSION, "activation_method": "ebpf"})
    );
    assert_eq!(written["service"]["language"], json!({"name": "javascript"}));
    assert_eq!(written["service"]["node"]["configured_name"], "host-7");
    assert_eq!(written["process"]["argv"], json!(["node", "a.js"]));
    assert_eq!(written["system"]["kubernetes"], json!({"pod": {"name": "p"}}));
    assert_eq!(written["labels"], json!({"a_b_c_d": "e"}));
    metadata(&ServiceInstance::default(), Gates::default());
}

#[test]
fn keeps_the_activation_method_from_the_one_server_that_refuses_it() {
    let method =
        |version| metadata(&instance(), Gates::new(version))["service"]["agent"].get("activation_method").is_some();
    assert!(method(None) && method(Some("8.7.1")) && method(Some("9.6.0")));
    assert!(!method(Some("8.7.0")));
}

#[test]
fn makes_service_names_the_server_takes() {
    let name = |name: &str| {
        let named = ServiceInstance { name: name.into(), ..instance() };
        metadata(&named, Gates::default())["service"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name("my shop_1-a"), "my shop_1-a");
    assert_eq!(name("@scope/päckchen"), "_scope_p_ckchen");
    assert_eq!(name(""), "unknown-nodejs-service");
    assert_eq!(name(&"x".repeat(2000)).len(), 1024);
}

#[test]
fn cuts_every_string_to_its_limit() {
    let long = "ä".repeat(20_000);
    let mut request = sample::transaction();
    request.name = long.clone();
    let http = request.http.as_mut().unwrap();
    (http.url.full, http.url.raw, http.url.pathname) = (long.clone(), long.clone(), long.clone());
    http.url.search = Some(long.clone());
    let written = transaction(request);
    assert_eq!(written["name"].as_str().unwrap().chars().count(), 1024);
    assert!(written["name"].as_str().unwrap().ends_with('…'));

    let mut query = sample::span(2);
    (query.name, query.destination.address) = (long.clone(), Some(long.clone()));
    query.destination.target.name = Some(long.clone());
    query.db.as_mut().unwrap().statement = Some(long.clone());
    let statement = span(query)["context"]["db"]["statement"].as_str().unwrap().to_owned();
    assert_eq!(statement.chars().count(), 10_000);

    let failed = error(ErrorEvent { message: long.clone(), kind: long.clone(), ..sample::error() });
    assert_eq!(failed["exception"]["message"].as_str().unwrap().chars().count(), 10_000);

    let mut described = instance();
    (described.version, described.process.title) = (Some(long.clone()), Some(long.clone()));
    described.labels = vec![(long.clone(), long.clone())];
    described.process.argv = vec![long; 100];
    let written = metadata(&described, Gates::default());
    assert_eq!(written["process"]["argv"].as_array().unwrap().len(), 7, "of 2049 bytes each in 16 KiB");
}

#[test]
fn drops_headers_before_the_event() {
    let mut request = sample::transaction();
    request.http.as_mut().unwrap().headers = vec![("x".into(), "y".repeat(MAX_EVENT_BYTES))];
    let written = transaction(request);
    assert_eq!(written["context"]["request"].get("headers"), None);
    assert_eq!(written["context"]["request"]["method"], "GET");
}

#[test]
fn drops_statistics_before_the_event() {
    let mut request = sample::transaction();
    let target = ServiceTarget { kind: "\u{1}".repeat(512), name: Some("\u{1}".repeat(512)) };
    let dropped = DroppedSpans { kind: "db", target, outcome: Outcome::Success, count: 1, sum_us: 1 };
    request.dropped_spans = vec![dropped; 128];
    assert_eq!(transaction(request).get("dropped_spans_stats"), None);
}

#[test]
fn refuses_what_never_fits_and_leaves_no_trace() {
    let mut request = sample::transaction();
    request.links = vec![(TraceId(1), SpanId(1)); 10_000];
    let mut out = b"before".to_vec();
    assert_eq!(write_document(&Document::Transaction(request), &mut out), Err(TooLarge));
    assert_eq!(out, b"before");
}

#[test]
fn keeps_strange_text_inside_its_line() {
    let mut strange = sample::transaction();
    strange.name = "a\nb\r\u{2028}\u{0}\"\\\u{fffd}".into();
    assert_eq!(transaction(strange)["name"], "a\nb\r\u{2028}\u{0}\"\\\u{fffd}");
}

proptest::proptest! {
    /// Whatever text comes from outside: the line stays one the server takes.
    #[test]
    fn takes_any_text(text in "\\PC{0,40}|[\\x00-\\x1f\\x7f-\\x{9f}\\u{2028}\"\\\\]{0,40}", repeat in 0usize..600) {
        let text = text.repeat(repeat);
        let mut request = sample::transaction();
        request.name = text.clone();
        let http = request.http.as_mut().unwrap();
        (http.method, http.url.full, http.url.raw) = (text.clone(), text.clone(), text.clone());
        (http.url.hostname, http.url.pathname, http.url.search) = (text.clone(), text.clone(), Some(text.clone()));
        http.headers = vec![(text.clone(), text.clone()), (text.clone(), text.clone())];
        transaction(request);
        let mut query = sample::span(2);
        (query.name, query.destination.address) = (text.clone(), Some(text.clone()));
        query.destination.target = ServiceTarget { kind: text.clone(), name: Some(text.clone()) };
        query.http = Some(HttpCall { url: text.clone(), method: text.clone(), status: None });
        query.db.as_mut().unwrap().statement = Some(text.clone());
        span(query);
        let mut failed = failure::of_exception(&sample::thrown(), true, 50, TraceId(1), 2, None);
        (failed.kind, failed.message, failed.code) = (text.clone(), text.clone(), Some(text.clone()));
        let frame = &mut failed.frames[0];
        (frame.class, frame.function, frame.file) = (Some(text.clone()), text.clone(), Some(text.clone()));
        failed.log = Some(ErrorLog { message: text.clone(), param_message: Some(text.clone()), ..ErrorLog::default() });
        error(failed);
        let otel = Some(Otel { kind: SpanKind::Server, attributes: vec![(text.clone(), text.clone())] });
        span(Span { subtype: text.clone().into(), otel, ..sample::span(2) });
        let mut described = instance();
        (described.name, described.version, described.agent_name) = (text.clone(), Some(text.clone()), text.clone());
        described.process.argv = vec![text.clone(); 3];
        described.labels = vec![(text.clone(), text)];
        metadata(&described, Gates::default());
    }
}
