//! Our documents, from exchange to what APM Server would store: decoded by Elastic's own decoder (`tests/apm-server`).
//!
//! Needs Go and its module proxy. Without Go the tests say so by name and count as skipped.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use apm_agent::{
    build::{
        Document, ErrorPlace, Place,
        compression::{Limits, SpanBuffer},
        destination::{Addresses, Endpoint},
        failure,
        rules::Rules,
        span, transaction,
    },
    config::{Capture, Outputs},
    correlate::{Ids, SpanId},
    exchange::{Ending, Exchange, Http, Payload, Sql, SqlError, SqlOperation, Stamp},
    metadata::{HostInfo, ProcessInfo, ServiceInstance},
    send,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Builds the server once. `None`: there is no Go on this machine.
fn server_program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apm-server");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/apm-server");
        let built =
            Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source).status().unwrap();
        assert!(built.success(), "`go build` of tests/apm-server failed");
        Some(program)
    };
    PROGRAM.get_or_init(build).as_deref()
}

struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    url: String,
    out: tempfile::NamedTempFile,
}

impl Server {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        let out = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(program);
        let mut child = command
            .arg("-out")
            .arg(out.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let url = format!("http://{}", line.strip_prefix("listening on ").unwrap());
        Self { child, lines, url, out }
    }

