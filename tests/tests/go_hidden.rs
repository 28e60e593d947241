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

/// The oldest versions: their functions push nothing where they begin, their mux has no patterns, and of panics nothing is
/// told. The HTTP/2 server of 1.19 says to nobody that a handler has ended.
const OLDEST: [&str; 2] = ["go1.19.13", "go1.20.14"];

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

/// A build and the way its requests come.
fn kinds() -> Vec<(Build, Way)> {
    let in_each_way = |build| WAYS.map(|way| (build, way));
    let mut kinds = [Build::Fixed, Build::Pie].map(in_each_way).concat();
    kinds.push((Build::Race, WAYS[1]));
    kinds.extend(go::has_version("go-hidden", NEWER).then(|| in_each_way(Build::Version(NEWER))).into_iter().flatten());
    for oldest in OLDEST.into_iter().filter(|version| go::has_version("go-hidden", version)) {
        // It has no HTTP/2 in plain text of its own.
        kinds.extend([WAYS[0], WAYS[1]].map(|way| (Build::Version(oldest), way)));
    }
    kinds
}

#[test]
fn requests_over_tls_and_http2() -> Result<()> {
    let Some(_turn) = Turn::take(&[NEEDS, &[Need::Program("gcc")]].concat()) else { return Ok(()) };
    let upstream = Nginx::start()?;
    let kinds = kinds();
    let start = |(build, way): &(Build, Way)| go::start("go-hidden", *build, ("WAY", way.program));
    let programs = kinds.iter().map(start).collect::<Result<Vec<Program>>>()?;
    let watch = go::watch_all(&programs.iter().collect::<Vec<_>>(), &[])?;
    let call = format!("/call/3?url=http://127.0.0.1:{}/index.html", upstream.port());
    let mut hijacked = Vec::new();
    for ((build, way), program) in kinds.iter().zip(&programs) {
        for (path, status) in [("/item/1?x=y", "200"), ("/teapot/2", "418"), (&call, "200"), ("/panic/4", "000")] {
            let found = ask(*way, program, path)?;
            ensure!(found == status, "{build:?} {way:?} {path}: {found}");
        }
        // Those who may take the connection over are not followed there, and the others are told that they may not.
        hijacked.push(ask(*way, program, "/hijack/5")?);
    }
    let seen = watch.finish()?;
    for (((build, way), program), hijacked) in kinds.iter().zip(&programs).zip(&hijacked) {
        let documents = seen.documents.of_process(program.pid());
        check(&documents, *build, *way, program, hijacked).with_context(|| format!("{build:?} {way:?}"))?;
    }
    let stats = seen.agent.stats;
    let hidden = stats.get("trace.requests.hidden");
    ensure!(hidden == 5 * kinds.len() as u64 && stats.get("trace.unfinished") == 0, "{:?}", stats.non_zero());
    Ok(())
}

/// Calls in each way: over TLS, over HTTP/2, over both; in each, what was found, and a server that gives up.
#[test]
fn calls_over_tls_and_http2() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let [encrypted, plain] = [WAYS[0], WAYS[2]].map(|way| go::start("go-hidden", Build::Fixed, ("WAY", way.program)));
    let (encrypted, plain) = (encrypted?, plain?);
    let (https, http) =
        (format!("https://127.0.0.1:{}", encrypted.port()), format!("http://127.0.0.1:{}", plain.port()));
    let mut builds = vec![Build::Fixed, Build::Pie];
    builds.extend(go::has_version("go-hidden", NEWER).then_some(Build::Version(NEWER)));
    for build in builds {
        let program = go::start("go-hidden", build, ("WAY", WAYS[1].program))?;
        let watch = go::watch(&program, &[])?;
        // Each server twice: on a new connection, and on one that was kept.
        let calls = [
            (1, "", &https, "/item/1?x=y", "200"),
            (2, "", &https, "/teapot/2", "200"),
            (3, "1", &https, "/item/3?x=y", "200"),
            (4, "1", &https, "/teapot/4", "200"),
            (5, "1", &http, "/item/5?x=y", "200"),
            (6, "1", &http, "/teapot/6", "200"),
            (7, "1", &https, "/panic/7", "502"),
        ];
        for (id, http2, server, path, status) in calls {
            // With a name and a password, which are nobody's business.
            let url = format!("{server}{path}").replacen("//", "//user:secret@", 1);
            let found = ask(WAYS[1], &program, &format!("/call/{id}?http2={http2}&url={url}"))?;
            ensure!(found == status, "{build:?} {path}: {found}");
        }
        let seen = watch.finish()?;
        for (id, _, server, path, _) in calls {
            check_call(&seen.documents, id, server, path).with_context(|| format!("{build:?}, call {id}"))?;
        }
        let stats = seen.agent.stats;
        ensure!(
            stats.get("trace.calls.hidden") == 5 && stats.get("trace.unfinished") == 0,
            "{build:?} {:?}",
            stats.non_zero()
        );
    }
    Ok(())
}

fn check_call(documents: &Documents, id: u32, server: &str, path: &str) -> Result<()> {
    let request = documents.request(&format!("/call/{id}"))?;
    let spans: Vec<&Value> = documents.spans_of(request).collect();
    let [span] = spans.as_slice() else { anyhow::bail!("one span, not {spans:?}") };
    let (_, host) = server.split_once("//").context("a URL")?;
    let (_, port) = host.split_once(':').context("a port")?;
    is(span, "span.name", &format!("GET {host}"))?;
    is(span, "url.original", &format!("{server}{path}"))?;
    is(span, "service.target.name", host)?;
    is(span, "destination.address", "127.0.0.1")?;
    ensure!(number(span, "destination.port") == Some(port.parse()?), "{span}");
    let (status, outcome) = match path {
        found if found.starts_with("/item/") => (Some(200), "success"),
        refused if refused.starts_with("/teapot/") => (Some(418), "failure"),
        _ => (None, "failure"),
    };
    is(span, "event.outcome", outcome)?;
    ensure!(number(span, "http.response.status_code") == status, "{span}");
    Ok(())
}

fn check(documents: &Documents, build: Build, way: Way, program: &Program, hijacked: &str) -> Result<()> {
    let item = documents.request("/item/1")?;
    let is_oldest = matches!(build, Build::Version(version) if OLDEST.contains(&version));
    let has_route = !is_oldest && build != Build::Race;
    is(item, "transaction.name", if has_route { "GET /item/{id}" } else { "GET unknown route" })?;
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
    // Nobody set it.
    ensure!(number(call, "http.response.status_code") == Some(200), "{call}");
    let broken = documents.request("/panic/4")?;
    is(broken, "event.outcome", "failure")?;
    let errors: Vec<&Value> = documents.errors().collect();
    if is_oldest {
        ensure!(errors.is_empty(), "{errors:?}");
    } else {
        ensure!(errors.len() == 1 && errors[0]["error"]["exception"][0]["handled"] == false, "{errors:?}");
        ensure!(text(errors[0], "transaction.id") == text(broken, "transaction.id"), "{errors:?}");
    }
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
