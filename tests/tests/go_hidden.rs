//! Requests that the wire does not show, over TLS and HTTP/2: told by probes where they are handled.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, number, text},
    go::{self, Build},
    nginx::Nginx,
    programs::Program,
    turn::{Need, Turn},
};
use serde_json::Value;

const NEEDS: &[Need] = &[Need::Program("go"), Need::Program("curl"), Need::Program("nginx")];

/// Another version of Go, whose HTTP/2 server has other names.
const NEWER: &str = "go1.27.3";

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// How requests come: the program's way, what curl is told, and the version of HTTP.
#[derive(Clone, Copy, Debug)]
struct Way {
    program: &'static str,
    scheme: &'static str,
    curl: &'static str,
    version: &'static str,
}

const WAYS: [Way; 3] = [
    Way { program: "tls", scheme: "https", curl: "--http1.1", version: "1.1" },
    Way { program: "tls", scheme: "https", curl: "--http2", version: "2.0" },
    Way { program: "h2c", scheme: "http", curl: "--http2-prior-knowledge", version: "2.0" },
];

/// Asks for a path with a trace's header and as many others as a request has behind a few proxies; gives back the status.
fn ask(way: Way, program: &Program, path: &str) -> Result<String> {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--insecure",
        "--max-time",
        "30",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ]);
    command.args([
        way.curl,
        "--header",
        &format!("traceparent: 00-{TRACE}-{PARENT}-01"),
        "--header",
        "tracestate: a=b",
    ]);
    for number in 0..20 {
        command.args(["--header", &format!("X-Header-{number}: {number}")]);
    }
    let output = command.arg(format!("{}://127.0.0.1:{}{path}", way.scheme, program.port())).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn requests_over_tls_and_http2() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let upstream = Nginx::start()?;
    let mut builds = vec![Build::Fixed, Build::Pie];
    builds.extend(go::has_version("go-hidden", NEWER).then_some(Build::Version(NEWER)));
    for (build, way) in builds.into_iter().flat_map(|build| WAYS.map(|way| (build, way))) {
        let program = go::start("go-hidden", build, ("WAY", way.program))?;
        let watch = go::watch(&program, &[])?;
        let call = format!("/call/3?url=http://127.0.0.1:{}/index.html", upstream.port());
        for (path, status) in [("/item/1?x=y", "200"), ("/teapot/2", "418"), (&call, "200"), ("/panic/4", "000")] {
            let found = ask(way, &program, path)?;
            ensure!(found == status, "{build:?} {way:?} {path}: {found}");
        }
        // Those who may take the connection over are not followed there, and the others are told that they may not.
        let hijacked = ask(way, &program, "/hijack/5")?;
        let seen = watch.finish()?;
        check(&seen.documents, way, &program, &hijacked).with_context(|| format!("{build:?} {way:?}"))?;
        let stats = seen.agent.stats;
        ensure!(
            stats.get("trace.requests.hidden") == 5 && stats.get("trace.unfinished") == 0,
            "{:?}",
            stats.non_zero()
        );
    }
    Ok(())
}

fn check(documents: &Documents, way: Way, program: &Program, hijacked: &str) -> Result<()> {
    let item = documents.request("/item/1")?;
    is(item, "transaction.name", "GET /item/{id}")?;
    is(item, "transaction.result", "HTTP 2xx")?;
    is(item, "event.outcome", "success")?;
    is(item, "trace.id", TRACE)?;
    is(item, "parent.id", PARENT)?;
    is(item, "http.version", way.version)?;
    is(item, "url.full", &format!("{}://127.0.0.1:{}/item/1?x=y", way.scheme, program.port()))?;
    is(item, "client.ip", "127.0.0.1")?;
    ensure!(number(item, "http.response.status_code") == Some(200), "{item}");
    is(documents.request("/teapot/2")?, "transaction.result", "HTTP 4xx")?;
    let call = documents.request("/call/3")?;
    let spans: Vec<&Value> = documents.spans_of(call).collect();
    ensure!(spans.len() == 1 && text(spans[0], "url.original").ends_with("/index.html"), "{spans:?}");
    let broken = documents.request("/panic/4")?;
    is(broken, "event.outcome", "failure")?;
    let errors: Vec<&Value> = documents.errors().collect();
    ensure!(errors.len() == 1 && errors[0]["error"]["exception"][0]["handled"] == false, "{errors:?}");
    ensure!(text(errors[0], "transaction.id") == text(broken, "transaction.id"), "{errors:?}");
    let status = number(documents.request("/hijack/5")?, "http.response.status_code");
    let expected = if hijacked == "202" { None } else { Some(501) };
    ensure!(status == expected, "hijacked: {status:?}, curl was told {hijacked}");
    Ok(())
}

fn is(document: &Value, path: &str, wanted: &str) -> Result<()> {
    let found = text(document, path);
    ensure!(found == wanted, "{path} is `{found}`, not `{wanted}`: {document}");
    Ok(())
}
