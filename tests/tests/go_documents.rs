//! What comes of a Go program with probes in it: stripped, at a fixed address and at any.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, text},
    go::{self, Build},
    go_web::{self, Driver},
    http,
    nginx::Nginx,
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::Program,
    turn::{Need, Turn},
    wait,
};
use serde_json::{Value, json};

const NEEDS: &[Need] = &[Need::Program("go"), Need::File(DEBIAN_FOLDER)];

/// Versions of Go besides the one that is installed.
const VERSIONS: [&str; 3] = ["go1.22.12", "go1.24.4", "go1.27.3"];

/// Routes whose statements hang on their request, and how many there are with the request's number.
const LINKED: [(&str, usize); 9] = [
    ("/item/", 1),
    ("/arguments/", 1),
    ("/exec/", 1),
    ("/transaction/", 2),
    ("/spawn/", 1),
    ("/pool/", 1),
    ("/group/", 3),
    ("/background/", 1),
    ("/direct/", 1),
];

/// Routes whose statement hangs nowhere: nothing says whose it is, or the answer was out before.
const UNLINKED: [&str; 2] = ["/lost/", "/late/"];

#[test]
fn statements_hang_on_their_requests() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let mut builds = vec![(Build::Fixed, Driver::Pq), (Build::Pie, Driver::Pgx)];
    let others = VERSIONS.into_iter().filter(|version| go::has_version("go-web", version));
    builds.extend(others.map(|version| (Build::Version(version), Driver::Pq)));
    for (build, driver) in builds {
        let program = go_web::start(build, driver, &database)?;
        let watch = go::watch(&program, &[])?;
        let paths = || LINKED.iter().map(|(path, _)| *path).chain(UNLINKED).zip(101..);
        for (path, id) in paths() {
            ensure!(http::get(program.port(), &format!("{path}{id}"))?.status == 200, "{path}");
        }
        let seen = watch.finish()?;
        for (path, id) in paths() {
            let counted = LINKED.iter().find(|(linked, _)| *linked == path).map_or(0, |(_, count)| *count);
            let request = seen.documents.request(&format!("{path}{id}"))?;
            let found = seen.documents.spans_of(request).filter(|span| asks_for(span, id)).count();
            ensure!(found == counted, "{build:?} {path}: {found} statements: {}", seen.documents.summary());
            let name = text(request, "transaction.name");
            ensure!(name == format!("GET {path}{{id}}"), "{build:?} {path}: `{name}`");
        }
        let stats = seen.agent.stats;
        let named = stats.get("trace.requests.named");
        ensure!(named == paths().count() as u64 && stats.get("trace.requests.unplaced") == 0, "{named} named");
    }
    Ok(())
}

/// Where no context says it and the user wants it, a statement hangs on the open request that made its goroutine, up to
/// eight generations; not on the one that made a worker long ago.
#[test]
fn statements_hang_on_the_request_that_made_their_goroutine() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let mut builds = vec![Build::Pie];
    builds.extend(go::has_version("go-web", VERSIONS[0]).then_some(Build::Version(VERSIONS[0])));
    for build in builds {
        let program = go_web::start(build, Driver::Pq, &database)?;
        let watch = go::watch(&program, &["--go-ancestry"])?;
        let paths = [
            ("/lost/101", 1),
            ("/generations/108", 1),
            ("/generations/109", 0),
            ("/lazy/110", 1),
            ("/lazy/111", 0),
            ("/pool/112", 1),
            ("/background/113", 1),
        ];
        for (path, _) in paths {
            ensure!(http::get(program.port(), path)?.status == 200, "{path}");
        }
        let seen = watch.finish()?;
        for ((path, counted), id) in paths.into_iter().zip([101, 108, 109, 110, 111, 112, 113]) {
            let request = seen.documents.request(path)?;
            let found = seen.documents.spans_of(request).filter(|span| asks_for(span, id)).count();
            ensure!(found == counted, "{build:?} {path}: {found} statements: {}", seen.documents.summary());
        }
        let stats = seen.agent.stats;
        ensure!(
            stats.get("kernel.descent_given_up") > 0 && stats.get("trace.calls.late") > 0,
            "{:?}",
            stats.non_zero()
        );
    }
    Ok(())
}

