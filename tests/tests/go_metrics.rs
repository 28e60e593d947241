//! What Go's run time counts, read from outside, against what the program itself is told by `runtime.ReadMemStats`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, field, text},
    go::{self, Build},
    http,
    programs::Program,
    turn::{Need, Turn},
    wait,
};
use serde_json::Value;

const NEEDS: &[Need] = &[Need::Program("go")];

/// Versions of Go besides the one that is installed: one for each layout of the run time's variables but that of 1.20, and
/// the latest.
const VERSIONS: [&str; 4] = ["go1.19.13", "go1.21.13", "go1.25.12", "go1.27.3"];

/// What the program keeps, in bytes.
const BALLAST: &str = "67108864";

/// Metrics that only grow.
const COUNTS: [&str; 5] = [
    "golang.heap.allocations.mallocs",
    "golang.heap.allocations.frees",
    "golang.heap.allocations.total",
    "golang.heap.gc.total_count",
    "golang.heap.gc.total_pause.ns",
];

/// How many there are.
const ALL: usize = 16;

/// Metrics by name.
type Values = BTreeMap<String, f64>;

#[test]
fn metrics_are_what_the_program_counts() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let others = VERSIONS.into_iter().filter(|version| go::has_version("go-metrics", version)).map(Build::Version);
    for build in [Build::Fixed, Build::Pie].into_iter().chain(others) {
        let program = go::start("go-metrics", build, ("BALLAST", BALLAST))?;
        let watch = go::watch(&program, &["--metrics-interval", "1s", "--api-request-time", "100ms"])?;
        ensure!(http::get(program.port(), "/work")?.status == 200);
        let before = counted(&program)?;
        // The one after the next was read after that, whatever was on its way.
        let seen = sets(&watch.documents()?).len();
        let told = wait::until("metrics", wait::PATIENCE, || sets(&watch.documents().ok()?).into_iter().nth(seen + 1));
        let (told, after) = (told?, counted(&program)?);
        check(&told, &before, &after).with_context(|| format!("{build:?}"))?;
        let seen = watch.finish()?;
        let name = text(seen.documents.request("/work")?, "transaction.name").to_owned();
        // Go's mux finds patterns since 1.22 only; the program's `go.mod` asks for the older one.
        ensure!(name == "GET unknown route" && seen.agent.stats.get("trace.requests.named") >= 3, "{build:?}: {name}");
    }
    Ok(())
}

fn check(told: &Values, before: &Values, after: &Values) -> Result<()> {
    ensure!(told.len() == ALL && told.keys().eq(before.keys()), "{:?}", told.keys());
    for (name, value) in told {
        let (before, after) = (before[name], after[name]);
        let (least, most) = match name.as_str() {
            _ if COUNTS.contains(&name.as_str()) => (before, after),
            // The connection that asks has some of its own.
            "golang.goroutines" => (before.min(after) - 4.0, before.max(after) + 4.0),
            _ => (before.min(after) * 0.9, before.max(after) * 1.1),
        };
        ensure!((least..=most).contains(value), "{name}: {value} is not in {least}..={most}");
    }
    let ballast: f64 = BALLAST.parse()?;
    let live = told["golang.heap.allocations.allocated"];
    ensure!((ballast..ballast * 1.2).contains(&live), "{live} bytes live");
    ensure!(told["golang.goroutines"] >= 10.0 && told["golang.heap.gc.total_count"] >= 2.0, "{told:?}");
    ensure!(told["golang.heap.allocations.frees"] > 0.0 && told["golang.heap.gc.total_pause.ns"] > 0.0, "{told:?}");
    Ok(())
}

/// What the program says of itself.
fn counted(program: &Program) -> Result<Values> {
    let answer = http::get(program.port(), "/counted")?;
    Ok(serde_json::from_slice(&answer.body)?)
}

/// The run time's metrics, each time they were told.
fn sets(documents: &Documents) -> Vec<Values> {
    let samples = documents.metrics().filter_map(|set| field(set, "metricset.samples")?.as_array());
    let values = samples.map(|samples| samples.iter().filter_map(golang).collect::<Values>());
    values.filter(|values| !values.is_empty()).collect()
}

fn golang(sample: &Value) -> Option<(String, f64)> {
    let name = text(sample, "name");
    name.starts_with("golang.").then_some(())?;
    Some((name.to_owned(), sample.get("value")?.as_f64()?))
}

/// No probe is needed for them, and without an interval nothing is measured.
#[test]
fn metrics_come_without_probes() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let program = go::start("go-metrics", Build::Fixed, ("BALLAST", "0"))?;
    let pid = program.pid().to_string();
    let arguments = ["--pid", &pid, "--go-probes=false", "--metrics-interval", "1s", "--api-request-time", "100ms"];
    let watch = apm_tests::watch::Watch::start(&arguments)?;
    wait::until("metrics", wait::PATIENCE, || (!sets(&watch.documents().ok()?).is_empty()).then_some(()))?;
    ensure!(watch.finish()?.agent.stats.get("kernel.probes") == 0);
    Ok(())
}