    /// Ends the server: what it counted, and the documents it would have stored.
    fn end(mut self) -> (Value, Vec<Value>) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let counts = serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap();
        assert!(self.child.wait().unwrap().success());
        let documents = fs::read_to_string(self.out.path()).unwrap();
        (counts, documents.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn instance() -> Arc<ServiceInstance> {
    Arc::new(ServiceInstance {
        name: "shop".into(),
        version: Some("1.2".into()),
        environment: Some("test".into()),
        node_name: Some("host-7".into()),
        agent_name: "nodejs".into(),
        language: Some(("javascript".into(), None)),
        runtime: Some(("node".into(), "20.1.0".into())),
        process: ProcessInfo { pid: 7, argv: vec!["node".into()], ..ProcessInfo::default() },
        host: HostInfo { architecture: "x64".into(), platform: "linux".into(), ..HostInfo::default() },
        labels: vec![("team.name".into(), "a".into())],
        ..ServiceInstance::default()
    })
}

fn exchange(payload: Payload) -> Exchange {
    let stamp = |time| Stamp { time, mark: 0 };
    Exchange {
        serial: 0,
        opened: stamp(1),
        request_end: Some(2),
        response_start: Some(3),
        closed: stamp(4),
        ending: Ending::Complete,
        payload,
    }
}

fn request() -> Http {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Http {
        method: "GET".into(),
        target: "/products?id=1".into(),
        version: "1.1",
        headers: vec![
            header("Host", "shop.example"),
            header("Accept", "a"),
            header("accept", "b"),
            header("Cookie", "sessionid=1"),
        ],
        status: Some(500),
        has_request_body: true,
        ..Http::default()
    }
}

fn query(statement: &str) -> Sql {
    Sql {
        system: "postgresql",
        operation: SqlOperation::Query,
        statement: Some(statement.into()),
        statement_cut: false,
        database: Some("shop".into()),
        user: Some("app".into()),
        rows_affected: Some(1),
        error: Some(SqlError { code: "42P01".into(), message: "no such table".into(), severity: "ERROR".into() }),
    }
}

fn addresses() -> Addresses {
    Addresses { remote: Endpoint::Ip("127.0.0.1:5432".parse().unwrap()), ..Addresses::default() }
}

const START: u64 = 1_800_000_000_000_000;

/// A request with a failed query, an outgoing call, both calls' errors, and spans dropped over the limit of two.
fn documents() -> Vec<Document> {
    let capture = Capture { max_spans: 2, compression: false, ..Capture::default() };
    let mut ids = Ids::seeded(7);
    let place = Place { trace: ids.trace(), id: ids.span(), parent: None, sample_rate: Some(1.0) };
    let mut spans = SpanBuffer::new(Limits::new(&capture));
    let mut all = Vec::new();
    let failed = query("SELECT * FROM products");
    for number in 0..3 {
        let parts = span::from_sql(&exchange(Payload::Http(Http::default())), &failed, &addresses());
        let below = Place { id: ids.span(), parent: Some(place.id), ..place };
        let ended = parts.into_span(below, Some(place.id), START + number, 5_000_000);
        all.extend(spans.push(ended, false).into_iter().map(Document::Span));
    }
    let parts = span::from_http(&exchange(Payload::Http(Http::default())), &request(), &addresses());
    let (late, statistics) = spans.end();
    assert!(late.is_empty());
    let outside = Place { id: ids.span(), parent: Some(place.id), ..place };
    all.push(Document::Span(parts.into_span(outside, Some(place.id), START + 9, 1_000_000)));

    let within = |parent: SpanId| ErrorPlace {
        trace: place.trace,
        transaction: Some(place.id),
        parent,
        transaction_name: None,
        transaction_type: Some("request"),
        sampled: true,
    };
    if let Some(error) = &failed.error {
        let error = failure::of_database(failed.system, error, ids.trace(), START, Some(within(place.id)));
        all.push(Document::Error(error));
    }
    all.push(Document::Error(failure::of_connection(111, &addresses().remote, ids.trace(), START, None)));

    let rules = Rules::new(&capture);
    let parts =
        transaction::from_http(&exchange(Payload::Http(Http::default())), request(), None, &addresses(), &rules);
    let mut transaction = parts.into_transaction(place, START, 20_000_000);
    transaction.spans_started = statistics.started;
    transaction.spans_dropped = statistics.dropped;
    transaction.dropped_spans = statistics.dropped_spans;
    transaction.links = vec![(ids.trace(), ids.span())];
    all.push(Document::Transaction(transaction));
    all
}

fn counter(list: &[(&'static str, u64)], wanted: &str) -> u64 {
    list.iter().find(|(name, _)| *name == wanted).unwrap_or_else(|| panic!("{wanted} in {list:?}")).1
}

fn at<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {document}"))
}

#[test]
fn elastics_decoder_takes_every_document() {
    let Some(program) = server_program() else {
        println!("SKIPPED elastics_decoder_takes_every_document: Go is not installed");
        return;
    };
    let server = Server::start(program, &["-secret-token", "t"]);
    let outputs =
        Outputs { server_url: Some(server.url.clone()), secret_token: Some("t".into()), ..Outputs::default() };
    let mut output = send::outputs(&outputs).unwrap();
    let documents = documents();
    for document in &documents {
        output.publish(&instance(), document);
    }
    output.finish();
    let (counts, stored) = server.end();
    assert_eq!(counter(&output.counters(), "send.server.events.sent"), documents.len() as u64);
    assert_eq!((&counts["accepted"], &counts["invalid"]), (&Value::from(documents.len()), &Value::from(0)));

    let with =
        |pointer: &str| -> Vec<&Value> { stored.iter().filter(|event| event.pointer(pointer).is_some()).collect() };
    let [transaction] = with("/transaction/name")[..] else { panic!("{stored:?}") };
    assert_eq!(at(transaction, "/url/full"), "http://shop.example/products?id=1");
    assert_eq!(at(transaction, "/url/query"), "id=1");
    assert_eq!(at(transaction, "/event/outcome"), "failure");
    assert_eq!(at(transaction, "/transaction/span_count/dropped"), 1);
    assert_eq!(at(transaction, "/span/links").as_array().unwrap().len(), 1);
    assert_eq!(at(transaction, "/labels/team_name"), "a");
    assert_eq!(at(transaction, "/agent/activation_method"), "ebpf");
    assert_eq!(at(transaction, "/service/node/name"), "host-7");
    assert_eq!(at(transaction, "/http/request/headers/Accept"), &serde_json::json!(["a", "b"]));
    assert_eq!(at(transaction, "/http/request/headers/Cookie").to_string(), r#"["sessionid=[REDACTED]"]"#);

    let spans = with("/span/name");
    assert_eq!(spans.len(), 3);
    let sql = spans.iter().find(|span| span["span"]["type"] == "db").unwrap();
    assert_eq!(at(sql, "/span/destination/service/resource"), "postgresql/shop");
    assert_eq!(at(sql, "/service/target/name"), "shop");
    assert_eq!(at(sql, "/span/db/statement"), "SELECT * FROM products");
    assert_eq!(at(sql, "/destination/ip"), "127.0.0.1");
    assert_eq!(at(sql, "/parent/id"), at(transaction, "/transaction/id"));
    let call = spans.iter().find(|span| span["span"]["type"] == "external").unwrap();
    assert_eq!(at(call, "/service/target/name"), "shop.example:80");
    assert_eq!(at(call, "/http/response/status_code"), 500);

    let errors = with("/error");
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().any(|error| error["error"]["exception"][0]["code"] == "42P01"));
    let refused = errors.iter().find(|error| error["error"]["exception"][0]["code"] == "ECONNREFUSED").unwrap();
    assert_eq!(at(refused, "/error/exception/0/message"), "connect ECONNREFUSED 127.0.0.1:5432");
    assert_eq!(refused.get("trace"), None);
}

#[test]
fn a_server_that_misbehaves_costs_counted_events_only() {
    let Some(program) = server_program() else {
        println!("SKIPPED a_server_that_misbehaves_costs_counted_events_only: Go is not installed");
        return;
    };
    let server = Server::start(program, &["-status", "503", "-status-times", "1", "-delay", "20ms"]);
    let outputs = Outputs {
        server_url: Some(server.url.clone()),
        api_request_size: 1,
        api_request_time: Duration::from_millis(1),
        ..Outputs::default()
    };
    let mut output = send::outputs(&outputs).unwrap();
    let documents = documents();
    for document in &documents {
        output.publish(&instance(), document);
    }
    output.finish();
    let (counts, stored) = server.end();
    let counters = output.counters();
    assert_eq!(counter(&counters, "send.server.events.dropped.request_failed"), 1, "{counters:?}");
    assert_eq!(counter(&counters, "send.server.events.sent"), documents.len() as u64 - 1, "{counters:?}");
    assert_eq!((stored.len(), &counts["refused"]), (documents.len() - 1, &Value::from(1)));
}

/// A certificate of an unknown authority is refused by default, and taken when checking is off or the authority is named.
#[test]
fn trusts_certificates_as_told() {
    let Some(program) = server_program() else {
        println!("SKIPPED trusts_certificates_as_told: Go is not installed");
        return;
    };
    let certificate = tempfile::NamedTempFile::new().unwrap();
    let server = Server::start(program, &["-tls-certificate-out", certificate.path().to_str().unwrap()]);
    let url = server.url.replace("http:", "https:");
    let base = Outputs { server_url: Some(url), ..Outputs::default() };
    let unverified = Outputs { verify_server_cert: false, ..base.clone() };
    let trusted = Outputs { server_ca_cert_file: Some(certificate.path().into()), ..base.clone() };
    let mut sent = Vec::new();
    for outputs in [base, unverified, trusted] {
        let mut output = send::outputs(&outputs).unwrap();
        documents().iter().for_each(|document| output.publish(&instance(), document));
        output.finish();
        sent.push(counter(&output.counters(), "send.server.events.sent"));
    }
    let all = documents().len() as u64;
    assert_eq!(sent, [0, all, all]);
}
