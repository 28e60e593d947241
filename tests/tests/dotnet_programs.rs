//! The .NET program of the tests: on .NET 8 and 10 every route answers as its file says, without an agent. What the
//! other tests say of the agent rests on this.

use std::{fs, os::unix::process::ExitStatusExt as _};

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    dotnet::{Framework, Web},
    http::{self, Answer, Connection},
    postgres::{DEBIAN_FOLDER, Postgres, complete},
    programs::Program,
    tds::{Kind, SqlServer},
    tls::Certificate,
    turn::{self, Need},
    wait,
};
use rustix::process::Signal;

const DATABASE: &[Need] = &[Need::Root, Need::Dotnet, Need::File(DEBIAN_FOLDER)];

/// SqlClient's need of libicu is met by PostgreSQL's.
const SQL_SERVER: &[Need] = &[Need::Dotnet, Need::File(DEBIAN_FOLDER)];

/// Runs a test on every framework, when the machine has what it needs.
fn on_each(needs: &[Need], mut test: impl FnMut(Framework) -> Result<()>) -> Result<()> {
    if !turn::can_run(needs) {
        return Ok(());
    }
    Framework::ALL.into_iter().try_for_each(|framework| test(framework).context(framework.moniker()))
}

fn expect(program: &Program, path: &str, status: u16, text: &str) -> Result<Answer> {
    let answer = http::get(program.port(), path)?;
    let output = program.output();
    ensure!(
        answer.status == status && answer.text() == text,
        "{path}: {} {:?}\n{output}",
        answer.status,
        answer.text()
    );
    Ok(answer)
}

#[test]
fn plain_routes_answer() -> Result<()> {
    on_each(&[Need::Dotnet], |framework| {
        let mut program = Web::on(framework).start()?;
        expect(&program, "/hello", 200, "hello")?;
        expect(&program, "/static", 200, "ok")?;
        expect(&program, "/slow?ms=1", 200, "slow")?;
        expect(&program, "/nowhere", 404, "")?;
        expect(&program, "/items/word", 404, "")?;
        let chunked = expect(&program, "/chunked", 200, "first second third")?;
        ensure!(chunked.header("transfer-encoding") == Some("chunked"));
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut connection = Connection::open(program.port())?;
        let echo = connection.get("/echo", &[&format!("traceparent: {parent}"), "tracestate: es=s:0.5"])?;
        ensure!(echo.text() == format!("{parent} es=s:0.5"), "{echo:?}");
        ensure!(connection.get("/static", &[])?.text() == "ok", "the connection stays open");
        let line = format!("listening on port {}", program.port());
        program.child().wait_for_line(&line, wait::PATIENCE)?;
        Ok(())
    })
}

#[test]
fn queries_answer() -> Result<()> {
    if !turn::can_run(DATABASE) {
        return Ok(());
    }
    let database = Postgres::start()?;
    on_each(DATABASE, |framework| {
        let program = Web::on(framework).database(&database).start()?;
        expect(&program, "/items/42", 200, "item 42")?;
        expect(&program, "/items/0", 404, "")?;
        expect(&program, "/one/43", 200, "item 43")?;
        expect(&program, "/dapper/44", 200, "item 44")?;
        expect(&program, "/prepared/45", 200, "item 45")?;
        expect(&program, "/batch/46", 200, "item 46, item 47")?;
        expect(&program, "/transaction/48", 200, "1 committed")?;
        expect(&program, "/transaction/48?fail=true", 200, "1 rolled back")?;
        expect(&program, "/error", 500, "42P01")?;
        expect(&program, "/activity/49", 200, "checked out item 49")?;
        let (status, text) = if framework == Framework::Net10 { (200, "item 50") } else { (404, "") };
        expect(&program, "/ef/50", status, text)?;
        let (status, text) = if framework == Framework::Net10 { (200, "1") } else { (404, "") };
        expect(&program, "/ef/save/50", status, text)?;
        Ok(())
    })
}

