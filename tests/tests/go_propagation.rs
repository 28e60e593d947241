//! The place in the trace goes along with the calls of a Go program, and nothing else of them changes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    callee::Callee,
    documents::text,
    go::{self, Build, Load},
    http::{self, Connection},
    programs::Program,
    residue::{BPFTOOL, Residue},
    turn::{Need, Turn},
    wait,
    watch::{Seen, Watch},
};

const NEEDS: &[Need] = &[Need::Program("go")];

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Routes whose calls carry the place, and those whose calls are left alone: they have one of their own, or a head that
/// does not come at once.
const CARRYING: [&str; 4] = ["/get", "/post", "/chunked", "/file"];
const LEFT_ALONE: [&str; 2] = ["/own", "/long"];

/// Versions of Go whose maps, and so headers, are of an older kind; the first two push nothing where functions begin.
const OLDER: [&str; 3] = ["go1.19.13", "go1.20.14", "go1.22.12"];

fn caller(build: Build) -> Result<Program> {
    go::start("go-caller", build, ("GOTRACEBACK", "all"))
}

/// Has the program make each call once, in order; gives back what arrived, without the server's port.
fn calls(program: &Program, headers: &[&str]) -> Result<Vec<Vec<u8>>> {
    let callee = Callee::start()?;
    let to = format!("127.0.0.1:{}", callee.port());
    let mut connection = Connection::open(program.port())?;
    for (path, number) in CARRYING.into_iter().chain(LEFT_ALONE).zip(1..) {
        let answer = connection.get(&format!("{path}?to=http://{to}/{number}"), headers)?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
    }
    let unified = |request: Vec<u8>| Ok(String::from_utf8(request)?.replace(&to, "callee").into_bytes());
    callee.requests().into_iter().map(unified).collect()
}

/// What was put in, and the rest.
fn parted(request: &[u8]) -> (Vec<String>, Vec<u8>) {
    let text = String::from_utf8_lossy(request);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let is_ours =
        |line: &&str| ["traceparent: ", "elastic-apm-", "tracestate: "].iter().any(|name| line.starts_with(name));
    let (ours, theirs): (Vec<&str>, Vec<&str>) = head.split("\r\n").partition(is_ours);
    (ours.into_iter().map(str::to_owned).collect(), [&theirs.join("\r\n"), "\r\n\r\n", body].concat().into_bytes())
}

/// Lines for the span of a request to this path, with its `tracestate`.
fn lines(seen: &Seen, path: &str, flags: &str, state: Option<&str>) -> Result<Vec<String>> {
    let request = seen.documents.requests().find(|request| text(request, "url.path") == path).context("a request")?;
    let span = seen.documents.spans_of(request).next().with_context(|| format!("{path}: a span"))?;
    let value = format!("00-{}-{}-{flags}", text(span, "trace.id"), text(span, "span.id"));
    let lines = [format!("traceparent: {value}"), format!("elastic-apm-traceparent: {value}")];
    Ok(lines.into_iter().chain(state.map(|state| format!("tracestate: {state}"))).collect())
}

#[test]
fn what_arrives_is_what_was_sent_and_the_place() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let continued = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    // More than one group of them.
    let others: Vec<String> = (0..20).map(|number| format!("x-{number}: {number}")).collect();
    let among_others: Vec<&str> = others.iter().map(String::as_str).chain([continued.as_str()]).collect();
    let begins = (&[][..], Some("es=s:1"));
    let continues = (&[continued.as_str(), "tracestate: other=1,es=s:0.5"][..], Some("other=1,es=s:0.5"));
    carries(Build::Fixed, &[begins, continues, (&among_others, None)])?;
    for older in OLDER.into_iter().filter(|version| go::has_version("go-caller", version)) {
        carries(Build::Version(older), &[begins, (&among_others, None)])?;
    }
    Ok(())
}

/// Calls carry what requests with these headers have them carry: lines with this state.
fn carries(build: Build, asked: &[(&[&str], Option<&str>)]) -> Result<()> {
    let program = caller(build)?;
    let bare = calls(&program, &[])?;
    for (headers, state) in asked {
        let watch = go::watch(&program, &[])?;
        let arrived = calls(&program, headers)?;
        let seen = watch.finish()?;
        ensure!(arrived.len() == bare.len(), "{} calls", arrived.len());
        for ((path, arrived), bare) in CARRYING.iter().chain(&LEFT_ALONE).zip(&arrived).zip(&bare) {
            if LEFT_ALONE.contains(path) {
                ensure!(arrived == bare, "{path}: {}", String::from_utf8_lossy(arrived));
                continue;
            }
            let (ours, theirs) = parted(arrived);
            ensure!(theirs == parted(bare).1, "{path}: {}", String::from_utf8_lossy(arrived));
            let wanted = lines(&seen, path, "01", *state)?;
            ensure!(ours == wanted, "{path}: {ours:?} and not {wanted:?}");
        }
        let request = seen.documents.requests().next().context("a request")?;
        ensure!((text(request, "trace.id") == TRACE) != headers.is_empty(), "{request}");
        let stats = &seen.agent.stats;
        let counted = ["written", "there_already", "head_not_whole", "trace_unknown", "no_room"]
            .map(|name| stats.get(&format!("propagation.{name}")));
        ensure!(counted == [CARRYING.len() as u64, 1, 1, 0, 0], "{counted:?}");
    }
    Ok(())
}

