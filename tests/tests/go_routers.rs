//! Routes of Go's routers, and errors of those that keep them, as Elastic's agent names and reports them.

use anyhow::{Result, ensure};
use apm_tests::{
    documents::{Documents, text},
    go::{self, Build},
    http,
    programs::Program,
    turn::{Need, Turn},
    watch::Seen,
};
use serde_json::{Value, json};

const NEEDS: &[Need] = &[Need::Program("go")];

/// A version of Go besides the one that is installed: the oldest that the libraries' versions build with.
const OLDER: &str = "go1.21.13";

/// What is asked of every router, and the route it is to have.
fn routes(router: &str) -> [(&'static str, &'static str); 4] {
    match router {
        "gin" => [("/users/1", "/users/:id"), ("/whole/2", "/whole/:id"), ITEMS_COLON, ("/none/4", UNKNOWN)],
        "echo" | "fiber" | "fiber3" => {
            [("/users/1", "/users/:id"), ("/whole/2", "/whole/:id"), ITEMS_STAR, ("/none/4", UNKNOWN)]
        }
        "chi" => [("/users/1", "/users/{id}"), ("/whole/2", "/whole/{id}"), ITEMS_BRACES, ("/none/4", UNKNOWN)],
        _ => [("/users/1", "/users/{id}"), ("/whole/2", "/whole/{id}"), ITEMS_NAMED, ("/none/4", UNKNOWN)],
    }
}

const UNKNOWN: &str = "unknown route";
const ITEMS_COLON: (&str, &str) = ("/api/v1/items/3/x", "/api/v1/items/:id/*rest");
const ITEMS_STAR: (&str, &str) = ("/api/v1/items/3/x", "/api/v1/items/:id/*");
const ITEMS_BRACES: (&str, &str) = ("/api/v1/items/3/x", "/api/v1/items/{id}/*");
const ITEMS_NAMED: (&str, &str) = ("/api/v1/items/3/x", "/api/v1/items/{id}/{rest}");

/// Asks for paths, each on a connection of its own, and gives back what the agent told of it.
fn ask(router: &str, build: Build, paths: &[&str]) -> Result<Seen> {
    let program = go::start("go-routers", build, ("ROUTER", router))?;
    let watch = go::watch(&program, &[])?;
    for path in paths {
        http::get(program.port(), path)?;
    }
    watch.finish()
}

#[test]
fn requests_are_named_by_their_routes() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let mut builds = vec![(Build::Fixed, "fiber"), (Build::Newer, "fiber3")];
    builds.extend(go::has_version("go-routers", OLDER).then_some((Build::Version(OLDER), "fiber")));
    for (build, fiber) in builds {
        let routers = ["gin", "gorilla", "chi", "echo", fiber];
        let programs = routers.map(|router| go::start("go-routers", build, ("ROUTER", router)));
        let programs = programs.into_iter().collect::<Result<Vec<Program>>>()?;
        let watch = go::watch_all(&programs.iter().collect::<Vec<_>>(), &[])?;
        for (program, router) in programs.iter().zip(routers) {
            for (path, _) in routes(router) {
                http::get(program.port(), path)?;
            }
        }
        let seen = watch.finish()?;
        for (program, router) in programs.iter().zip(routers) {
            let documents = seen.documents.of_process(program.pid());
            for (path, route) in routes(router) {
                let name = text(documents.request(path)?, "transaction.name");
                ensure!(name == format!("GET {route}"), "{router} {build:?} {path}: `{name}`");
            }
        }
    }
    Ok(())
}

#[test]
fn answers_without_a_head_of_the_programs_own_are_named() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    for (router, route) in [("gin", "/silent/:id"), ("chi", "/silent/{id}"), ("echo", "/silent/:id")] {
        let seen = ask(router, Build::Pie, &["/silent/5"])?;
        let name = text(seen.documents.request("/silent/5")?, "transaction.name");
        ensure!(name == format!("GET {route}"), "{router}: `{name}`");
    }
    Ok(())
}

