//! What the run time of .NET says of itself beside requests and calls: metrics, logged errors, crashes.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, field, text},
    dotnet::{Framework, Web},
    http, process,
    turn::{Need, Turn},
    wait,
    watch::Watch,
};
use serde_json::Value;

const NEEDS: &[Need] = &[Need::Root, Need::Dotnet];

/// Runs a test on every framework, when the machine has what it needs.
fn on_each(mut test: impl FnMut(Framework) -> Result<()>) -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    Framework::ALL.into_iter().try_for_each(|framework| test(framework).context(framework.moniker()))
}

fn watch(pid: u32, more: &[&str]) -> Result<Watch> {
    let pid = pid.to_string();
    Watch::start(&[&["--pid", &pid, "--api-request-time", "100ms"], more].concat())
}

fn sample(set: &Value, name: &str) -> Option<f64> {
    let all = field(set, "metricset.samples")?.as_array()?;
    all.iter().find(|sample| text(sample, "name") == name)?.get("value")?.as_f64()
}

fn values(documents: &Documents, name: &str) -> Vec<f64> {
    documents.metrics().filter_map(|set| sample(set, name)).collect()
}

fn sum(documents: &Documents, name: &str) -> f64 {
    values(documents, name).into_iter().sum()
}

fn most(documents: &Documents, name: &str) -> f64 {
    values(documents, name).into_iter().fold(0.0, f64::max)
}

/// 50 MB are allocated, three collections forced and three exceptions thrown: the metrics say so, in their units.
#[test]
fn metrics_say_what_the_program_did() -> Result<()> {
    on_each(|framework| {
        let program = Web::on(framework).start()?;
        let watch = watch(program.pid(), &["--metrics-interval", "1s"])?;
        let told = |documents: &Documents, metric| !values(documents, metric).is_empty();
        let first = || told(&watch.documents().ok()?, "dotnet.exceptions").then_some(());
        wait::until("the first metrics", wait::PATIENCE, first)?;
        ensure!(http::get(program.port(), "/allocate?mb=50")?.status == 200);
        for _ in 0..3 {
            ensure!(http::get(program.port(), "/throw/sync")?.status == 500);
        }
        let all = || (sum(&watch.documents().ok()?, "dotnet.exceptions") >= 3.0).then_some(());
        wait::until("the exceptions", wait::PATIENCE, all)?;
        let resident = process::resident_bytes(program.pid())? as f64;
        let documents = watch.finish()?.documents;
        check_values(&documents, resident)?;
        check_streams(&documents)
    })
}

fn check_values(documents: &Documents, resident: f64) -> Result<()> {
    let collections = sum(documents, "dotnet.gc.gen2.collections");
    ensure!((3.0..9.0).contains(&collections), "{collections} full collections");
    ensure!(most(documents, "clr.gc.count") >= collections, "{:?}", values(documents, "clr.gc.count"));
    let time = sum(documents, "clr.gc.time");
    ensure!((0.5..5_000.0).contains(&time), "{time} ms of collections");
    let share = most(documents, "dotnet.gc.pause.pct");
    ensure!(share > 0.0 && share * 1500.0 <= time + 1000.0, "{share} of a second");
    let allocated = sum(documents, "dotnet.gc.heap.total_allocated");
    ensure!((50e6..80e6).contains(&allocated), "{allocated} bytes allocated");
    let working_set = most(documents, "dotnet.process.memory.working_set");
    ensure!((working_set / resident - 1.0).abs() < 0.3, "{working_set} of {resident} bytes");
    let heap = ["clr.gc.gen0size", "clr.gc.gen1size", "clr.gc.gen2size", "clr.gc.gen3size"];
    let sizes = heap.map(|name| values(documents, name).last().copied().unwrap_or(-1.0));
    ensure!(sizes.iter().all(|size| *size >= 0.0), "{sizes:?}");
    ensure!((200e3..50e6).contains(&sizes.iter().sum::<f64>()), "{sizes:?}");
    // A rethrow counts like a throw, and the server rethrows.
    let thrown = sum(documents, "dotnet.exceptions");
    ensure!((3.0..40.0).contains(&thrown), "{thrown} exceptions");
    ensure!(most(documents, "dotnet.thread_pool.thread.count") >= 1.0);
    ensure!(sum(documents, "dotnet.thread_pool.work_item.count") >= 4.0);
    ensure!(most(documents, "dotnet.assembly.count") > 10.0);
    ensure!(documents.errors().count() == 3, "only what was not caught is an error: {}", documents.summary());
    Ok(())
}

/// What the user interface charts is in the stream it looks at, and everything else is not.
fn check_streams(documents: &Documents) -> Result<()> {
    for set in documents.metrics() {
        let dataset = text(set, "data_stream.dataset");
        let internal = sample(set, "clr.gc.count").is_some();
        let other = sample(set, "dotnet.exceptions").is_some();
        ensure!(!(internal && other), "{set}");
        ensure!(dataset.is_empty() || !internal || dataset == "apm.internal", "{set}");
    }
    Ok(())
}

#[test]
fn no_metrics_no_counters() -> Result<()> {
    on_each(|framework| {
        let program = Web::on(framework).start()?;
        let watch = watch(program.pid(), &["--metrics-interval", "0s"])?;
        ensure!(http::get(program.port(), "/hello")?.status == 200);
        let documents = watch.finish()?.documents;
        ensure!(documents.metrics().count() == 0 && documents.requests().count() == 1, "{}", documents.summary());
        Ok(())
    })
}