#[test]
fn controllers_answer() -> Result<()> {
    if !turn::can_run(DATABASE) {
        return Ok(());
    }
    let database = Postgres::start()?;
    on_each(DATABASE, |framework| {
        let program = Web::on(framework).database(&database).start()?;
        expect(&program, "/orders/42", 200, r#"{"id":42,"name":"item 42"}"#)?;
        ensure!(http::get(program.port(), "/orders/0")?.status == 404);
        expect(&program, "/customers/list/43", 200, "customer of item 43")?;
        expect(&program, "/Admin/Users/Get/44", 200, "user of item 44")?;
        let address = format!("127.0.0.1:{}", program.port());
        let created = http::post(&address, "/orders", "application/json", br#"{"item": 45}"#)?;
        ensure!(created.status == 201 && created.text() == r#"{"item":45}"#, "{created:?}");
        let location = created.header("location").and_then(|path| path.strip_prefix("/orders/")).unwrap_or_default();
        let row = complete("psql", &mut database.psql(&format!("SELECT item FROM orders WHERE id = {location}")))?;
        ensure!(row.trim() == "45", "{row}");
        Ok(())
    })
}

#[test]
fn sql_server_answers() -> Result<()> {
    on_each(SQL_SERVER, |framework| {
        let server = SqlServer::start()?;
        let program = Web::on(framework).sql_server(&server).start()?;
        expect(&program, "/sql/1", 200, "item 1")?;
        expect(&program, "/sql/parameter/2", 200, "item 2")?;
        expect(&program, "/sql/procedure/3", 200, "item 3")?;
        expect(&program, "/sql/update/4", 200, "1")?;
        expect(&program, "/sql/transaction/5", 200, "1")?;
        expect(&program, "/sql/error", 500, "208")?;
        expect(&program, "/sql/6", 200, "item 6")?;
        let asked: Vec<_> = server.requests().into_iter().map(|request| (request.kind, request.text)).collect();
        let expected = [
            (Kind::Batch, "SELECT name FROM items WHERE id = 1"),
            (Kind::ExecuteSql, "SELECT name FROM items WHERE id = @id"),
            (Kind::Procedure, "get_item"),
            (Kind::Batch, "UPDATE items SET name = name WHERE id = 4"),
            (Kind::Transaction, "begin"),
            (Kind::Batch, "UPDATE items SET name = name WHERE id = 5"),
            (Kind::Transaction, "commit"),
            (Kind::Batch, "SELECT nothing FROM missing_table"),
            (Kind::Batch, "SELECT name FROM items WHERE id = 6"),
        ];
        ensure!(asked == expected.map(|(kind, text)| (kind, text.to_owned())), "{asked:?}");
        Ok(())
    })
}

#[test]
fn sql_server_survives_what_is_not_tds() -> Result<()> {
    let server = SqlServer::start()?;
    let hostile: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        // A packet shorter than its header, an unknown packet, a batch without its headers, headers longer than the
        // batch, a call whose name is longer than what follows.
        &[1, 1, 0, 3, 0, 0, 0, 0],
        &[99, 1, 0, 8, 0, 0, 0, 0],
        &[1, 1, 0, 9, 0, 0, 0, 0, 1],
        &[1, 1, 0, 12, 0, 0, 0, 0, 255, 255, 255, 255],
        &[3, 1, 0, 14, 0, 0, 0, 0, 4, 0, 0, 0, 255, 127],
    ];
    for bytes in hostile {
        let mut connection = Connection::open(server.port())?;
        connection.send(bytes)?;
        if bytes.starts_with(b"GET") {
            // It reads as a long packet, whose rest never comes.
            continue;
        }
        ensure!(connection.is_closed()?, "{bytes:?}");
    }
    ensure!(server.requests().is_empty());
    Ok(())
}

#[test]
fn calls_fan_out() -> Result<()> {
    if !turn::can_run(DATABASE) {
        return Ok(());
    }
    let database = Postgres::start()?;
    on_each(DATABASE, |framework| {
        let leaf = Web::on(framework).start()?;
        let middle = Web::on(framework).downstream(&leaf).start()?;
        let program = Web::on(framework).database(&database).downstream(&middle).start()?;
        let text = "item 42, down 42/1 of leaf 42/1, down 42/2 of leaf 42/2";
        expect(&program, "/fan/42", 200, text)?;
        expect(&leaf, "/down/1/2", 200, "down 1/2")?;
        let call = |path: &str| format!("/call?url=http://127.0.0.1:{}{path}", leaf.port());
        expect(&program, &call("/hello"), 200, "called")?;
        expect(&program, &call("/nowhere"), 404, "called")?;
        let nobody = http::get(program.port(), &format!("/call?url=http://127.0.0.1:{}/", http::free_port()?))?;
        ensure!(nobody.status == 502, "{nobody:?}");
        Ok(())
    })
}

#[test]
fn tls_answers() -> Result<()> {
    on_each(&[Need::Dotnet, Need::Program("openssl")], |framework| {
        let certificate = Certificate::generate()?;
        let tls_port = http::free_port()?;
        let server = Web::on(framework).tls(&certificate, tls_port).start()?;
        let client = Web::on(framework).start()?;
        expect(&server, "/hello", 200, "hello")?;
        expect(&client, &format!("/call?url=https://127.0.0.1:{tls_port}/hello"), 200, "called")?;
        expect(&client, &format!("/call?url=https://localhost:{tls_port}/nowhere"), 404, "called")?;
        ensure!(http::get(tls_port, "/hello").is_err(), "the second port speaks TLS only");
        Ok(())
    })
}

#[test]
fn exceptions_answer() -> Result<()> {
    on_each(&[Need::Dotnet], |framework| {
        for (errors, body) in [("", ""), ("handler", "failed"), ("page", "InvalidOperationException")] {
            let program = Web::on(framework).variable("ERRORS", errors).start()?;
            for path in ["/throw/sync", "/throw/async", "/throw/inner", "/orders/throw"] {
                let answer = http::get(program.port(), path)?;
                ensure!(answer.status == 500 && answer.text().contains(body), "{errors} {path}: {answer:?}");
                ensure!(errors == "page" || answer.text() == body, "{errors} {path}: {answer:?}");
            }
            expect(&program, "/throw/handled", 200, "caught: failed after an await")?;
        }
        Ok(())
    })
}

#[test]
fn crash_kills() -> Result<()> {
    on_each(&[Need::Dotnet], |framework| {
        let mut program = Web::on(framework).start()?;
        expect(&program, "/crash", 200, "crashing")?;
        let status = program.child().wait_for_end(wait::PATIENCE)?;
        ensure!(status.signal() == Some(Signal::ABORT.as_raw()), "{status}");
        ensure!(program.child().output().contains("the process fails"));
        Ok(())
    })
}

#[test]
fn logs_are_written_or_not() -> Result<()> {
    on_each(&[Need::Dotnet], |framework| {
        let mut program = Web::on(framework).start()?;
        for level in ["trace", "debug", "information", "warning", "error", "critical"] {
            expect(&program, &format!("/log/{level}"), 200, &format!("logged {level}"))?;
        }
        expect(&program, "/log/error/exception", 200, "logged error")?;
        for line in ["trce: Shop[0]", "dbug: Shop[0]", "warn: Shop[0]", "crit: Shop[0]", "the logged failure"] {
            program.child().wait_for_line(line, wait::PATIENCE)?;
        }
        let mut silent = Web::on(framework).variable("LOGGING", "none").start()?;
        expect(&silent, "/log/error", 200, "logged error")?;
        silent.child().signal(Signal::TERM)?;
        ensure!(silent.child().wait_for_end(wait::PATIENCE)?.success());
        ensure!(silent.child().output() == format!("listening on port {}\n", silent.port()));
        Ok(())
    })
}

#[test]
fn background_works() -> Result<()> {
    if !turn::can_run(DATABASE) {
        return Ok(());
    }
    let database = Postgres::start()?;
    on_each(DATABASE, |framework| {
        let _program = Web::on(framework).database(&database).variable("BACKGROUND", "1").start()?;
        let ticks = "SELECT query FROM pg_stat_activity WHERE query ~ '^SELECT [0-9]+ AS tick$' AND state = 'idle'";
        let tick = || complete("psql", &mut database.psql(ticks)).ok().filter(|text| !text.is_empty());
        let first = wait::until("a tick", wait::PATIENCE, tick)?;
        wait::until("another tick", wait::PATIENCE, || tick().filter(|next| *next != first))?;
        Ok(())
    })
}

#[test]
fn self_contained_answers() -> Result<()> {
    on_each(SQL_SERVER, |framework| {
        let server = SqlServer::start()?;
        let program = Web::on(framework).self_contained().sql_server(&server).start()?;
        expect(&program, "/hello", 200, "hello")?;
        expect(&program, "/sql/1", 200, "item 1")?;
        let executable = fs::read_link(format!("/proc/{}/exe", program.pid()))?;
        ensure!(executable.ends_with(format!("{}-self-contained/Web", framework.moniker())), "{executable:?}");
        let runtime = executable.with_file_name("libcoreclr.so");
        let maps = fs::read_to_string(format!("/proc/{}/maps", program.pid()))?;
        ensure!(maps.contains(&runtime.display().to_string()), "{maps}");
        Ok(())
    })
}

#[test]
fn single_file_answers() -> Result<()> {
    if !turn::can_run(DATABASE) {
        return Ok(());
    }
    let database = Postgres::start()?;
    let program = Web::on(Framework::Net10).single_file().database(&database).start()?;
    expect(&program, "/items/42", 200, "item 42")?;
    let executable = fs::read_link(format!("/proc/{}/exe", program.pid()))?;
    ensure!(executable.ends_with("Web") && !executable.with_file_name("Web.dll").exists(), "{executable:?}");
    Ok(())
}
