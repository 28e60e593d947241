//! What the settings say is done, and what is too long or odd is cut.

use std::collections::HashSet;

use super::*;
use apm_agent::bridge::RequestFacts;
use apm_tests::tls::Certificate;

const NEEDS: &[Need] = &[Need::NodeMajors, Need::Program("openssl")];

fn on_each_with(settings: &ScriptSettings, test: impl Fn(&Told) -> Result<()>) -> Result<()> {
    if !turn::can_run(NEEDS) {
        return Ok(());
    }
    let certificate = Certificate::generate()?;
    for major in Major::ALL {
        let scenario = with_settings("settings.js", major, Libraries::Older, settings.clone())?;
        let scenario = scenario.variable("TLS_CERT", certificate.certificate().display());
        let ran = scenario.variable("TLS_KEY", certificate.key().display()).succeed()?;
        ensure!(ran.result["held"] == true, "{}", ran.output);
        test(&Told::by(&ran)?).with_context(|| format!("Node.js {}", major.0))?;
    }
    Ok(())
}

/// Facts of the requests, by target.
fn facts(told: &Told) -> Vec<&RequestFacts> {
    told.requests().filter_map(|request| request.facts.as_deref()).collect()
}

fn header<'a>(facts: &'a RequestFacts, name: &str) -> Option<&'a str> {
    facts.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn what_is_long_is_cut_and_what_is_odd_is_told() -> Result<()> {
    let settings = ScriptSettings { all_facts: true, metrics_interval_ms: 50, ..ScriptSettings::default() };
    on_each_with(&settings, |told| {
        let long = told.request("/long")?.facts.as_ref().context("facts")?;
        ensure!(header(long, "X-Long").is_some_and(|value| value.len() == 1024), "{long:?}");
        let [call] = told.calls("/long")?[..] else { anyhow::bail!("one call") };
        ensure!(attribute(call, "url.full").len() == 10_240, "{}", attribute(call, "url.full").len());
        let odd = told.errors_in("/odd")?;
        let kinds: Vec<_> = odd.iter().map(|threw| (threw.thrown.kind.as_str(), threw.thrown.message.len())).collect();
        // Of the one that throws when it is looked at nothing can be told.
        ensure!(kinds == [("object", 4), ("number", 1), ("symbol", 11), ("Error", 2048)], "{kinds:?}");
        metrics(told)
    })
}

fn metrics(told: &Told) -> Result<()> {
    let all: Vec<_> =
        told.0.iter().filter_map(|said| if let Said::Metrics(samples) = said { Some(samples) } else { None }).collect();
    ensure!(all.len() > 1, "{} reports", all.len());
    let values = |name: &str| -> Vec<f64> {
        all.iter()
            .filter_map(|samples| samples.iter().find(|(known, _)| known == name))
            .map(|(_, value)| *value)
            .collect()
    };
    for (name, least, most) in [
        ("nodejs.handles.active", 1.0, 100.0),
        ("nodejs.requests.active", 0.0, 100.0),
        ("nodejs.eventloop.delay.avg.ms", 0.0, 10_000.0),
        ("nodejs.eventloop.utilization", 0.0, 1.0),
        ("nodejs.gc.count", 0.0, 1e6),
        ("nodejs.gc.time", 0.0, 1e6),
        ("nodejs.memory.heap.allocated.bytes", 1e6, 1e9),
        ("nodejs.memory.heap.used.bytes", 1e6, 1e9),
        ("nodejs.memory.external.bytes", 1e3, 1e9),
        ("nodejs.memory.arrayBuffers.bytes", 1e3, 1e9),
    ] {
        let values = values(name);
        ensure!(
            values.len() == all.len() && values.iter().all(|value| (least..=most).contains(value)),
            "{name}: {values:?}"
        );
    }
    let busiest = values("nodejs.eventloop.utilization").into_iter().fold(0.0, f64::max);
    ensure!(busiest > 0.5, "the loop was busy for 100 ms: {busiest}");
    let latest = values("nodejs.eventloop.delay.avg.ms").into_iter().fold(0.0, f64::max);
    ensure!(latest > 0.0, "and so timers came late");
    for name in ["nodejs.gc.count", "nodejs.gc.time"] {
        ensure!(values(name).iter().sum::<f64>() > 0.0, "{name}: what was thrown away was collected");
    }
    Ok(())
}

