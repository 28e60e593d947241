//! What user space tells the kernel programs about a Go process that has SQLite within. Offsets as in
//! [`GoLayout`](crate::go::GoLayout).

use crate::settings::ABSENT;

/// SQLite's drivers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoSqlite {
    /// Addresses of the types of their connections, in the order of the `SQLITE_` values of [`event`](crate::event), then
    /// of their prepared statements; 0: the binary has none.
    pub called: [u64; 4],
    /// Address of the type `sqlite3.Error` of github.com/mattn/go-sqlite3; 0: the binary has none.
    pub error: u64,
    /// Its `Code`.
    pub error_code: u32,
    /// Its `err`, the message.
    pub error_message: u32,
    /// `database/sql.Stmt.query`
    pub statement: u32,
    /// Always 0.
    pub reserved: u32,
}

impl GoSqlite {
    /// Nothing is there.
    pub const NONE: GoSqlite = GoSqlite {
        called: [0; 4],
        error: 0,
        error_code: ABSENT,
        error_message: ABSENT,
        statement: ABSENT,
        reserved: 0,
    };
}
