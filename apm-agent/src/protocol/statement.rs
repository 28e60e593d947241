//! Texts of statements, and those of a session's prepared ones.
//!
//! What is remembered is either right or absent: an entry that could be stale is forgotten.

use std::collections::HashMap;
use std::sync::Arc;

/// Most bytes kept of a statement: 10,000 characters of four bytes, what Elastic takes.
pub(super) const STATEMENT_BYTES: usize = 40_000;
/// Most statements remembered in a table; the longest unused goes first.
const ENTRIES: usize = 1024;
/// Most bytes of texts and names remembered in a table.
const BYTES: usize = 4 * 1024 * 1024;

/// Text of a statement, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    /// The text.
    pub(super) text: Arc<str>,
    /// It is longer than `text`.
    pub(super) cut: bool,
}

impl Statement {
    /// Of a text, of which at most [`STATEMENT_BYTES`] are taken. `cut`: it goes on.
    pub(super) fn of(text: &[u8], cut: bool) -> Self {
        let cut = cut || text.len() > STATEMENT_BYTES;
        let text = text.get(..STATEMENT_BYTES).unwrap_or(text);
        let whole = if cut { without_part_of_character(text) } else { text };
        Statement { text: String::from_utf8_lossy(whole).into(), cut }
    }
}

/// Takes off the first bytes of a character whose rest was cut off.
fn without_part_of_character(text: &[u8]) -> &[u8] {
    match std::str::from_utf8(text) {
        Err(error) if error.error_len().is_none() => text.get(..error.valid_up_to()).unwrap_or(text),
        _ => text,
    }
}

/// Statements by name.
#[derive(Default)]
pub(super) struct Table {
    entries: HashMap<Box<[u8]>, (Statement, u64)>,
    bytes: usize,
    clock: u64,
}

impl Table {
    /// From here on `name` is this statement.
    pub(super) fn insert(&mut self, name: &[u8], statement: Statement) {
        self.remove(name);
        self.bytes += name.len() + statement.text.len();
        self.clock += 1;
        self.entries.insert(name.into(), (statement, self.clock));
        while self.entries.len() > ENTRIES || self.bytes > BYTES {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| name.clone())
            else {
                return;
            };
            self.remove(&oldest);
        }
    }

    /// The statement of this name.
    pub(super) fn get(&mut self, name: &[u8]) -> Option<Statement> {
        self.clock += 1;
        let (statement, used) = self.entries.get_mut(name)?;
        *used = self.clock;
        Some(statement.clone())
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, name: &[u8]) {
        if let Some((statement, _)) = self.entries.remove(name) {
            self.bytes -= name.len() + statement.text.len();
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Table::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_whole_characters_of_a_cut_statement() {
        let text = |bytes: &[u8], cut| {
            let statement = Statement::of(bytes, cut);
            (statement.text.to_string(), statement.cut)
        };
        assert_eq!(text("SELECT 'ä'".as_bytes(), false), ("SELECT 'ä'".to_owned(), false));
        let bytes = "SELECT 'ä".as_bytes();
        assert_eq!(text(bytes.get(..bytes.len() - 1).expect("shorter"), true), ("SELECT '".to_owned(), true));
        let (long, cut) = text(&vec![b'x'; STATEMENT_BYTES + 1], false);
        assert_eq!((long.len(), cut), (STATEMENT_BYTES, true));
    }

    #[test]
    fn forgets_the_longest_unused_first() {
        let mut table = Table::default();
        let statement = Statement::of(&[b'x'; 8192], false);
        for number in 0..600_u32 {
            table.insert(&number.to_le_bytes(), statement.clone());
            assert!(table.get(&0_u32.to_le_bytes()).is_some());
        }
        assert!(table.bytes <= BYTES && table.get(&1_u32.to_le_bytes()).is_none());
        assert!(table.get(&599_u32.to_le_bytes()).is_some());
        table.clear();
        assert_eq!((table.bytes, table.entries.len()), (0, 0));
    }
}
