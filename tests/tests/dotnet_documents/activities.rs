//! Activities of the program's own, as Elastic's OpenTelemetry bridge has them (elastic-spec, 13.2). .NET 10 tells of
//! every source, .NET 8 of those that are named.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{field, text},
    dotnet::{Framework, Web, scene::Scene},
    postgres::Postgres,
    turn::Turn,
    wait,
};
use serde_json::{Value, json};

use super::{NEEDS, ask, expect, on_each, spans_of, start_on_each};

/// Tags are told as text: a number is a text label, where Elastic's agent makes it a numeric one.
#[test]
fn nested_activities() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let programs = start_on_each(|web| web.database(&database))?;
    let scene = Scene::listening(programs, &["--dotnet-activity-sources", "Shop"])?;
    for program in scene.programs() {
        ask(program, &[("/activity/49", 200)])?;
    }
    on_each(scene, |_, documents| {
        let request = documents.request("/activity/49")?;
        let spans = spans_of(documents, "/activity/49")?;
        let named = |name: &str| spans.iter().find(|span| text(span, "span.name") == name).context(name.to_owned());
        ensure!(spans.len() == 4, "{spans:?}");
        let (checkout, reserve, announce) = (named("checkout")?, named("reserve")?, named("announce")?);
        // Nobody set a status: the agent says "unknown", which the server takes for a success.
        expect(
            checkout,
            &json!({"parent.id": text(request, "transaction.id"), "trace.id": text(request, "trace.id"),
            "span.type": "app", "span.subtype": "internal", "span.kind": "INTERNAL", "event.outcome": "success",
            "labels": {"shop_order": "49", "shop_express": "True", "shop_currency": "EUR"}}),
        )?;
        expect(
            reserve,
            &json!({"parent.id": text(checkout, "span.id"), "span.type": "unknown", "span.kind": "CLIENT",
            "labels": {"shop_order": "49"}, "service.target.name": "warehouse"}),
        )?;
        expect(
            announce,
            &json!({"parent.id": text(checkout, "span.id"), "span.type": "unknown",
            "span.kind": "PRODUCER", "event.outcome": "failure"}),
        )?;
        expect(
            named("SELECT FROM items")?,
            &json!({"parent.id": text(reserve, "span.id"), "span.type": "db",
            "span.db.statement": "SELECT name FROM items WHERE id = 49"}),
        )?;
        let time = |document: &Value| field(document, "timestamp.us").and_then(Value::as_u64);
        let order = [time(request), time(checkout), time(reserve), time(announce)];
        ensure!(order.is_sorted(), "{order:?}");
        Ok(())
    })
}

/// On .NET 8 a source that is not named is not told of; what hangs on its activities hangs on the request then.
#[test]
fn only_net8_needs_sources_named() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let scene = Scene::listening(start_on_each(|web| web.database(&database))?, &[])?;
    for program in scene.programs() {
        ask(program, &[("/activity/50", 200)])?;
    }
    on_each(scene, |framework, documents| {
        let spans = spans_of(documents, "/activity/50")?;
        let wanted = if framework == Framework::Net10 { 4 } else { 1 };
        ensure!(spans.len() == wanted, "{spans:?}");
        let query = spans.iter().find(|span| text(span, "span.type") == "db").context("the query")?;
        ensure!(text(query, "span.db.statement").ends_with("= 50"), "{query}");
        Ok(())
    })
}

/// A root activity is a transaction.
#[test]
fn background_service() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let prepare = |web: Web| web.database(&database).variable("BACKGROUND", "1");
    let arguments = ["--dotnet-activity-sources", "Shop.Background", "--span-compression-enabled=false"];
    let mut scene = Scene::listening(start_on_each(prepare)?, &arguments)?;
    let pids: Vec<u32> = scene.programs().iter().map(|program| program.pid()).collect();
    wait::until("five ticks of each", wait::PATIENCE, || {
        let documents = scene.watch().documents().ok()?;
        let ticks = |pid: u32| {
            let of_process = documents.of_process(pid);
            of_process.transactions().filter(|document| text(document, "transaction.name") == "tick").count()
        };
        pids.iter().all(|pid| ticks(*pid) >= 5).then_some(())
    })?;
    on_each(scene, |_, documents| {
        let ticks = documents.transactions().filter(|document| text(document, "transaction.name") == "tick");
        for (number, tick) in ticks.enumerate() {
            expect(
                tick,
                &json!({"transaction.type": "unknown", "span.kind": "INTERNAL", "parent.id": null,
                "transaction.span_count.started": 1, "http": null}),
            )?;
            let n = text(tick, "labels.shop_tick");
            let spans: Vec<&Value> = documents.spans_of(tick).collect();
            let [query] = spans.as_slice() else { anyhow::bail!("tick {n}: {spans:?}") };
            expect(
                query,
                &json!({"parent.id": text(tick, "transaction.id"), "span.type": "db",
                "span.subtype": "postgresql", "span.db.statement": format!("SELECT {n} AS tick")}),
            )?;
            // The pool's connection was there before us: the first command's end is not understood, and the name of its
            // database is not known.
            ensure!(number == 0 || text(query, "event.outcome") == "success", "{query}");
        }
        Ok(())
    })
}
