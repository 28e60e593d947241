//! Statements of databases that live in the process.

use apm_common::event as wire;

use super::Reader;
use crate::exchange::SqlOperation;

/// A statement of a database that lives in the process ([`wire::StatementBody`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The request it is executed for; 0: not known.
    pub request: u64,
    /// The goroutine that waits for it.
    pub goroutine: u64,
    /// `sqlite3` or `sqlite`, as its driver calls itself.
    pub system: &'static str,
    /// What is done with it.
    pub operation: SqlOperation,
    /// Its text.
    pub text: &'a [u8],
    /// There is more of it.
    pub is_cut: bool,
}

/// Reads a [`wire::StatementBody`].
pub(super) fn statement<'a>(reader: &mut Reader<'a>) -> Option<Statement<'a>> {
    let (request, goroutine) = (reader.u64()?, reader.u64()?);
    let system = match reader.u32()? {
        wire::SQLITE_MATTN => "sqlite3",
        wire::SQLITE_MODERNC => "sqlite",
        _ => return None,
    };
    let operation = match reader.u32()? {
        wire::STATEMENT_QUERY => SqlOperation::Query,
        wire::STATEMENT_PREPARE => SqlOperation::Prepare,
        wire::STATEMENT_EXEC => SqlOperation::Other,
        _ => return None,
    };
    let (whole, length) = (reader.u64()?, reader.u64()?);
    let text = reader.0.get(..usize::try_from(length).ok()?)?;
    Some(Statement { request, goroutine, system, operation, text, is_cut: whole > length })
}
