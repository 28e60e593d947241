//! gRPC services and their calls: told by probes, whichever way they come.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    callee::Callee,
    documents::{Documents, number, text},
    go::{self, Build},
    programs::Program,
    turn::{Need, Turn},
    watch::Watch,
};
use serde_json::Value;

const NEEDS: &[Need] = &[Need::Program("go")];

/// The Go of the older library: of 2021, as most of its services were then, and with maps of the older kind.
const OLDER: &str = "go1.21.13";

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// What the service is asked, and the status that its caller is told: method, word, code.
const QUESTIONS: [[&str; 3]; 8] = [
    ["Fail", "5", "NotFound"],
    ["Fail", "13", "Internal"],
    ["Fail", "nothing", "Unknown"],
    ["Panic", "", "Internal"],
    ["Nothing", "", "Unimplemented"],
    ["Count", "0", "OutOfRange"],
    ["Leave", "", "Canceled"],
    ["Crash", "", "Unavailable"],
];

/// A service: how it was built, the way its requests come, its executable and its process.
struct Service {
    build: Build,
    way: &'static str,
    executable: PathBuf,
    program: Program,
}

impl Service {
    fn start(build: Build, way: &'static str) -> Result<Self> {
        let executable = go::compile("go-grpc", build)?;
        Ok(Self { build, way, executable, program: go::start("go-grpc", build, ("WAY", way))? })
    }

    /// Asks it, and checks what it says.
    fn ask(&self, [method, word, code]: [&str; 3]) -> Result<()> {
        let address = format!("127.0.0.1:{}", self.program.port());
        let output = Command::new(&self.executable).args(["ask", &address, self.way, method, word]).output()?;
        let found = String::from_utf8_lossy(&output.stdout);
        ensure!(found == code, "{:?} {} {method} {word}: {found}", self.build, self.way);
        Ok(())
    }
}

#[test]
fn services_of_grpc() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let upstream = Callee::start()?;
    let url = format!("http://127.0.0.1:{}/index.html", upstream.port());
    let mut kinds = vec![(Build::Fixed, "plain"), (Build::Pie, "tls"), (Build::Fixed, "http")];
    if go::has_version("go-grpc", OLDER) {
        kinds.extend([(Build::Older(OLDER), "plain"), (Build::Older(OLDER), "http")]);
    }
    let services = kinds.into_iter().map(|(build, way)| Service::start(build, way)).collect::<Result<Vec<_>>>()?;
    let pids: Vec<String> = services.iter().flat_map(|one| ["--pid".into(), one.program.pid().to_string()]).collect();
    let mut arguments = vec!["--span-compression-enabled=false"];
    arguments.extend(pids.iter().map(String::as_str));
    let mut watch = Watch::start(&arguments)?;
    for service in &services {
        watch.agent().wait_for_line(&format!("Go's probes are set pid={}", service.program.pid()))?;
        service.ask(["Order", &url, "OK"])?;
        QUESTIONS.into_iter().try_for_each(|question| service.ask(question))?;
    }
    let seen = watch.finish()?;
    ensure!(seen.agent.stats.get("kernel.events.lost") == 0, "{:?}", seen.agent.stats.non_zero());
    for Service { build, way, program, .. } in &services {
        let documents = seen.documents.of_process(program.pid());
        let check = || {
            order(&documents, way, program.port(), &upstream)?;
            ends(&documents)?;
            errors(&documents, *build)
        };
        check().with_context(|| format!("{build:?} {way}: {}", documents.summary()))?;
    }
    let stats = seen.agent.stats;
    ensure!(stats.get("trace.unfinished") == 0, "{:?}", stats.non_zero());
    Ok(())
}