#[test]
fn only_what_the_wire_hides_is_told_whole() -> Result<()> {
    on_each_with(&ScriptSettings::default(), |told| {
        let facts = facts(told);
        let [secret] = facts[..] else { anyhow::bail!("{facts:?}") };
        ensure!((secret.scheme.as_str(), secret.target.as_str()) == ("https", "/secret?a=b"), "{secret:?}");
        ensure!((secret.method.as_str(), secret.protocol.as_str()) == ("GET", "HTTP/1.1"), "{secret:?}");
        ensure!(secret.status == Some(200) && secret.peer.as_deref() == Some("127.0.0.1"), "{secret:?}");
        ensure!(header(secret, "Host").is_some(), "{secret:?}");
        ensure!(told.requests().count() > 4 && told.spans().count() == 2);
        Ok(())
    })?;
    on_each_with(&ScriptSettings { capture_headers: false, ..ScriptSettings::default() }, |told| {
        ensure!(facts(told).len() == 1 && facts(told)[0].headers.is_empty(), "{:?}", facts(told));
        Ok(())
    })
}

#[test]
fn what_is_off_is_left_alone() -> Result<()> {
    let without_context = ScriptSettings { context: false, all_facts: true, ..ScriptSettings::default() };
    on_each_with(&without_context, |told| {
        ensure!(told.spans().count() == 0 && told.request("/call").is_ok(), "no call is told, for nobody knows whose");
        Ok(())
    })?;
    let off = ScriptSettings { off: vec!["http".into()], all_facts: true, ..ScriptSettings::default() };
    on_each_with(&off, |told| {
        ensure!(told.spans().count() == 0 && told.requests().count() == 0, "{:?}", told.0);
        Ok(())
    })?;
    let none = ScriptSettings { sample_rate: 0.0, all_facts: true, ..ScriptSettings::default() };
    on_each_with(&none, |told| {
        ensure!(told.requests().count() > 4 && told.spans().all(|span| !span.context.sampled));
        ensure!(told.requests().all(|request| request.context.is_some_and(|context| !context.sampled)));
        Ok(())
    })
}

/// By its name, and with it nothing else.
#[test]
fn each_library_can_be_switched_off() -> Result<()> {
    if !turn::can_run(NEEDS) {
        return Ok(());
    }
    let mut names: Vec<&str> = script::known().iter().map(|known| known.name).collect();
    names.extend(["http", "http2", "undici"]);
    names.dedup();
    let scenario = with_script("off.js", Major(24), Libraries::Newer)?.variable("NAMES", names.join(" "));
    let ran = scenario.succeed()?;
    let patched = |value: &Value| -> Result<Vec<String>> { Ok(serde_json::from_value(value.clone())?) };
    let all = patched(&ran.result["all"])?;
    for name in names {
        let (its, others): (Vec<String>, _) =
            all.iter().cloned().partition(|label| label.split(' ').next() == Some(name));
        let without = patched(&ran.result["without"][name])?;
        ensure!(!its.is_empty() && without == others, "{name} ({its:?}): {without:?}");
    }
    Ok(())
}

