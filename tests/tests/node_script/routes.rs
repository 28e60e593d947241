//! Names of requests, and errors that frameworks deal with.

use super::*;

/// Express' routes as the application wrote them, whatever they are mounted under.
#[test]
fn express_routes_are_named() -> Result<()> {
    on_each_and_bundled(|major, libraries| {
        let ran = with_script("express.js", major, libraries)?.succeed()?;
        let told = Told::by(&ran)?;
        let expected = [
            ("/", "/", 200),
            ("/items/7", "/items/:id", 200),
            ("/files/12", r"/^\/files\/\d+$", 200),
            ("/static/run.js", "static file", 200),
            ("/shops/a/", "/shops/:shop", 200),
            // The shop is called like a part of the path.
            ("/shops/orders/orders/9", "/shops/:shop/orders/:order", 200),
            ("/other/b/orders/9", "/other/:shop/orders/:order", 200),
            ("/admin/users/root", "/admin/users/:user", 200),
            ("/health/deep", "/health", 200),
            ("/twice", "/twice", 200),
            ("/boom/sync", "/boom/sync", 500),
            ("/boom/next", "/boom/next", 500),
            ("/boom/handled", "/boom/handled", 418),
            ("/none", "", 404),
        ];
        for (target, name, status) in expected {
            let request = told.request(target)?;
            ensure!(route(request) == name, "{target} is {:?}", request.route);
            ensure!(request.facts.as_ref().is_some_and(|facts| facts.status == Some(status)), "{target}: {request:?}");
            ensure!(ran.result["statuses"][target] == status, "{target}: {}", ran.result["statuses"]);
        }
        express_errors(&told, libraries.are_bundled())
    })
}

/// Routes of Fastify, Koa, hapi and restify, and the errors they deal with.
#[test]
fn routes_of_other_frameworks_are_named() -> Result<()> {
    on_each_and_bundled(|major, libraries| {
        for framework in ["fastify", "koa", "hapi", "restify"] {
            // restify 11 uses what Node.js 24 has no more.
            if framework == "restify" && libraries.are_older() && major >= Major(24) {
                continue;
            }
            let scenario = with_script("frameworks.js", major, libraries)?.variable("FRAMEWORK", framework);
            let ran = scenario.succeed()?;
            // hapi 20 clones errors in a way that loses their stacks since Node.js 21.
            let stacks = framework != "hapi" || !libraries.are_older() || major < Major(22);
            other_framework(&Told::by(&ran)?, &ran.result, framework, stacks).context(framework)?;
        }
        Ok(())
    })
}

fn other_framework(told: &Told, result: &Value, framework: &str, stacks: bool) -> Result<()> {
    let expected = [
        ("/items/7", "/items/:id", 200),
        ("/shops/items/orders/9", "/shops/:shop/orders/:order", 200),
        ("/boom/async", "/boom/async", 500),
        ("/boom/sent", "/boom/sent", 500),
        ("/boom/handled", "/boom/handled", 418),
        ("/none", "", 404),
    ];
    for (target, name, status) in expected {
        let name = if framework == "hapi" { fingerprint(name) } else { name.to_owned() };
        ensure!(route(told.request(target)?) == name, "{target} is {:?}", told.request(target)?.route);
        ensure!(result["statuses"][target] == status, "{target}: {}", result["statuses"]);
    }
    for (target, kind) in [("/boom/async", "TypeError"), ("/boom/sent", "RangeError")] {
        let [threw] = told.errors_in(target)?[..] else { anyhow::bail!("{target}: {:?}", told.errors_in(target)?) };
        ensure!(threw.handled && threw.thrown.kind == kind, "{threw:?}");
        let culprit = threw.thrown.culprit.as_deref().unwrap_or_default();
        ensure!(culprit.contains("frameworks.js") == stacks, "{threw:?}");
    }
    // Koa's is one for the client, hapi's none.
    let handled = told.errors_in("/boom/handled")?.len();
    ensure!(handled == usize::from(["fastify", "restify"].contains(&framework)), "{handled} errors");
    Ok(())
}

/// `/items/:id` as hapi has it, whatever its parameters are called.
fn fingerprint(route: &str) -> String {
    route.split('/').map(|part| if part.starts_with(':') { "?" } else { part }).collect::<Vec<_>>().join("/")
}

/// In a bundle nothing says which of its code is a library's.
fn express_errors(told: &Told, bundled: bool) -> Result<()> {
    for (target, kind, message, code) in [
        ("/boom/sync", "TypeError", "sync", None),
        ("/boom/next", "RangeError", "next", None),
        ("/boom/handled", "Error", "handled", Some("E_SHOP")),
    ] {
        let [threw] = told.errors_in(target)?[..] else { anyhow::bail!("{target}: {:?}", told.errors_in(target)?) };
        let thrown = &threw.thrown;
        ensure!(threw.handled && thrown.kind == kind && thrown.message == message, "{threw:?}");
        ensure!(thrown.code.as_deref() == code, "{threw:?}");
        let culprit = thrown.culprit.as_deref().unwrap_or_default();
        ensure!(culprit.contains("express.js"), "{culprit}");
        let first = thrown.frames.first().context("a stack")?;
        ensure!(!first.library && first.line.is_some(), "{first:?}");
        let in_library = thrown.frames.iter().any(|frame| frame.library);
        ensure!(in_library || bundled || target == "/boom/next", "{:?}", thrown.frames);
    }
    // One that is kept and thrown in two requests is told in both.
    for target in ["/boom/again/1", "/boom/again/2"] {
        let [threw] = told.errors_in(target)?[..] else { anyhow::bail!("{target}: {:?}", told.errors_in(target)?) };
        ensure!(threw.thrown.message == "again", "{threw:?}");
    }
    ensure!(told.errors().count() == 5, "each is told once");
    Ok(())
}