/// A request, and the calls its handler makes: over HTTP on another goroutine, where the trace goes along, over gRPC, and
/// without its context.
fn order(documents: &Documents, way: &str, port: u16, upstream: &Callee) -> Result<()> {
    let order = documents.request("/shop.Shop/Order")?;
    is(order, "transaction.name", "/shop.Shop/Order")?;
    is(order, "transaction.type", "request")?;
    is(order, "transaction.result", "OK")?;
    is(order, "event.outcome", "success")?;
    is(order, "trace.id", TRACE)?;
    is(order, "parent.id", PARENT)?;
    is(order, "http.version", "2.0")?;
    is(order, "http.request.method", "POST")?;
    is(order, "client.ip", "127.0.0.1")?;
    let scheme = if way == "plain" { "http" } else { "https" };
    is(order, "url.full", &format!("{scheme}://127.0.0.1:{port}/shop.Shop/Order"))?;
    let spans: Vec<&Value> = documents.spans_of(order).collect();
    let told: Vec<_> = spans.iter().map(|span| (text(span, "span.name"), text(span, "event.outcome"))).collect();
    let [http, reserved, refused, counted] = spans.as_slice() else { anyhow::bail!("{told:?}") };
    ensure!(text(http, "url.original").ends_with("/index.html"), "{http}");
    // The next service is told of this very span, and so of the request that its trace goes through.
    let lines = format!("\r\ntraceparent: 00-{TRACE}-{}-01\r\n", text(http, "span.id"));
    let arrived = upstream.requests();
    let has_lines = |request: &&Vec<u8>| String::from_utf8_lossy(request).contains(&lines);
    ensure!(arrived.iter().filter(has_lines).count() == 1, "{lines:?} did not arrive, but {arrived:?}");
    for (span, name, outcome) in [
        (reserved, "/shop.Shop/Reserve", "success"),
        (refused, "/shop.Shop/Reserve", "failure"),
        (counted, "/shop.Shop/Count", "success"),
    ] {
        is(span, "span.name", name)?;
        is(span, "event.outcome", outcome)?;
        is(span, "span.type", "external")?;
        is(span, "span.subtype", "grpc")?;
        is(span, "url.original", &format!("{scheme}://127.0.0.1:{port}{name}"))?;
        is(span, "destination.address", "127.0.0.1")?;
        ensure!(number(span, "destination.port") == Some(port.into()), "{span}");
        is(span, "service.target.type", "grpc")?;
        is(span, "service.target.name", &format!("127.0.0.1:{port}"))?;
        is(span, "span.destination.service.resource", &format!("127.0.0.1:{port}"))?;
    }
    Ok(())
}

/// Each request once, with the code it was answered with.
fn ends(documents: &Documents) -> Result<()> {
    let mut found: Vec<_> = documents
        .transactions()
        .map(|one| [text(one, "transaction.name"), text(one, "transaction.result"), text(one, "event.outcome")])
        .collect();
    let mut wanted = vec![
        ["/shop.Shop/Order", "OK", "success"],
        // By the order, and by those who count for it.
        ["/shop.Shop/Reserve", "OK", "success"],
        ["/shop.Shop/Reserve", "NotFound", "success"],
        ["/shop.Shop/Count", "OK", "success"],
        ["/shop.Shop/Reserve", "OK", "success"],
        ["/shop.Shop/Fail", "NotFound", "success"],
        ["/shop.Shop/Fail", "Internal", "failure"],
        ["/shop.Shop/Fail", "Unknown", "failure"],
        ["/shop.Shop/Panic", "Internal", "failure"],
        ["/shop.Shop/Nothing", "Unimplemented", "success"],
        ["/shop.Shop/Count", "OutOfRange", "success"],
        ["/shop.Shop/Count", "Canceled", "success"],
        ["/shop.Shop/Crash", "", "failure"],
    ];
    found.sort_unstable();
    wanted.sort_unstable();
    ensure!(found == wanted, "{found:#?}");
    let spans = documents.spans().count();
    ensure!(spans == 5, "{spans} spans");
    Ok(())
}

/// Panics are errors of their requests, also when they end the program. Probes for them need Go 1.22.
fn errors(documents: &Documents, build: Build) -> Result<()> {
    let errors: Vec<&Value> = documents.errors().collect();
    if matches!(build, Build::Older(_)) {
        ensure!(errors.is_empty(), "{errors:?}");
        return Ok(());
    }
    ensure!(errors.len() == 2, "{errors:?}");
    for (method, handled) in [("/shop.Shop/Panic", true), ("/shop.Shop/Crash", false)] {
        let request = documents.request(method)?;
        let is_its = |error: &&&Value| text(error, "transaction.id") == text(request, "transaction.id");
        let error = errors.iter().find(is_its).with_context(|| format!("{method} has none: {errors:?}"))?;
        ensure!(error["error"]["exception"][0]["handled"] == handled, "{error}");
    }
    Ok(())
}

fn is(document: &Value, path: &str, wanted: &str) -> Result<()> {
    let found = text(document, path);
    ensure!(found == wanted, "{path} is `{found}`, not `{wanted}`: {document}");
    Ok(())
}
