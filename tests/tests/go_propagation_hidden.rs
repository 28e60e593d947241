//! The place in the trace goes along with the calls of Go programs that no socket shows, over TLS, HTTP/2 and gRPC:
//! written into the program's memory, by the kernel where it may be, else while the program is stopped.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    callee::Callee,
    documents::{Documents, text},
    go::{self, Build, Load},
    http, process,
    programs::Program,
    residue::{BPFTOOL, Residue},
    turn::{Need, Turn},
    wait,
};

const NEEDS: &[Need] = &[Need::Program("go"), Need::Program("curl")];

/// Another version of Go, whose HTTP/2 client has other names; one of an older gRPC, with maps of the older kind.
const NEWER: &str = "go1.27.3";
const OLDER: &str = "go1.21.13";

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OWN: &str = "00-11111111111111111111111111111111-2222222222222222-01";

/// Works with every kernel.
const WAY: &str = "--propagation=stop-and-write";

/// Asks; gives back the answer.
fn ask(program: &Program, path: &str, state: &str) -> Result<String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--insecure", "--max-time", "60"]);
    if !state.is_empty() {
        let headers = [format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01"), format!("tracestate: {state}")];
        command.args(headers.iter().flat_map(|header| ["--header", header]));
    }
    let output = command.arg(format!("https://127.0.0.1:{}{path}", program.port())).output()?;
    ensure!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// A call: HTTP/2 or not, what the request's caller says of its state, and the place that the program sends itself.
struct Call {
    http2: &'static str,
    is_plain: bool,
    state: String,
    own: &'static str,
}

/// Each way twice, on a new connection and on one that was kept; with states whose length takes one, two and three bytes.
fn calls() -> Vec<Call> {
    let ways = [("", false), ("1", false), ("1", true)];
    let states = [0, 0, 20, 130, 300, 512].map(|length| match length {
        0 => String::new(),
        _ => format!("a={}", "b".repeat(length - 2)),
    });
    let own = [("", ""), ("", OWN)];
    let all = ways.into_iter().flat_map(|way| states.iter().map(move |state| (way, state.clone(), own[0].1)));
    let placed = ways.into_iter().map(|way| (way, String::new(), own[1].1));
    all.chain(placed).map(|((http2, is_plain), state, own)| Call { http2, is_plain, state, own }).collect()
}

#[test]
fn calls_over_tls_and_http2_carry_it() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let mut builds = vec![Build::Fixed];
    builds.extend(go::has_version("go-hidden", NEWER).then_some(Build::Version(NEWER)));
    for build in builds {
        over_tls_and_http2(build).with_context(|| format!("{build:?}"))?;
    }
    Ok(())
}

fn over_tls_and_http2(build: Build) -> Result<()> {
    let started = ["tls", "tls", "h2c"].map(|way| go::start("go-hidden", build, ("WAY", way)));
    let [caller, encrypted, plain] = started;
    let (caller, encrypted, plain) = (caller?, encrypted?, plain?);
    let watch = go::watch_all(&[&caller, &encrypted, &plain], &[WAY])?;
    let calls = calls();
    for (call, id) in calls.iter().zip(1..) {
        let server = match call.is_plain {
            true => format!("http://127.0.0.1:{}", plain.port()),
            false => format!("https://127.0.0.1:{}", encrypted.port()),
        };
        let path = format!("/call/{id}?http2={}&own={}&url={server}/leaf/{id}", call.http2, call.own);
        ask(&caller, &path, &call.state)?;
    }
    let said = ask(&encrypted, "/leaves", "")? + &plain_leaves(&plain)?;
    let seen = watch.finish()?;
    for (call, id) in calls.iter().zip(1..) {
        let prefix = format!("{id}|");
        let said = said.lines().find_map(|line| line.strip_prefix(&prefix)).context("a call that did not arrive")?;
        let wanted = wanted(&seen.documents, call, id)?;
        ensure!(said == wanted, "call {id} over {}: {said} and not {wanted}", call.http2);
    }
    let stats = &seen.agent.stats;
    let own = calls.iter().filter(|call| !call.own.is_empty()).count() as u64;
    let counted = ["written", "there_already"].map(|name| stats.get(&format!("propagation.{name}")));
    ensure!(counted == [calls.len() as u64 - own, own], "{:?}", stats.non_zero());
    Ok(())
}

