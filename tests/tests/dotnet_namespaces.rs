//! .NET in a pid namespace of its own, as in a container: ids of threads and processes differ there, links hold.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::text,
    dotnet::{Framework, Web},
    http,
    postgres::{DEBIAN_FOLDER, Postgres},
    process,
    turn::{Need, Turn},
    watch::Watch,
};

#[test]
fn links_hold_in_another_pid_namespace() -> Result<()> {
    let needs = [Need::Root, Need::Dotnet, Need::Program("unshare"), Need::File(DEBIAN_FOLDER)];
    let Some(_turn) = Turn::take(&needs) else { return Ok(()) };
    let database = Postgres::start()?;
    let namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let program = Web::on(Framework::Net10).database(&database).behind(&namespace).start()?;
    // `unshare` stays outside, the program is its child.
    let pid = process::family(program.pid()).last().copied().context("unshare has a child")?;
    ensure!(pid != program.pid(), "the program is the first of its namespace");
    let mut watch = Watch::process(pid)?;
    watch.agent().wait_for_line("listening to .NET")?;
    for id in 1..=20 {
        let answer = http::get(program.port(), &format!("/one/{id}"))?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    let seen = watch.finish()?;
    for id in 1..=20 {
        let request = seen.documents.request(&format!("/one/{id}"))?;
        ensure!(text(request, "transaction.name") == "GET /one/{id}", "{request}");
        let spans: Vec<_> = seen.documents.spans_of(request).map(|span| text(span, "span.db.statement")).collect();
        ensure!(spans.len() == 1 && spans[0].ends_with(&format!("= {id}")), "{id}: {spans:?}");
    }
    Ok(())
}