#[test]
fn services_are_in_one_trace() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let (first, second) = (caller(Build::Fixed)?, caller(Build::Fixed)?);
    let pids = [first.pid(), second.pid()].map(|pid| pid.to_string());
    let mut watch = Watch::start(&["--pid", &pids[0], "--pid", &pids[1]])?;
    for pid in &pids {
        watch.agent().wait_for_line(&format!("Go's probes are set pid={pid}"))?;
    }
    let to = format!("http://127.0.0.1:{}", second.port());
    // Twice on one connection, and through both.
    for path in ["/get", "/get"] {
        ensure!(http::get(first.port(), &format!("{path}?to={to}/leaf"))?.status == 200);
    }
    ensure!(http::get(first.port(), &format!("/post?to={to}/get?to={to}/leaf"))?.status == 200);
    let documents = watch.finish()?.documents;
    let inner: Vec<_> = documents.of_process(second.pid()).requests().cloned().collect();
    ensure!(inner.len() == 4, "{}", documents.summary());
    for request in &inner {
        let parent = documents.spans().find(|span| text(span, "span.id") == text(request, "parent.id"));
        let parent = parent.with_context(|| format!("no span is the parent of {request}"))?;
        ensure!(text(parent, "trace.id") == text(request, "trace.id"), "{parent}, {request}");
    }
    Ok(())
}

/// A connection that was open before the agent came is taken over when a call on it went out without the place. What
/// arrives is else what was sent, and when the agent is gone, the connection goes on as before.
#[test]
fn connections_that_are_older_than_the_agent() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let (program, callee) = (caller(Build::Fixed)?, Callee::start()?);
    let mut connection = Connection::open(program.port())?;
    let mut call = |path: &str| -> Result<Vec<u8>> {
        let answer = connection.get(&format!("{path}?to=http://127.0.0.1:{}/1", callee.port()), &[])?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        callee.requests().pop().context("a call")
    };
    let bare = CARRYING.map(&mut call).into_iter().collect::<Result<Vec<_>>>()?;
    let watch = go::watch(&program, &[])?;
    wait::until("a call that carries the place", wait::PATIENCE, || {
        call(CARRYING[0]).is_ok_and(|arrived| !parted(&arrived).0.is_empty()).then_some(())
    })?;
    for (path, bare) in CARRYING.iter().zip(&bare) {
        let (ours, theirs) = parted(&call(path)?);
        ensure!(ours.len() == 3 && theirs == parted(bare).1, "{path}: {ours:?}, {}", String::from_utf8_lossy(&theirs));
    }
    let seen = watch.finish()?;
    let stats = &seen.agent.stats;
    ensure!(stats.get("propagation.connections_taken_over") == 1, "{:?}", stats.non_zero());
    ensure!(stats.get("propagation.connection_unreachable") >= 1, "{:?}", stats.non_zero());
    let told: Vec<&str> = seen.documents.spans().map(|span| text(span, "span.id")).collect();
    let arrived = callee.requests();
    let lines = arrived.iter().filter_map(|request| parted(request).0.into_iter().next());
    for line in lines {
        ensure!(told.iter().any(|id| line.contains(id)), "{line} is of no span: {told:?}");
    }
    ensure!(CARRYING.map(&mut call).into_iter().collect::<Result<Vec<_>>>()? == bare, "calls after the agent");
    ensure!(callee.connections() == 1, "{} connections", callee.connections());
    Ok(())
}

/// A service that makes calls all the time notices nothing of agents that come and go.
#[test]
fn agents_come_and_go() -> Result<()> {
    let Some(_turn) = Turn::take(&[NEEDS, &[Need::File(BPFTOOL)]].concat()) else { return Ok(()) };
    let (mut program, leaf, before) = (caller(Build::Fixed)?, caller(Build::Fixed)?, Residue::now()?);
    let paths =
        ["get", "post", "chunked", "file"].map(|path| format!("/{path}?to=http://127.0.0.1:{}/leaf", leaf.port()));
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let load = Load { clients: 3, paths: &paths, pause: Duration::from_millis(1), least: paths.len() };
    go::come_and_go(&program, 4, load)?;
    ensure!(program.child().is_running(), "it has ended:\n{}", program.child().output());
    let is_clean = || Residue::now().is_ok_and(|now| now.since(&before).is_empty()).then_some(());
    wait::until("the last agent's programs are gone", wait::PATIENCE, is_clean)
}

/// Nothing is put in where that is switched off.
#[test]
fn it_can_be_switched_off() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let program = caller(Build::Fixed)?;
    let bare = calls(&program, &[])?;
    let watch = go::watch(&program, &["--propagation=false"])?;
    ensure!(calls(&program, &[])? == bare);
    let seen = watch.finish()?;
    ensure!(seen.agent.stats.sum(|name| name.starts_with("propagation.")) == 0);
    Ok(())
}