/// What a database in the process itself executes, which no wire shows: each statement is a span of its request.
#[test]
fn statements_of_sqlite() -> Result<()> {
    let Some(_turn) = Turn::take(&[Need::Program("go"), Need::Program("gcc"), Need::File("/usr/include/sqlite3.h")])
    else {
        return Ok(());
    };
    let mut builds = vec![(Build::Pie, "sqlite3"), (Build::Newer, "sqlite")];
    let oldest = OLDEST.into_iter().filter(|version| go::has_version("go-sqlite", version));
    builds.extend(oldest.map(|version| (Build::Version(version), "sqlite3")));
    let start = |(build, driver)| go::start("go-sqlite", build, ("DRIVER", driver));
    let programs = builds.iter().copied().map(start).collect::<Result<Vec<Program>>>()?;
    let watch = go::watch_all(&programs.iter().collect::<Vec<_>>(), &[])?;
    for program in &programs {
        for (path, _) in STATEMENTS.iter().chain(&[LONG]) {
            let status = if path.contains("missing") { 500 } else { 200 };
            ensure!(http::get(program.port(), path)?.status == status, "{path}");
        }
    }
    let seen = watch.finish()?;
    for ((build, driver), program) in builds.into_iter().zip(&programs) {
        let documents = seen.documents.of_process(program.pid());
        are_told(&documents, driver).with_context(|| format!("{build:?} {driver}: {}", documents.summary()))?;
    }
    Ok(())
}

/// The oldest versions of Go, whose functions push nothing where they begin.
const OLDEST: [&str; 2] = ["go1.19.13", "go1.20.14"];

/// What is executed for each path: actions and statements.
const STATEMENTS: [(&str, &[(&str, &str)]); 6] = [
    ("/query/1", &[("query", "SELECT name FROM items WHERE id <= 1")]),
    ("/exec/2", &[("exec", "UPDATE items SET name = ? WHERE id = 2")]),
    ("/spawn/3", &[("query", "SELECT name FROM items WHERE id <= 3")]),
    ("/prepared/4", &[("exec", "UPDATE items SET name = ?"), ("query", "SELECT name FROM items WHERE id = ?")]),
    ("/prepare/5", &[("prepare", "DELETE FROM items WHERE id > 5"), ("exec", "DELETE FROM items WHERE id > 5")]),
    ("/missing/6", &[("exec", "UPDATE missing SET name = 'x' WHERE id = 6")]),
];

/// One whose end is cut off.
const LONG: (&str, &[(&str, &str)]) = ("/long/7", &[("query", "SELECT name FROM items WHERE id <= 7 ")]);

fn are_told(documents: &Documents, driver: &str) -> Result<()> {
    for (path, statements) in STATEMENTS.iter().chain(&[LONG]) {
        let spans: Vec<&Value> = documents.spans_of(documents.request(path)?).collect();
        ensure!(spans.len() == statements.len(), "{path}: {} spans", spans.len());
        for (span, (action, statement)) in spans.iter().zip(*statements) {
            ensure!(text(span, "span.type") == "db" && text(span, "span.subtype") == driver, "{span}");
            ensure!(text(span, "span.action") == *action, "{path}: {span}");
            let outcome = if path.contains("missing") { "failure" } else { "success" };
            ensure!(text(span, "event.outcome") == outcome, "{path}: {span}");
            let found = text(span, "span.db.statement");
            match *path == LONG.0 {
                true => ensure!(found.chars().count() == 10_000 && found.ends_with('…'), "{} characters", found.len()),
                false => ensure!(found == *statement, "{path}: {found}"),
            }
        }
    }
    ensure!(documents.spans().count() == 9, "{} spans", documents.spans().count());
    let errors: Vec<&Value> = documents.errors().collect();
    let [error] = errors.as_slice() else { anyhow::bail!("{errors:?}") };
    let (message, code) = match driver {
        "sqlite3" => ("no such table: missing", json!("1")),
        // The driver has both in one text.
        _ => ("SQL logic error: no such table: missing (1)", Value::Null),
    };
    ensure!(exception(error, "message") == message && *exception(error, "code") == code, "{error}");
    ensure!(error["parent"] != Value::Null, "{error}");
    Ok(())
}

