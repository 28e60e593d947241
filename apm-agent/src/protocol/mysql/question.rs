//! A command under way, and what becomes of it.

use super::answer::Answer;
use super::command::Subject;
use crate::exchange::{Ending, Payload, Sql, SqlOperation};
use crate::protocol::statement::Statement;

/// A command that awaits its answer.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) operation: Option<SqlOperation>,
    pub(super) subject: Subject,
    /// Its statement, when it is known.
    pub(super) statement: Option<Statement>,
    pub(super) answer: Answer,
    /// Number of the next packet; `None`: it is not known.
    pub(super) expected: Option<u8>,
    /// The client is to send a file.
    pub(super) takes_file: bool,
}

impl Question {
    /// What is known of it when it ends.
    pub(super) fn into_payload(self, ending: Ending, user: Option<String>, database: Option<String>) -> Payload {
        let (statement, statement_cut) = match self.statement {
            Some(statement) => (Some(statement.text.as_ref().to_owned()), statement.cut),
            None => (None, false),
        };
        // A change of user is its own session's beginning.
        let (user, database) = match self.subject {
            Subject::Session { user, database } => (user, database),
            _ => (user, database),
        };
        let complete = ending == Ending::Complete;
        Payload::Sql(Sql {
            system: "mysql",
            operation: self.operation.unwrap_or(SqlOperation::Other),
            statement,
            statement_cut,
            database,
            user,
            rows_affected: self.answer.affected.filter(|_| complete),
            error: self.answer.error.filter(|_| complete),
        })
    }
}

/// The database that a text chooses: a name, or one that is not known.
pub(super) fn database_after(text: &str) -> Option<Option<String>> {
    let is_use = |word: &str| word.eq_ignore_ascii_case("USE");
    let mut words = text.split(|one: char| one.is_whitespace() || one == ';').filter(|word| !word.is_empty());
    if let (Some(first), Some(name), None) = (words.next(), words.next(), words.next())
        && is_use(first)
    {
        return Some(Some(name.trim_matches('`').to_owned()));
    }
    // Among other statements, or behind a comment.
    let chooses = |statement: &str| {
        let mut words = statement.split(|one: char| !one.is_alphanumeric()).filter(|word| !word.is_empty());
        match statement.trim_start().starts_with(['/', '-', '#']) {
            true => words.any(is_use),
            false => words.next().is_some_and(is_use),
        }
    };
    text.split(';').any(chooses).then_some(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_which_database_is_chosen() {
        let name = |name: &str| Some(Some(name.to_owned()));
        for (text, expected) in [
            ("USE shop", name("shop")),
            ("use `shop`;", name("shop")),
            ("SELECT 1; USE shop", Some(None)),
            ("/* x */ USE shop", Some(None)),
            ("SELECT * FROM a USE INDEX (b)", None),
            ("SELECT 'use'", None),
            ("", None),
        ] {
            assert_eq!(database_after(text), expected, "{text}");
        }
    }
}
