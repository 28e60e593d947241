//! Statements of databases that live in the process (SQLite), where no wire shows them: from where `database/sql` calls the
//! driver until the driver is back.

use apm_common::{
    event::{
        SQLITE_DRIVERS, STATEMENT_EXEC, STATEMENT_PREPARE, STATEMENT_QUERY, StatementBody, StatementDoneBody,
        StatementFailedBody, Text, kind,
    },
    limits::{SHORT_STATEMENT_BYTES, STATEMENT_BYTES},
};
use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{
    Hit, ITAB_TYPE,
    hidden::copy,
    member,
    value::{write_sqlite_error, write_value},
};
use crate::{
    maps::{GOROUTINES, Goroutine},
    registers::{Register, probed},
    ring::{Record, header, reserve, submit},
};

/// `(*Stmt).QueryContext(context, …)` and `(*Stmt).ExecContext(context, …)`: the statement knows its text, what is called
/// below does not.
#[uprobe]
pub fn go_statement_text(ctx: ProbeContext) -> u32 {
    if let Some(hit) = Hit::new(&ctx)
        && let Some(text) = member(probed(&ctx, Register::Ax), hit.layout.sqlite.statement)
        && let Some(known) = known(&hit)
    {
        known.text = text;
    }
    0
}

/// `ctxDriverStmtQuery(context, statement, …)`
#[uprobe]
pub fn go_prepared_query(ctx: ProbeContext) -> u32 {
    begin_prepared(&ctx, STATEMENT_QUERY);
    0
}

/// `ctxDriverStmtExec(context, statement, …)`
#[uprobe]
pub fn go_prepared_exec(ctx: ProbeContext) -> u32 {
    begin_prepared(&ctx, STATEMENT_EXEC);
    0
}

/// `ctxDriverQuery(context, connection, older connection, text, …)`
#[uprobe]
pub fn go_statement_query(ctx: ProbeContext) -> u32 {
    begin_text(&ctx, STATEMENT_QUERY, [Register::R9, Register::R10]);
    0
}

/// `ctxDriverExec(context, connection, older connection, text, …)`
#[uprobe]
pub fn go_statement_exec(ctx: ProbeContext) -> u32 {
    begin_text(&ctx, STATEMENT_EXEC, [Register::R9, Register::R10]);
    0
}

/// `ctxDriverPrepare(context, connection, text)`
#[uprobe]
pub fn go_statement_prepare(ctx: ProbeContext) -> u32 {
    begin_text(&ctx, STATEMENT_PREPARE, [Register::Si, Register::R8]);
    0
}

/// Behind the calls of all these: an interface value, and an error, which is another.
#[uprobe]
pub fn go_statement_done(ctx: ProbeContext) -> u32 {
    let _ = done(&ctx);
    0
}

#[inline(always)]
fn known(hit: &Hit) -> Option<&'static mut Goroutine> {
    if hit.known().is_none() {
        GOROUTINES.insert(hit.key(hit.goroutine), Goroutine::NONE, 0).ok()?;
    }
    hit.known()
}

#[inline(always)]
fn begin_prepared(ctx: &ProbeContext, operation: u32) {
    if let Some(hit) = Hit::new(ctx)
        && let Some(known) = hit.known()
    {
        let text = core::mem::replace(&mut known.text, [0; 2]);
        begin(&hit, probed(ctx, Register::Cx), operation, text);
    }
}

#[inline(always)]
fn begin_text(ctx: &ProbeContext, operation: u32, [address, length]: [Register; 2]) {
    if let Some(hit) = Hit::new(ctx) {
        begin(&hit, probed(ctx, Register::Cx), operation, [probed(ctx, address), probed(ctx, length)]);
    }
}

/// `table`: of the connection or the prepared statement, as an interface value.
#[inline(always)]
fn begin(hit: &Hit, table: u64, operation: u32, text: [u64; 2]) -> Option<()> {
    if let Some(known) = hit.known() {
        // Whatever was begun before has no end that can be seen.
        known.is_asking = 0;
    }
    let kind: u64 = member(table, ITAB_TYPE)?;
    let called = &hit.layout.sqlite.called;
    let place = called.iter().position(|one| *one == kind && kind != 0)?;
    if text[1] == 0 {
        return None;
    }
    let driver = place as u32 % SQLITE_DRIVERS;
    let known = known(hit)?;
    // What `database/sql` was called with said whose it is.
    let request = if known.calls != 0 { known.calls } else { known.handles };
    let what = (request, hit.goroutine, driver, operation);
    known.is_asking = match text[1] > SHORT_STATEMENT_BYTES as u64 {
        true => tell::<STATEMENT_BYTES>(what, text),
        false => tell::<SHORT_STATEMENT_BYTES>(what, text),
    }
    .is_some() as u64;
    Some(())
}

#[inline(always)]
fn tell<const N: usize>((request, goroutine, driver, operation): (u64, u64, u32, u32), text: [u64; 2]) -> Option<()> {
    let mut slot = reserve::<StatementBody<Text<N>>>()?;
    let record: *mut Record<StatementBody<Text<N>>> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record. Every length is written, and nobody reads bytes behind one.
    unsafe {
        (&raw mut (*record).header).write(header(kind::STATEMENT, 0));
        let body = &raw mut (*record).body;
        (&raw mut (*body).request).write(request);
        (&raw mut (*body).goroutine).write(goroutine);
        (&raw mut (*body).driver).write(driver);
        (&raw mut (*body).operation).write(operation);
        (&raw mut (*body).length).write(text[1]);
        copy(&raw mut (*body).text, text);
    }
    submit(slot);
    Some(())
}

#[inline(always)]
fn done(ctx: &ProbeContext) -> Option<()> {
    let hit = Hit::new(ctx)?;
    let known = hit.known()?;
    if core::mem::replace(&mut known.is_asking, 0) == 0 {
        return None;
    }
    let goroutine = hit.goroutine;
    let (table, error) = (probed(ctx, Register::Cx), probed(ctx, Register::Di));
    if table == 0 {
        let mut slot = reserve()?;
        slot.write(Record { header: header(kind::STATEMENT_DONE, 0), body: StatementDoneBody { goroutine } });
        submit(slot);
        return None;
    }
    let error_type: u64 = member(table, ITAB_TYPE).unwrap_or(0);
    let mut slot = reserve::<StatementFailedBody>()?;
    let record: *mut Record<StatementFailedBody> = slot.as_mut_ptr();
    // SAFETY: the slot is as large as the record, and all of it is written that anybody reads.
    unsafe {
        (&raw mut (*record).header).write(header(kind::STATEMENT_FAILED, 0));
        (&raw mut (*record).body.goroutine).write(goroutine);
        let body = &raw mut (*record).body.value;
        if error_type != 0 && error_type == hit.layout.sqlite.error {
            write_sqlite_error(&hit.layout.sqlite, body, error);
        } else {
            write_value(body, error_type, error);
        }
    }
    submit(slot);
    None
}