/// Is it a statement with this number? The driver may have prepared it, which is another.
fn asks_for(span: &Value, id: u32) -> bool {
    text(span, "span.action") == "query" && text(span, "span.db.statement").ends_with(&format!(" {id}"))
}

/// All statements of a transaction hang on its request, and those that open a connection.
#[test]
fn a_transaction_from_beginning_to_end() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = go_web::start(Build::Fixed, Driver::Pq, &database)?;
    let watch = go::watch(&program, &[])?;
    ensure!(http::get(program.port(), "/transaction/7")?.status == 200);
    let documents = watch.finish()?.documents;
    let names: Vec<&str> =
        documents.spans_of(documents.request("/transaction/7")?).map(|span| text(span, "span.name")).collect();
    ensure!(names == ["connect", "BEGIN", "SELECT FROM items", "UPDATE items", "COMMIT"], "{names:?}");
    Ok(())
}

/// A statement whose context ran out fails, whether its driver waits until the database has given it up (lib/pq: that is an
/// error, too) or hangs up.
#[test]
fn statements_that_are_given_up() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    for driver in [Driver::Pq, Driver::Pgx] {
        let program = go_web::start(Build::Fixed, driver, &database)?;
        let watch = go::watch(&program, &["--api-request-time=1s"])?;
        ensure!(http::get(program.port(), "/hurried/9")?.status == 500);
        // The second hangs up when it has answered.
        let told = || watch.documents().ok().filter(|told| told.spans().any(|span| asks_for(span, 9))).map(|_| ());
        wait::until("the statement", wait::PATIENCE, told)?;
        let documents = watch.finish()?.documents;
        let given_up: Vec<&Value> =
            documents.spans_of(documents.request("/hurried/9")?).filter(|span| asks_for(span, 9)).collect();
        ensure!(given_up.len() == 1 && text(given_up[0], "event.outcome") == "failure", "{driver:?}: {given_up:?}");
        let codes: Vec<&Value> = documents.errors().map(|error| exception(error, "code")).collect();
        ensure!(driver == Driver::Pgx || codes == ["57014"], "{codes:?}");
    }
    Ok(())
}

#[test]
fn outgoing_requests_hang_on_theirs() -> Result<()> {
    let Some(_turn) = Turn::take(&[NEEDS, &[Need::Program("nginx")]].concat()) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = go_web::start(Build::Fixed, Driver::Pq, &database)?;
    let upstream = Nginx::start()?;
    let watch = go::watch(&program, &[])?;
    let url = format!("http://127.0.0.1:{}", upstream.port());
    // Each twice: on a new connection, and on one that was kept.
    for (path, id) in ["/call/", "/call-elsewhere/"].into_iter().cycle().zip(1..5) {
        ensure!(http::get(program.port(), &format!("{path}{id}?url={url}"))?.status == 200);
    }
    let documents = watch.finish()?.documents;
    for (path, id) in ["/call/", "/call-elsewhere/"].into_iter().cycle().zip(1..5) {
        let request = documents.request(&format!("{path}{id}"))?;
        let calls: Vec<&str> = documents.spans_of(request).map(|span| text(span, "url.original")).collect();
        ensure!(calls == [format!("{url}/item/{id}")], "{path}: {calls:?}");
    }
    Ok(())
}

const NO_ROUTES: [(&str, &str); 3] =
    [("/item/3", "GET unknown route"), ("/inner/item/4", "GET unknown route"), ("/none", "GET unknown route")];

#[test]
fn routes_of_muxes() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = go_web::start(Build::Fixed, Driver::Pq, &database)?;
    for (arguments, wanted) in [
        (&[][..], [("/item/3", "GET /item/{id}"), ("/inner/item/4", "GET /item/{id}"), ("/none", "GET unknown route")]),
        (&["--disable-instrumentations=servemux"][..], NO_ROUTES),
        (&["--go-routes=false"][..], NO_ROUTES),
    ] {
        let watch = go::watch(&program, arguments)?;
        for (path, _) in wanted {
            http::get(program.port(), path)?;
        }
        let documents = watch.finish()?.documents;
        for (path, name) in wanted {
            let found = text(documents.request(path)?, "transaction.name");
            ensure!(found == name, "{path}: `{found}`");
        }
    }
    Ok(())
}

