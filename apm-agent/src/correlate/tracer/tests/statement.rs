//! Statements of databases within the process.

use super::*;
use crate::{bridge::StatementFailed, event::Statement, exchange::SqlOperation};

#[test]
fn statements_that_no_wire_shows_hang_on_the_request_they_are_for() {
    let mut stage = Stage::named();
    let instance = Arc::clone(&stage.instance);
    let asked = Asked { request: 100, method: "GET".into(), path: "/".into(), ..Asked::default() };
    stage.tracer.request_asked(PID, &instance, &asked, 10);
    let statement = |request, goroutine, text: &'static str| Statement {
        request,
        goroutine,
        system: "sqlite3",
        operation: SqlOperation::Query,
        text: text.as_bytes(),
        is_cut: false,
    };
    stage.tracer.statement_began(PID, &instance, &statement(100, 7, "SELECT 1"), 11);
    stage.tracer.statement_began(PID, &instance, &statement(9, 8, "SELECT 2"), 12);
    stage.tracer.statement_done((PID, 7), None, 13);
    stage.tracer.statement_done((PID, 9), None, 13);
    let thrown = Thrown { kind: "*errors.errorString".into(), message: "context canceled".into(), ..Thrown::default() };
    stage.say(14, Said::StatementFailed(Box::new(StatementFailed { goroutine: 8, thrown })));
    // Nobody saw the end of the first.
    stage.tracer.statement_began(PID, &instance, &statement(100, 7, "SELECT 3"), 15);
    stage.tracer.statement_began(PID, &instance, &statement(100, 7, "SELECT 4"), 16);
    stage.tracer.request_answered((PID, 100), (Some(200), None), false, 20);
    stage.tracer.process_ended(PID, 0, &instance, 40);
    let documents: Vec<Document> = stage.tracer.take_documents().map(|(_, document)| document).collect();
    let [Document::Span(alone), Document::Transaction(exit), Document::Span(linked), Document::Transaction(request)] =
        documents.as_slice()
    else {
        panic!("{documents:?}")
    };
    assert_eq!((exit.kind, exit.outcome, alone.outcome), ("exit", Outcome::Failure, Outcome::Failure));
    assert_eq!((linked.transaction, linked.outcome), (Some(request.place.id), Outcome::Success));
    assert_eq!(linked.db.as_ref().and_then(|db| db.statement.as_deref()), Some("SELECT 1"));
    let counters = stage.tracer.counters;
    assert_eq!((counters.calls_linked, counters.calls_late, counters.unfinished), (3, 1, 2));
}
