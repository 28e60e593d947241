//! Operations of GraphQL: what is told of each, and the requests that are named by them.

use super::*;
use apm_agent::bridge::SpanStatus;

/// Name of the operation a request asked for; empty: it is not named by one.
fn operation(request: &RequestEnded) -> &str {
    match &request.route {
        Some(Route::Operation(name)) => name,
        _ => "",
    }
}

#[test]
fn graphql_operations_are_told() -> Result<()> {
    on_each(|major, libraries| {
        let ran = with_script("graphql.js", major, libraries)?.succeed()?;
        ensure!(ran.result["before"] == ran.result["after"], "{}\n{}", ran.result["before"], ran.result["after"]);
        let told = Told::by(&ran)?;
        for (target, name, expected) in [
            ("/execute", "", &["GraphQL: Shop items, total"][..]),
            ("/sync", "", &["GraphQL: total"]),
            ("/chosen", "", &["GraphQL: Two total"]),
            ("/package", "", &["GraphQL: items"]),
            ("/failed", "", &["GraphQL: broken"]),
            ("/inside", "", &["GET", "GraphQL: called"]),
            ("/invalid", "", &[]),
            ("/misused", "", &[]),
            ("/graphql?mounted", "Shop items, total (/graphql)", &["GraphQL: Shop items, total"]),
            ("/graphql?nameless", "called (/graphql)", &["GET", "GraphQL: called"]),
            ("/graphql?refused", "", &[]),
            // Older versions of Apollo's own server are made with Express.
            ("/?alone", if libraries == Libraries::Older { "items (/)" } else { "items" }, &["GraphQL: items"]),
        ] {
            ensure!(operation(told.request(target)?) == name, "{target}: {:?}", told.request(target)?);
            let calls = told.calls(target)?;
            let mut names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
            names.sort_unstable();
            ensure!(names == expected, "{target}: {calls:?}");
            // An error in its answer is none of its own.
            ensure!(calls.iter().all(|call| call.status == SpanStatus::Ok), "{target}: {calls:?}");
            let mut executed = calls.iter().filter(|call| call.name != "GET");
            ensure!(executed.all(|call| call.source == "graphql" && call.attributes.is_empty()), "{target}: {calls:?}");
        }
        let mounted = told.request("/graphql?refused")?;
        ensure!(route(mounted) == "/graphql", "nothing was executed: {mounted:?}");
        Ok(())
    })
}