/// Errors that handlers gave back: type and message, and that somebody dealt with them. A message that only the error's
/// own code can put together is left out (`[EMPTY]`).
#[test]
fn errors_of_handlers() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let seen = ask("gin", Build::Fixed, &["/errors/1", "/panic/2"])?;
    let documents = seen.documents;
    let expected = [
        ("errors", "errorString", json!("the shelf is empty")),
        ("fmt", "wrapError", json!("item 1: the shelf is empty")),
        ("main", "unlike", json!("[EMPTY]")),
    ];
    errors_are(&documents, "/errors/1", &expected)?;
    ensure!(text(documents.request("/errors/1")?, "event.outcome") == "success", "a bad request is the client's");
    errors_are(&documents, "/panic/2", &[("", "string", json!("broken on purpose"))])?;
    let paths = ["/errors/1", "/wrapped/2", "/inner/3", "/unlike/4", "/none/5"];
    let documents = ask("echo", Build::Fixed, &paths)?.documents;
    let (echo, http) = ("github.com/labstack/echo/v4", "HTTPError");
    errors_are(&documents, paths[0], &[(echo, http, json!("code=418, message=no coffee"))])?;
    errors_are(&documents, paths[1], &[("fmt", "wrapError", json!("item 2: the shelf is empty"))])?;
    errors_are(&documents, paths[2], &[(echo, http, json!("[EMPTY]"))])?;
    errors_are(&documents, paths[3], &[("main", "unlike", json!("[EMPTY]"))])?;
    errors_are(&documents, paths[4], &[(echo, http, json!("code=404, message=Not Found"))])
}

/// fiber, which is no router but a server of its own: errors as its error handler gets them, and whose calls are whose.
#[test]
fn requests_of_fiber() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    fiber("fiber", Build::Pie, "github.com/gofiber/fiber/v2", "Cannot GET /none/4")?;
    fiber("fiber3", Build::Newer, "github.com/gofiber/fiber/v3", "Not Found")
}

fn fiber(router: &str, build: Build, fiber: &str, not_found: &str) -> Result<()> {
    let paths = ["/errors/1", "/wrapped/2", "/unlike/3", "/none/4", "/panic/5", "/panic-at/6", "/silent/7", "/calls/8"];
    let documents = ask(router, build, &paths)?.documents;
    errors_are(&documents, paths[0], &[(fiber, "Error", json!("no coffee"))])?;
    errors_are(&documents, paths[1], &[("fmt", "wrapError", json!("item 2: the shelf is empty"))])?;
    errors_are(&documents, paths[2], &[("main", "unlike", json!("[EMPTY]"))])?;
    errors_are(&documents, paths[3], &[(fiber, "Error", json!(not_found))])?;
    // Once, although a middleware makes an error of it.
    errors_are(&documents, paths[4], &[("", "string", json!("broken on purpose"))])?;
    let bounds = "runtime error: index out of range [6] with length 1";
    errors_are(&documents, paths[5], &[("runtime", "boundsError", json!(bounds))])?;
    for (path, name) in
        [("/errors/1", "GET /errors/:id"), ("/none/4", "GET unknown route"), ("/silent/7", "GET /silent/:id")]
    {
        let found = text(documents.request(path)?, "transaction.name");
        ensure!(found == name, "{path}: `{found}`");
    }
    let calls: Vec<&str> =
        documents.spans_of(documents.request("/calls/8")?).map(|span| text(span, "url.original")).collect();
    ensure!(calls.len() == 3 && calls.iter().all(|url| url.ends_with("/users/8")), "{calls:?}");
    Ok(())
}

fn errors_are(documents: &Documents, path: &str, wanted: &[(&str, &str, Value)]) -> Result<()> {
    let of_path = documents.errors().filter(|error| {
        documents.transaction_of(error).is_some_and(|transaction| text(transaction, "url.path") == path)
    });
    let exceptions: Vec<&Value> = of_path.map(|error| &error["error"]["exception"][0]).collect();
    let message = |one: &Value| one.get("message").cloned().unwrap_or_default();
    let found: Vec<_> = exceptions.iter().map(|one| (text(one, "module"), text(one, "type"), message(one))).collect();
    ensure!(found == wanted, "{path}: {exceptions:?}");
    ensure!(exceptions.iter().all(|one| one["handled"] != json!(false)), "{path}: {exceptions:?}");
    Ok(())
}