/// Streams, requests made around them, and HTTP/1 on the same port: all is told, for the wire shows nothing.
#[test]
fn http2_is_told_whole() -> Result<()> {
    if !turn::can_run(NEEDS) {
        return Ok(());
    }
    let certificate = Certificate::generate()?;
    for major in Major::ALL {
        let scenario = with_settings("http2.js", major, Libraries::Older, ScriptSettings::default())?;
        let scenario = scenario.variable("TLS_CERT", certificate.certificate().display());
        let ran = scenario.variable("TLS_KEY", certificate.key().display()).succeed()?;
        let told = Told::by(&ran)?;
        for (target, status, scheme, protocol) in [
            ("/stream?a=b", 201, "http", "HTTP/2.0"),
            ("/request", 202, "https", "HTTP/2.0"),
            ("/old", 202, "https", "HTTP/1.1"),
        ] {
            let request = told.request(target).with_context(|| format!("Node.js {}", major.0))?;
            let facts = request.facts.as_ref().context("facts")?;
            ensure!((facts.scheme.as_str(), facts.protocol.as_str()) == (scheme, protocol), "{facts:?}");
            ensure!(facts.status == Some(status) && facts.method == "GET" && request.remote_port == 0, "{request:?}");
            ensure!(header(facts, "Host").is_some_and(|host| host.starts_with("127.0.0.1:")), "{facts:?}");
            ensure!(facts.headers.iter().all(|(name, _)| !name.starts_with(':')), "{facts:?}");
            ensure!(told.calls(target)?.len() == 1, "{target}: {:?}", told.calls(target)?);
        }
        let context = told.request("/stream?a=b")?.context.context("a context")?;
        ensure!(context.trace.to_string() == "1".repeat(32), "{context:?}");
        http2_calls(&ran, &told).with_context(|| format!("calls on Node.js {}", major.0))?;
    }
    Ok(())
}

fn http2_calls(ran: &Ran, told: &Told) -> Result<()> {
    let ways = [("object", "/called"), ("none", "/"), ("own", "/called"), ("reset", "/reset")];
    let calls: Vec<_> = told.spans().filter(|span| span.source == "http2").collect();
    ensure!(calls.len() == ways.len(), "{calls:?}");
    for ((way, path), call) in ways.into_iter().zip(calls) {
        let of_call = |context: &Context| call.context.parent == Some(context.span);
        let request = told.requests().filter_map(|request| request.context).find(of_call).context("its request")?;
        ensure!(attribute(call, "http.request.method") == "GET", "{call:?}");
        ensure!(attribute(call, "url.full") == format!("http://127.0.0.1:{}{path}", ran.result["down"]), "{call:?}");
        ensure!((attribute(call, "http.response.status_code") == "201") == (way != "reset"), "{way}: {call:?}");
        let carried = &ran.result["answers"][way]["traceparent"];
        let ours = format!("00-{}-{}-01", request.trace, call.context.span);
        let own = || carried.as_str().is_some_and(|carried| carried.starts_with("00-aaaa"));
        ensure!(way == "reset" || *carried == ours || way == "own" && own(), "{way}: {carried}");
    }
    Ok(())
}

/// Each thread of JavaScript has a script of its own, whenever it comes, and all go together.
#[test]
fn workers_are_followed() -> Result<()> {
    if !turn::can_run(NEEDS) {
        return Ok(());
    }
    for major in Major::ALL {
        let ran = with_script("workers.js", major, Libraries::Older)?.succeed()?;
        workers(&ran).with_context(|| format!("Node.js {}: {}", major.0, ran.output))?;
    }
    Ok(())
}

fn workers(ran: &Ran) -> Result<()> {
    ensure!(ran.result["same"] == true && ran.result["held"] == 4, "{}", ran.result);
    let told = Told::by(ran)?;
    let mut connections = Vec::new();
    for name in ["before", "after", "inner"] {
        ensure!(ran.result["answers"][name] == name);
        let target = format!("/call/{name}");
        let request = told.request(&target)?;
        let [call] = told.calls(&target)?[..] else { anyhow::bail!("{name}: {:?}", told.calls(&target)?) };
        ensure!(attribute(call, "http.response.status_code") == "200", "{call:?}");
        connections.extend(request.ordinal.as_ref().map(|(connection, _)| connection));
        let served =
            told.requests().filter(|served| served.context.is_some_and(|at| at.parent == Some(call.context.span)));
        ensure!(served.count() == 1, "the main thread serves the call");
    }
    // Those that are older than a worker's script have no number.
    let unlike: HashSet<_> = connections.iter().collect();
    ensure!(unlike.len() == connections.len(), "the same number in two threads is not the same: {connections:?}");
    Ok(())
}
