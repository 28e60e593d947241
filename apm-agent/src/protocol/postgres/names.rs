//! Prepared statements and portals of a session, by name.
//!
//! What is remembered is either right or absent: an entry that could be stale is forgotten.

use crate::protocol::statement::{Statement, Table};

/// What begins a statement that gives or takes names.
const PREPARE: &str = "PREPARE";
const DEALLOCATE: &str = "DEALLOCATE";
const DISCARD: &str = "DISCARD";

/// What `DISCARD` may name besides `ALL`, and leaves prepared statements as they are (PostgreSQL's manual, "DISCARD").
const KEEPING: [&str; 4] = ["PLANS", "SEQUENCES", "TEMP", "TEMPORARY"];

/// Names of a session.
#[derive(Default)]
pub(super) struct Names {
    statements: Table,
    portals: Table,
}

impl Names {
    /// Parse: `name` is `statement` from here on.
    pub(super) fn define(&mut self, name: &[u8], statement: Statement) {
        self.statements.insert(name, statement);
    }

    /// Bind: `portal` runs the statement `name`.
    pub(super) fn bind(&mut self, portal: &[u8], name: &[u8]) -> Option<Statement> {
        let statement = self.statement(name);
        match statement.clone() {
            Some(statement) => self.portals.insert(portal, statement),
            None => self.portals.remove(portal),
        }
        statement
    }

    pub(super) fn statement(&mut self, name: &[u8]) -> Option<Statement> {
        self.statements.get(name)
    }

    pub(super) fn portal(&mut self, name: &[u8]) -> Option<Statement> {
        self.portals.get(name)
    }

    pub(super) fn forget_statement(&mut self, name: &[u8]) {
        self.statements.remove(name);
    }

    pub(super) fn forget_portal(&mut self, name: &[u8]) {
        self.portals.remove(name);
    }

    /// A transaction ended, and its portals with it.
    pub(super) fn forget_portals(&mut self) {
        self.portals.clear();
    }

    pub(super) fn forget_all(&mut self) {
        self.statements.clear();
        self.portals.clear();
    }

    /// A simple query replaces the unnamed statement and portal ("Message Flow", "Extended Query").
    pub(super) fn forget_unnamed(&mut self) {
        self.statements.remove(b"");
        self.portals.remove(b"");
    }

    /// What executing this text does to names: `PREPARE`, `DEALLOCATE` and `DISCARD` share them with Parse.
    pub(super) fn apply(&mut self, statement: &str) {
        let words = [PREPARE, DEALLOCATE, DISCARD];
        let text = statement.trim().trim_end_matches(';');
        let single = memchr::memchr(b';', text.as_bytes()).is_none();
        let mut parts = text.split_whitespace();
        let first = parts.next().unwrap_or_default();
        if single && !first.starts_with("--") && !first.starts_with("/*") {
            if words.iter().any(|word| first.eq_ignore_ascii_case(word)) {
                self.apply_single(first, parts);
            }
        } else if [PREPARE, DEALLOCATE].iter().any(|word| contains_ignoring_case(text.as_bytes(), word.as_bytes()))
            || discards_all(text)
        {
            self.forget_all();
        }
    }

    fn apply_single<'a>(&mut self, first: &str, mut parts: impl Iterator<Item = &'a str>) {
        let mut name = parts.next().unwrap_or_default();
        if first.eq_ignore_ascii_case(DISCARD) && KEEPING.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
            return;
        }
        if first.eq_ignore_ascii_case(DEALLOCATE) && name.eq_ignore_ascii_case("PREPARE") {
            name = parts.next().unwrap_or_default();
        }
        // `PREPARE name(int) AS …`; anything but a plain name (DISCARD ALL, DEALLOCATE ALL, "quoted names") forgets all.
        let name = name.split('(').next().unwrap_or_default();
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !plain || first.eq_ignore_ascii_case(DISCARD) || name.eq_ignore_ascii_case("ALL") {
            self.forget_all();
        } else {
            self.forget_statement(name.to_ascii_lowercase().as_bytes());
        }
    }
}

/// True when one `DISCARD` in the text may be `DISCARD ALL`. Npgsql resets a pooled session that has prepared
/// statements with `…;DISCARD SEQUENCES;DISCARD TEMP`, which leaves them.
fn discards_all(text: &str) -> bool {
    if !contains_ignoring_case(text.as_bytes(), DISCARD.as_bytes()) {
        return false;
    }
    let upper = text.to_ascii_uppercase();
    upper.split(DISCARD).skip(1).any(|rest| {
        let word = rest.trim_start().split(|one: char| !one.is_ascii_alphabetic()).next().unwrap_or_default();
        !KEEPING.contains(&word)
    })
}

fn contains_ignoring_case(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(text: &str) -> Statement {
        Statement { text: text.into(), cut: false }
    }

    #[test]
    fn forgets_what_sql_takes_away() {
        for (sql, left) in [
            ("SELECT 1", 2),
            ("DEALLOCATE a;", 1),
            ("deallocate prepare A", 1),
            ("DEALLOCATE \"b\"", 0),
            ("DEALLOCATE ALL", 0),
            ("DISCARD ALL", 0),
            ("PREPARE b(int) AS SELECT $1", 1),
            ("SELECT 1; DEALLOCATE a", 0),
            ("/* x */ DISCARD ALL", 0),
            ("/* x */ DISCARD PLANS", 2),
            ("discard temp", 2),
            ("RESET ALL;DISCARD SEQUENCES;DISCARD TEMP", 2),
            ("DISCARD TEMP; discard /* x */ all", 0),
            ("SELECT ';'", 2),
        ] {
            let mut names = Names::default();
            names.define(b"a", statement("one"));
            names.define(b"b", statement("two"));
            names.apply(sql);
            let known = ["a", "b"].iter().filter(|name| names.statement(name.as_bytes()).is_some()).count();
            assert_eq!(known, left, "{sql}");
        }
    }

    #[test]
    fn binds_portals_and_forgets_unknown_ones() {
        let mut names = Names::default();
        names.define(b"s", statement("one"));
        assert_eq!(names.bind(b"p", b"s"), Some(statement("one")));
        names.forget_statement(b"s");
        assert_eq!(names.portal(b"p"), Some(statement("one")), "a portal outlives its statement");
        assert_eq!(names.bind(b"p", b"unknown"), None);
        assert_eq!(names.portal(b"p"), None, "never the old one");
    }
}
