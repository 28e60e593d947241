//! SQLite in Go programs, by `database/sql`: which probes tell of its statements, and what the kernel programs must know.

use apm_common::{settings::ABSENT, sqlite::GoSqlite};

use super::{
    hook::{Hook, Part, Place},
    plan::{offset, pointer},
};
use crate::binary::go::GoBinary;

/// The types of connections of github.com/mattn/go-sqlite3 and modernc.org/sqlite, in the order of the `SQLITE_` values, and
/// those of their prepared statements.
const CALLED: [&str; 4] = [
    "github.com/mattn/go-sqlite3.SQLiteConn",
    "modernc.org/sqlite.conn",
    "github.com/mattn/go-sqlite3.SQLiteStmt",
    "modernc.org/sqlite.stmt",
];

/// The errors of the first.
const ERROR: &str = "github.com/mattn/go-sqlite3.Error";

const fn hook(function: &'static str, program: &'static str, place: Place) -> Hook {
    Hook { function, program, part: Part::Statements, place }
}

/// Where a statement begins, and behind all calls of a function: a value and an error come back, two registers each.
const fn both(begins: &'static str, program: &'static str, ends: &'static str) -> [Hook; 2] {
    [hook(begins, program, Place::Entry), hook(ends, "go_statement_done", Place::Results(4))]
}

const QUERY: &str = "database/sql.ctxDriverQuery";
const EXEC: &str = "database/sql.ctxDriverExec";
const PREPARE: &str = "database/sql.ctxDriverPrepare";
const PREPARED_EXEC: &str = "database/sql.ctxDriverStmtExec";

/// What is probed together or not at all.
pub(super) const STATEMENTS: [[Hook; 2]; 5] = [
    both(QUERY, "go_statement_query", QUERY),
    both(EXEC, "go_statement_exec", EXEC),
    both(PREPARE, "go_statement_prepare", PREPARE),
    both(PREPARED_EXEC, "go_prepared_exec", PREPARED_EXEC),
    // Its only caller runs a deferred function before it looks at the results.
    both("database/sql.ctxDriverStmtQuery", "go_prepared_query", "database/sql.rowsiFromStatement"),
];

/// Where the texts of prepared statements are known.
pub(super) const TEXTS: [Hook; 2] = [
    hook("database/sql.(*Stmt).QueryContext", "go_statement_text", Place::Entry),
    hook("database/sql.(*Stmt).ExecContext", "go_statement_text", Place::Entry),
];

/// The layout; [`GoSqlite::NONE`]: there is no SQLite.
pub(super) fn layout(binary: &GoBinary, bias: u64) -> GoSqlite {
    let called = CALLED.map(|name| pointer(binary, bias, name));
    let statement = offset(binary, "database/sql.Stmt", "query");
    if called == [0; 4] || statement == ABSENT {
        return GoSqlite::NONE;
    }
    GoSqlite {
        called,
        error: binary.type_address(ERROR).map_or(0, |address| address.wrapping_add(bias)),
        error_code: offset(binary, ERROR, "Code"),
        error_message: offset(binary, ERROR, "err"),
        statement,
        reserved: 0,
    }
}