/// Without probes the wire alone tells: no statement has a parent, and requests have no route.
#[test]
fn probes_can_be_left_out() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    let program = go_web::start(Build::Fixed, Driver::Pq, &database)?;
    let watch = apm_tests::watch::Watch::start(&["--pid", &program.pid().to_string(), "--go-probes=false"])?;
    ensure!(http::get(program.port(), "/item/5")?.status == 200);
    let seen = watch.finish()?;
    let statement = statement(&seen.documents, 5)?;
    let parent = seen.documents.transaction_of(statement).context("a transaction of its own")?;
    ensure!(text(parent, "transaction.type") == "exit", "{parent}");
    ensure!(text(seen.documents.request("/item/5")?, "transaction.name") == "GET unknown route");
    ensure!(!seen.agent.log.contains("probes are"), "{}", seen.agent.log);
    Ok(())
}

fn statement(documents: &Documents, id: u32) -> Result<&Value> {
    documents.spans().find(|span| asks_for(span, id)).with_context(|| documents.summary())
}

/// A panic is an error where the server gave up the request, where a middleware answered 500, and where it ended the
/// program; not where the program or `encoding/json` panicked for its own ends, nor `http.ErrAbortHandler`.
#[test]
fn panics() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let database = Postgres::start()?;
    for build in [Build::Fixed, Build::Pie] {
        let mut program = go_web::start(build, Driver::Pq, &database)?;
        let watch = go::watch(&program, &[])?;
        for (path, status) in [("/recovered/1", 500), ("/dealt-with/2", 200), ("/json/3", 500)] {
            ensure!(http::get(program.port(), path)?.status == status, "{path}");
        }
        for path in ["/panic/4", "/abort/5"] {
            ensure!(http::get(program.port(), path).is_err(), "{path} was answered");
        }
        // Whether the answer still leaves before the program ends is a race within it.
        let _ = http::get(program.port(), "/crash/6");
        program.child().wait_for_end(wait::PATIENCE)?;
        let documents = watch.finish()?.documents;
        let errors: Vec<&Value> = documents.errors().collect();
        ensure!(errors.len() == 3, "{errors:?}");
        let told = |path: &str, message: &str, kind: &str, culprit: &str, handled: bool| -> Result<()> {
            let error = errors.iter().find(|error| exception(error, "message").as_str() == Some(message));
            let error = error.with_context(|| format!("{message}: {errors:?}"))?;
            ensure!(exception(error, "type") == kind && exception(error, "handled") == handled, "{error}");
            ensure!(text(error, "error.culprit") == culprit, "{error}");
            let transaction = documents.transaction_of(error).map_or("", |found| text(found, "url.path"));
            ensure!(transaction == path, "{error}");
            let frames = exception(error, "stacktrace");
            let top = &frames[0];
            let files = (text(top, "filename"), text(top, "abs_path"));
            ensure!(culprit == text(top, "function") && files.1.ends_with("go-web/main.go"), "{top}");
            ensure!(files.0 == "main.go", "{top}");
            ensure!(top["line"]["number"].as_u64() > Some(50) && top["library_frame"] != true, "{top}");
            Ok(())
        };
        let bounds = "runtime error: index out of range [15] with length 12";
        told("/recovered/1", bounds, "boundsError", "beyond", true)?;
        told("/panic/4", "broken on purpose", "string", "main.func1", false)?;
        told("", "nobody recovers this", "broken", "explode", false)?;
        for path in ["/recovered/1", "/panic/4", "/abort/5"] {
            ensure!(text(documents.request(path)?, "event.outcome") == "failure", "{path}");
        }
        ensure!(text(documents.request("/dealt-with/2")?, "event.outcome") == "success");
    }
    Ok(())
}

/// A member of an error's outermost exception.
fn exception<'a>(error: &'a Value, member: &str) -> &'a Value {
    &error["error"]["exception"][0][member]
}
