//! Truth: an id in each URL and in each SQL statement tells which transaction a span belongs to.

use std::collections::HashMap;

use serde_json::Value;

use crate::documents::{Documents, text};

/// How the spans of a run hang on its transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// On the transaction with the same id.
    pub right: usize,
    /// On another.
    pub wrong: usize,
    /// On none: reported as an exit transaction.
    pub unlinked: usize,
}

impl Links {
    /// Judges every span that has an id in its statement.
    pub fn of(documents: &Documents) -> Self {
        let requests: HashMap<(&str, &str), &Value> =
            documents.transactions().map(|found| (key(found), found)).collect();
        let mut links = Self::default();
        for span in documents.spans() {
            let Some(id) = statement_id(text(span, "span.db.statement")) else { continue };
            match requests.get(&key(span)) {
                Some(request) if text(request, "transaction.type") != "request" => links.unlinked += 1,
                Some(request) if path_id(text(request, "url.path")) == Some(id) => links.right += 1,
                Some(_) => links.wrong += 1,
                None => links.unlinked += 1,
            }
        }
        links
    }

    /// Part of the spans that hang on the right transaction, 0 to 1, of `expected` spans.
    pub fn recall(&self, expected: usize) -> f64 {
        self.right as f64 / expected as f64
    }
}

fn key(document: &Value) -> (&str, &str) {
    (text(document, "trace.id"), text(document, "transaction.id"))
}

/// `/item/17` → 17
fn path_id(path: &str) -> Option<u32> {
    path.rsplit('/').next()?.parse().ok()
}

/// `… WHERE id = 17` or `… WHERE id <= 17` → 17
fn statement_id(statement: &str) -> Option<u32> {
    statement.split_once(" WHERE id ")?.1.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_right_wrong_and_unlinked_spans() {
        let request = |id: &str, path: &str, kind: &str| json!({"trace": {"id": "t"}, "transaction": {"id": id, "type": kind}, "url": {"path": path}});
        let span = |id: &str, statement: &str| json!({"trace": {"id": "t"}, "transaction": {"id": id}, "span": {"name": "SELECT","db": {"statement": statement}}});
        let documents = Documents::from_iter([
            request("a", "/item/1", "request"),
            request("b", "", "exit"),
            span("a", "SELECT name FROM items WHERE id = 1"),
            span("a", "SELECT name FROM items WHERE id = 2"),
            span("b", "SELECT name FROM items WHERE id = 3"),
            span("a", "SELECT 1"),
        ]);
        assert_eq!(Links::of(&documents), Links { right: 1, wrong: 1, unlinked: 1 });
    }
}
