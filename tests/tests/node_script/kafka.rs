//! Messages by Kafka: what is sent in a request, and what is received in a transaction of its own.

use super::*;
use apm_agent::bridge::{SpanKind, SpanStatus};

#[test]
fn kafka_messages_are_told() -> Result<()> {
    on_each(|major, libraries| {
        let ran = with_script("kafka.js", major, libraries)?.succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        let told = Told::by(&ran)?;
        for (way, topic) in [
            ("plain", "orders"),
            ("headers", "orders"),
            ("own", "orders"),
            ("batch", ""),
            ("parcels", "parcels"),
            ("refused", "refused"),
        ] {
            let [call] = told.calls(&format!("/{way}"))?[..] else {
                anyhow::bail!("{way}: {:?}", told.spans().count())
            };
            let name = if topic.is_empty() { "Kafka SEND".to_owned() } else { format!("Kafka SEND to {topic}") };
            ensure!(call.source == "kafkajs" && call.name == name && call.kind == SpanKind::Client, "{call:?}");
            ensure!(attribute(call, "messaging.destination.name") == topic, "{call:?}");
            ensure!((call.status == SpanStatus::Error) == (way == "refused"), "{call:?}");
            ensure!(codes_of(&told, call).len() == usize::from(way == "refused"), "{call:?}");
        }
        received(&ran, &told)
    })
}

/// The message carries the span it was sent by, and what receives it goes on from there.
fn received(ran: &Ran, told: &Told) -> Result<()> {
    for (message, way, topic) in [
        ("plain", "plain", "orders"),
        ("headers", "headers", "orders"),
        ("own", "own", "orders"),
        ("first", "batch", "orders"),
        ("second", "batch", "returns"),
    ] {
        let [sent] = told.calls(&format!("/{way}"))?[..] else { anyhow::bail!("one call") };
        let headers = &ran.result["heard"][message]["headers"];
        let carried = headers["traceparent"].as_str().context("a header")?;
        let ours = format!("00-{}-{}-01", sent.context.trace, sent.context.span);
        ensure!(if way == "own" { carried.starts_with("00-aaaa") } else { carried == ours }, "{message}: {headers}");
        ensure!(headers.get("tracestate").is_some() == (way != "own"), "{message}: {headers}");
        ensure!(headers.get("elastic-apm-traceparent").is_none(), "{message}: {headers}");
        ensure!((headers["own"] == "x") == ["headers", "own"].contains(&way), "{message}: {headers}");

        // What its handler calls is below it.
        let url = format!("/handled/{message}");
        let called =
            told.spans().find(|span| attribute(span, "url.full").ends_with(&url)).context("its handler's call")?;
        let handled = told.spans().find(|span| Some(span.context.span) == called.context.parent);
        let handled = handled.with_context(|| format!("{message}: no transaction was told"))?;
        ensure!(handled.kind == SpanKind::Consumer && handled.remote_parent, "{handled:?}");
        ensure!(handled.name == format!("Kafka RECEIVE from {topic}"), "{handled:?}");
        ensure!(attribute(handled, "messaging.system") == "kafka" && handled.status == SpanStatus::Ok, "{handled:?}");
        let from = format!("00-{}-{}-01", handled.context.trace, handled.context.parent.context("a parent")?);
        ensure!(from == carried, "{message}: {handled:?}");
    }
    batches(ran, told)
}

/// The messages of a batch may be of several traces: it begins one of its own.
fn batches(ran: &Ran, told: &Told) -> Result<()> {
    let batches: Vec<_> = told.spans().filter(|span| span.name == "Kafka RECEIVE from parcels").collect();
    ensure!((1..=2).contains(&batches.len()), "{batches:?}");
    for batch in batches {
        ensure!(
            batch.kind == SpanKind::Consumer && !batch.remote_parent && batch.context.parent.is_none(),
            "{batch:?}"
        );
        let calls = told.spans().filter(|span| span.context.parent == Some(batch.context.span));
        ensure!(calls.count() == 1, "{batch:?}");
    }
    for message in ["third", "fourth"] {
        ensure!(ran.result["heard"][message]["headers"]["traceparent"].is_string(), "{}", ran.result["heard"]);
    }
    Ok(())
}