fn plain_leaves(plain: &Program) -> Result<String> {
    let address = format!("http://127.0.0.1:{}/leaves", plain.port());
    let output = Command::new("curl").args(["--silent", "--http2-prior-knowledge", &address]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

/// What the server was to be told, by what the agent reported of both.
fn wanted(documents: &Documents, call: &Call, id: u32) -> Result<String> {
    let request = documents.request(&format!("/call/{id}"))?;
    let span = documents.spans_of(request).next().context("a span")?;
    let leaf = documents.request(&format!("/leaf/{id}"))?;
    if !call.own.is_empty() {
        ensure!(text(leaf, "parent.id") == "2222222222222222", "{leaf}");
        return Ok(format!("{}||", call.own));
    }
    let (trace, parent) = (text(span, "trace.id"), text(span, "span.id"));
    ensure!(text(leaf, "trace.id") == trace && text(leaf, "parent.id") == parent, "{leaf} is no child of {span}");
    ensure!((trace == TRACE) != call.state.is_empty(), "{request}");
    let place = format!("00-{trace}-{parent}-01");
    let state = if call.state.is_empty() { "es=s:1" } else { &call.state };
    Ok(format!("{place}|{place}|{state}"))
}

/// A service that makes such calls all the time notices nothing of agents that come and go, half of them killed: nothing
/// stays stopped.
#[test]
fn agents_come_and_go() -> Result<()> {
    let Some(_turn) = Turn::take(&[NEEDS, &[Need::File(BPFTOOL)]].concat()) else { return Ok(()) };
    // It is asked over HTTP/1 in plain text, too.
    let [program, leaf] = ["h2c", "tls"].map(|way| go::start("go-hidden", Build::Fixed, ("WAY", way)));
    let (mut program, leaf, before) = (program?, leaf?, Residue::now()?);
    let path = |http2: &str| format!("/call/1?http2={http2}&url=https://127.0.0.1:{}/leaf/1", leaf.port());
    let paths = [path(""), path("1")];
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let load = Load { clients: 3, paths: &paths, pause: Duration::from_millis(1), least: paths.len() };
    go::come_and_go_with(&program, 2, load, &[WAY])?;
    ensure!(program.child().is_running(), "it has ended:\n{}", program.child().output());
    let is_clean = || Residue::now().is_ok_and(|now| now.since(&before).is_empty()).then_some(());
    wait::until("the last agent's programs are gone", wait::PATIENCE, is_clean)?;
    ensure!(http::get(program.port(), paths[0])?.status == 200, "it answers no more");
    Ok(())
}

/// When the process that writes hangs, the agent ends it, and has go on what waits for it.
#[test]
fn nothing_waits_for_a_hand_that_hangs() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let [program, leaf] = ["h2c", "tls"].map(|way| go::start("go-hidden", Build::Fixed, ("WAY", way)));
    let (program, leaf) = (program?, leaf?);
    let mut watch = go::watch(&program, &[WAY])?;
    let agent = watch.agent().pid();
    let Some(hand) = process::family(agent).into_iter().find(|pid| *pid != agent) else {
        // The kernel writes by itself.
        return watch.finish().map(|_| ());
    };
    ensure!(Command::new("kill").args(["-STOP", &hand.to_string()]).status()?.success());
    let path = format!("/call/1?url=https://127.0.0.1:{}/leaf/1", leaf.port());
    for _ in 0..2 {
        ensure!(http::get(program.port(), &path)?.status == 200, "it answers no more");
    }
    watch.agent().wait_for_line("is not written any more")?;
    let seen = watch.finish()?;
    let calls = seen.documents.requests().map(|request| seen.documents.spans_of(request).count()).sum::<usize>();
    ensure!(calls == 2 && seen.agent.stats.get("propagation.written") == 0, "{:?}", seen.agent.stats.non_zero());
    Ok(())
}

#[test]
fn calls_of_grpc_carry_it() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let mut kinds = vec![(Build::Fixed, "tls")];
    if go::has_version("go-grpc", OLDER) {
        kinds.push((Build::Older(OLDER), "plain"));
    }
    for (build, way) in kinds {
        of_grpc(build, way).with_context(|| format!("{build:?} {way}"))?;
    }
    Ok(())
}

fn of_grpc(build: Build, way: &'static str) -> Result<()> {
    let (executable, callee) = (go::compile("go-grpc", build)?, Callee::start()?);
    let program = go::start("go-grpc", build, ("WAY", way))?;
    let watch = go::watch(&program, &[WAY])?;
    let address = format!("127.0.0.1:{}", program.port());
    let url = format!("http://127.0.0.1:{}/", callee.port());
    for [method, word] in [["Order", &url], ["Order", &url], ["Own", OWN]] {
        let output = Command::new(&executable).args(["ask", &address, way, method, word]).output()?;
        ensure!(output.stdout == b"OK", "{method}: {output:?}");
    }
    let seen = watch.finish()?;
    let documents = &seen.documents;
    let reserved: Vec<_> =
        documents.requests().filter(|request| text(request, "transaction.name") == "/shop.Shop/Reserve").collect();
    ensure!(reserved.len() == 7, "{}", documents.summary());
    let parent = |request| documents.spans().find(|span| text(span, "span.id") == text(request, "parent.id"));
    let of_calls = reserved.iter().filter_map(|request| parent(request)).count();
    let of_others = reserved.iter().filter(|request| text(request, "parent.id") == "2222222222222222").count();
    // An order makes four calls and one in HTTP.
    let stats = &seen.agent.stats;
    let counted = ["written", "there_already"].map(|name| stats.get(&format!("propagation.{name}")));
    ensure!(counted == [10, 1], "{:?}", stats.non_zero());
    ensure!((of_calls, of_others) == (6, 1), "{of_calls}, {of_others}: {}", documents.summary());
    Ok(())
}
