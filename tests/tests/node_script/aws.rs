//! Commands of AWS' SDK: one span for each, whose HTTP is none of its own.

use super::*;
use apm_agent::bridge::SpanStatus;

/// What is told of a way: library, name, action and what is called; the status that was answered.
type Expected = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const WAYS: [Expected; 17] = [
    ("get", "s3", "S3 GetObject goods", "GetObject", "goods", "200"),
    ("streamed", "s3", "S3 GetObject goods", "GetObject", "goods", "200"),
    ("put", "s3", "S3 PutObject goods", "PutObject", "goods", "200"),
    ("callback", "s3", "S3 GetObject goods", "GetObject", "goods", "200"),
    ("aggregated", "s3", "S3 GetObject goods", "GetObject", "goods", "200"),
    ("missing", "s3", "S3 GetObject goods", "GetObject", "goods", "404"),
    ("unchanged", "s3", "S3 GetObject goods", "GetObject", "goods", "304"),
    ("again", "s3", "S3 GetObject goods", "GetObject", "goods", "200"),
    ("send", "sqs", "SQS SEND to orders", "send", "orders", "200"),
    ("batch", "sqs", "SQS SEND_BATCH to orders", "send_batch", "orders", "200"),
    ("receive", "sqs", "SQS POLL from orders", "poll", "orders", "200"),
    ("remove", "sqs", "SQS DELETE from orders", "delete", "orders", "200"),
    ("publish", "sns", "SNS Publish to shop", "Publish", "shop", "200"),
    ("phone", "sns", "SNS Publish to <PHONE_NUMBER>", "Publish", "<PHONE_NUMBER>", "200"),
    ("query", "dynamodb", "DynamoDB Query items", "Query", "eu-test-1", "200"),
    ("item", "dynamodb", "DynamoDB GetItem nowhere", "GetItem", "eu-test-1", "400"),
    ("then", "sqs", "SQS POLL from orders", "poll", "orders", "200"),
];

#[test]
fn aws_commands_are_told() -> Result<()> {
    on_each(|major, libraries| {
        // Loading four clients takes a second: the older ones only where few would use the newer.
        if libraries == Libraries::Older && major > Major(20) {
            return Ok(());
        }
        let ran = with_script("aws.js", major, libraries)?.succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        let told = Told::by(&ran)?;
        for expected in WAYS {
            command(&ran, &told, expected).with_context(|| expected.0)?;
        }
        let [purged] = told.calls("/purge")?[..] else { anyhow::bail!("its HTTP is told") };
        ensure!(purged.source == "http" && attribute(purged, "http.request.method") == "POST", "{purged:?}");
        messages_carry_the_trace(&ran, &told)
    })
}

fn command(ran: &Ran, told: &Told, (way, library, name, action, called, status): Expected) -> Result<()> {
    let target = format!("/{way}");
    let context = told.request(&target)?.context.context("a context")?;
    let calls = told.calls(&target)?;
    ensure!(calls.len() == 1 + usize::from(["then", "streamed"].contains(&way)), "{calls:?}");
    ensure!(calls.iter().skip(1).all(|call| call.source == "http"), "{calls:?}");
    let call = calls[0];
    ensure!((call.source.as_str(), call.name.as_str()) == (library, name), "{call:?}");
    let places = ["aws.s3.bucket", "messaging.destination.name", "db.namespace"];
    ensure!(places.iter().any(|place| attribute(call, place) == called), "{call:?}");
    ensure!(attribute(call, "rpc.method") == action, "{call:?}");
    ensure!(attribute(call, "http.response.status_code") == status, "{call:?}");
    ensure!(attribute(call, "server.address").ends_with("127.0.0.1"), "{call:?}");
    ensure!(attribute(call, "server.port").parse::<u64>().ok() == ran.result["place"].as_u64(), "{call:?}");
    ensure!(attribute(call, "network.local.port").parse::<u16>().is_ok(), "{call:?}");
    let statement = if way == "query" { "id = :id" } else { "" };
    ensure!(attribute(call, "db.query.text") == statement, "{call:?}");
    let failed = ["missing", "item"].contains(&way);
    ensure!((call.status == SpanStatus::Error) == failed, "{call:?}");
    ensure!(codes_of(told, call).len() == usize::from(failed), "{:?}", codes_of(told, call));
    // All that is sent carries the command's id, what is sent again, too.
    let heard = ran.result["requests"][way].as_array().context("requests")?;
    ensure!(heard.len() == if way == "again" { 2 } else { 1 }, "{heard:?}");
    let carried = format!("00-{}-{}-01", context.trace, call.context.span);
    ensure!(heard.iter().all(|request| request["traceparent"] == carried), "{carried}: {heard:?}");
    Ok(())
}

/// Each message has the trace among its attributes, if there is room.
fn messages_carry_the_trace(ran: &Ran, told: &Told) -> Result<()> {
    for (way, times) in [("send", 1), ("batch", 2), ("publish", 1), ("phone", 1), ("receive", 0), ("query", 0)] {
        let [call] = told.calls(&format!("/{way}"))?[..] else { anyhow::bail!("one call") };
        let body = ran.result["requests"][way][0]["body"].as_str().context("a body")?;
        let carried = format!("00-{}-{}-01", call.context.trace, call.context.span);
        ensure!(body.matches(carried.as_str()).count() == times, "{way}: {carried}: {body}");
        ensure!(body.matches("tracestate").count() == times && !body.contains("elastic-apm"), "{way}: {body}");
    }
    Ok(())
}