/// .NET 10 tells in which span something was logged; .NET 8 does not, and its errors stand outside any trace.
#[test]
fn logged_errors_are_errors() -> Result<()> {
    on_each(|framework| {
        let program = Web::on(framework).start()?;
        let watch = watch(program.pid(), &["--metrics-interval", "0s"])?;
        listening(&watch, program.port())?;
        for path in ["/log/warning", "/log/warning/exception", "/log/critical", "/log/error/exception"] {
            ensure!(http::get(program.port(), path)?.status == 200);
        }
        errors_come(&watch, 2)?;
        let documents = watch.finish()?.documents;
        ensure!(documents.errors().count() == 2, "{}", documents.summary());
        for error in documents.errors() {
            check_logged(&documents, error, framework)?;
        }
        Ok(())
    })
}

/// Asks until a request is seen: the run time is listened to some time after the process is watched.
fn listening(watch: &Watch, port: u16) -> Result<()> {
    let seen = || {
        http::get(port, "/hello").ok()?;
        let documents = watch.documents().ok()?;
        documents.requests().any(|request| text(request, "transaction.name") == "GET /hello").then_some(())
    };
    wait::until("a request the run time tells of", wait::PATIENCE, seen)
}

fn errors_come(watch: &Watch, count: usize) -> Result<()> {
    let come = || (watch.documents().ok()?.errors().count() >= count).then_some(());
    wait::until("the errors", wait::PATIENCE, come)
}

fn check_logged(documents: &Documents, error: &Value, framework: Framework) -> Result<()> {
    let exception = field(error, "error.exception").and_then(|all| all.get(0));
    let (path, level, words) = match exception {
        Some(_) => ("/log/error/exception", "Error", "failed"),
        None => ("/log/critical", "Critical", "logged"),
    };
    let expected = [
        ("error.log.level", level.to_owned()),
        ("error.log.logger_name", "Shop".to_owned()),
        ("error.log.message", format!("order 7 {words}")),
        ("error.log.param_message", format!("order {{Order}} {words}")),
    ];
    for (name, value) in expected {
        ensure!(text(error, name) == value, "{name}: {error}");
    }
    if let Some(exception) = exception {
        ensure!(text(exception, "type") == "System.InvalidOperationException", "{error}");
        ensure!(text(exception, "message") == "the logged failure", "{error}");
        let frame = field(exception, "stacktrace").and_then(|frames| frames.get(0)).context("a frame")?;
        ensure!(text(frame, "filename").ends_with("Logs.cs"), "{error}");
    }
    let request = documents.request(path)?;
    match framework {
        Framework::Net10 => ensure!(
            ["trace.id", "transaction.id"].iter().all(|name| text(error, name) == text(request, name))
                && text(error, "parent.id") == text(request, "transaction.id"),
            "{error} {request}"
        ),
        Framework::Net8 => ensure!(text(error, "trace.id").is_empty(), "{error}"),
    }
    Ok(())
}

/// Server and error pages log the exception they answer for.
#[test]
fn an_exception_is_reported_once() -> Result<()> {
    on_each(|framework| {
        for page in ["", "page", "handler"] {
            let program = Web::on(framework).variable("ERRORS", page).start()?;
            let watch = watch(program.pid(), &["--metrics-interval", "0s"])?;
            listening(&watch, program.port())?;
            ensure!(http::get(program.port(), "/throw/async")?.status == 500);
            errors_come(&watch, 1)?;
            let documents = watch.finish()?.documents;
            let errors: Vec<&Value> = documents.errors().collect();
            ensure!(errors.len() == 1, "{page}: {errors:?} {:?}", documents.request("/throw/async"));
        }
        Ok(())
    })
}

#[test]
fn logged_errors_can_be_left_out() -> Result<()> {
    on_each(|framework| {
        let program = Web::on(framework).start()?;
        let watch = watch(program.pid(), &["--capture-log-errors=false"])?;
        listening(&watch, program.port())?;
        ensure!(http::get(program.port(), "/log/critical")?.status == 200);
        let documents = watch.finish()?.documents;
        documents.request("/log/critical")?;
        ensure!(documents.errors().count() == 0, "{}", documents.summary());
        Ok(())
    })
}

/// What the program's own filters let through, errors among it, which are errors besides.
#[test]
fn logs_are_sent_where_that_is_wanted() -> Result<()> {
    on_each(|framework| {
        let program = Web::on(framework).start()?;
        let watch = watch(program.pid(), &["--log-sending", "--metrics-interval", "0s"])?;
        listening(&watch, program.port())?;
        for path in ["/log/debug", "/log/error/exception", "/throw/sync"] {
            http::get(program.port(), path)?;
        }
        errors_come(&watch, 2)?;
        let documents = watch.finish()?.documents;
        let own: Vec<&Value> = documents.logs().filter(|log| text(log, "log.logger") == "Shop").collect();
        let found: Vec<_> = own.iter().map(|log| (text(log, "log.level"), text(log, "message"))).collect();
        ensure!(found == [("Debug", "order 7 logged"), ("Error", "order 7 failed")], "{found:?}");
        ensure!(text(own[1], "error.type") == "System.InvalidOperationException", "{}", own[1]);
        ensure!(text(own[1], "error.stack_trace").contains("Logs.cs:line "), "{}", own[1]);
        let request = documents.request("/log/debug")?;
        match framework {
            Framework::Net10 => ensure!(text(own[0], "trace.id") == text(request, "trace.id"), "{}", own[0]),
            Framework::Net8 => ensure!(text(own[0], "trace.id").is_empty(), "{}", own[0]),
        }
        ensure!(documents.errors().count() == 2, "one logged, one thrown: {}", documents.summary());
        Ok(())
    })
}
