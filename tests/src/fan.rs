//! Truth across three services: `/fan/ID` of the first calls `/down/ID/N` of the second twice and asks the database, and
//! the second calls `/leaf/ID/N` of the third. The id in each URL and in each statement tells what belongs together.

use std::collections::HashMap;

use serde_json::Value;

use crate::documents::{Documents, text};

/// Links that one `/fan` makes: a query and two calls below it, two requests below these, two calls below these
/// requests, and two requests below these calls.
pub const LINKS: usize = 9;

/// How documents hang together. A link is that of a span to its transaction, or that of a transaction to the span of the
/// service before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// `/fan` requests reported.
    pub fans: usize,
    /// Queries below their request.
    pub queries: usize,
    /// Calls below their request.
    pub calls: usize,
    /// Requests below the call that made them.
    pub requests: usize,
    /// Spans and requests below something else.
    pub wrong: usize,
    /// Spans below nothing that is a request, and requests without a parent.
    pub unlinked: usize,
    /// Requests below a span that was not reported.
    pub dangling: usize,
}

/// Place of a document.
type Key<'a> = (&'a str, &'a str);

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Fan(u32),
    Down(u32, u32),
    Leaf(u32, u32),
    Query(u32),
}

impl Truth {
    /// Judges what is about ids that `counts` likes. `caller`: the parent of a `/fan`, when the caller sent one.
    pub fn of(documents: &Documents, counts: impl Fn(u32) -> bool, caller: impl Fn(u32) -> Option<String>) -> Self {
        let served: HashMap<Key<'_>, &Value> = documents.requests().map(|found| (own(found), found)).collect();
        let made: HashMap<Key<'_>, &Value> =
            documents.spans().map(|span| ((text(span, "trace.id"), text(span, "span.id")), span)).collect();
        // Of a call that only the run time told of, .NET 8 knows no address.
        let made_by = |span: &Value| {
            let request = served.get(&(text(span, "trace.id"), text(span, "transaction.id")))?;
            Subject::of_path(text(request, "url.path"))
        };
        let mut truth = Self::default();
        for span in documents.spans() {
            let Some(subject) = Subject::of_span(span).filter(|subject| counts(subject.id())) else { continue };
            let request = served.get(&(text(span, "trace.id"), text(span, "transaction.id")));
            let below = text(span, "parent.id") == text(span, "transaction.id");
            match request.map(|request| Subject::of_path(text(request, "url.path"))) {
                Some(found) if below && found == subject.maker() => match subject {
                    Subject::Query(_) => truth.queries += 1,
                    _ => truth.calls += 1,
                },
                Some(_) => truth.wrong += 1,
                None => truth.unlinked += 1,
            }
        }
        for request in documents.requests() {
            let subject = Subject::of_path(text(request, "url.path"));
            let Some(subject) = subject.filter(|subject| counts(subject.id())) else { continue };
            let parent = text(request, "parent.id");
            if let Subject::Fan(id) = subject {
                truth.fans += 1;
                truth.wrong += usize::from(parent != caller(id).unwrap_or_default());
                continue;
            }
            match made.get(&(text(request, "trace.id"), parent)) {
                Some(call) if Subject::of_span(call) == Some(subject) => truth.requests += 1,
                Some(call) if Subject::of_span(call).is_none() && made_by(call) == subject.maker() => {
                    truth.requests += 1
                }
                None if parent.is_empty() => truth.unlinked += 1,
                Some(_) => truth.wrong += 1,
                None => truth.dangling += 1,
            }
        }
        truth
    }

    /// Part of the links made that are right, 0 to 1.
    pub fn precision(&self) -> f64 {
        let right = self.right();
        right as f64 / (right + self.wrong).max(1) as f64
    }

    /// Part of the links of so many `/fan` that were made, and right.
    pub fn recall(&self, fans: usize) -> f64 {
        self.right() as f64 / (fans * LINKS) as f64
    }

    /// Links of so many `/fan` that were not made.
    pub fn missing(&self, fans: usize) -> usize {
        (fans * LINKS).saturating_sub(self.right())
    }

    fn right(&self) -> usize {
        self.queries + self.calls + self.requests
    }
}

impl Subject {
    fn of_path(path: &str) -> Option<Self> {
        let mut words = path.strip_prefix('/')?.split('/');
        let (route, id) = (words.next()?, words.next()?.parse().ok()?);
        match (route, words.next().map(str::parse)) {
            ("fan", None) => Some(Self::Fan(id)),
            ("down", Some(Ok(number))) => Some(Self::Down(id, number)),
            ("leaf", Some(Ok(number))) => Some(Self::Leaf(id, number)),
            _ => None,
        }
    }

    fn of_span(span: &Value) -> Option<Self> {
        if let Some((_, id)) = text(span, "span.db.statement").split_once(" WHERE id = ") {
            return id.parse().ok().map(Self::Query);
        }
        let (_, rest) = text(span, "url.original").split_once("://")?;
        Self::of_path(rest.get(rest.find('/')?..)?)
    }

    /// Whose this span is.
    fn maker(self) -> Option<Self> {
        match self {
            Self::Query(id) | Self::Down(id, _) => Some(Self::Fan(id)),
            Self::Leaf(id, number) => Some(Self::Down(id, number)),
            Self::Fan(_) => None,
        }
    }

    fn id(self) -> u32 {
        match self {
            Self::Fan(id) | Self::Query(id) | Self::Down(id, _) | Self::Leaf(id, _) => id,
        }
    }
}

fn own(request: &Value) -> Key<'_> {
    (text(request, "trace.id"), text(request, "transaction.id"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(id: &str, parent: &str, path: &str) -> Value {
        json!({"trace": {"id": "t"}, "transaction": {"id": id, "type": "request"}, "parent": {"id": parent}, "url": {"path": path}})
    }

    fn call(id: &str, transaction: &str, url: &str) -> Value {
        json!({"trace": {"id": "t"}, "transaction": {"id": transaction}, "parent": {"id": transaction},
            "span": {"id": id, "name": "GET"}, "url": {"original": url}})
    }

    fn query(transaction: &str, id: u32) -> Value {
        json!({"trace": {"id": "t"}, "transaction": {"id": transaction}, "parent": {"id": transaction},
            "span": {"id": "q", "name": "SELECT", "db": {"statement": format!("SELECT name FROM items WHERE id = {id}")}}})
    }

    fn judge(documents: impl IntoIterator<Item = Value>) -> Truth {
        Truth::of(&Documents::from_iter(documents), |id| id < 100, |_| None)
    }

    #[test]
    fn what_belongs_together_is_right() {
        let documents = [
            request("a", "", "/fan/1"),
            query("a", 1),
            call("b", "a", "http://h:1/down/1/2"),
            request("c", "b", "/down/1/2"),
            call("d", "c", "http://h:1/leaf/1/2"),
            request("e", "d", "/leaf/1/2"),
            query("a", 100),
        ];
        let truth = judge(documents);
        assert_eq!(truth, Truth { fans: 1, queries: 1, calls: 2, requests: 2, wrong: 0, unlinked: 0, dangling: 0 });
        assert_eq!((truth.precision(), truth.recall(1)), (1.0, 5.0 / 9.0));
    }

    #[test]
    fn what_belongs_elsewhere_is_wrong() {
        let wrong = |documents: &[Value]| judge(documents.to_vec()).wrong;
        assert_eq!(wrong(&[request("a", "", "/fan/1"), query("a", 2)]), 1);
        assert_eq!(wrong(&[request("a", "", "/down/1/2"), call("b", "a", "http://h/down/1/2")]), 1, "and no parent");
        assert_eq!(wrong(&[request("a", "", "/down/1/1"), call("b", "a", "http://h/leaf/1/2")]), 1);
        assert_eq!(wrong(&[call("b", "a", "http://h/down/1/1"), request("c", "b", "/down/1/2")]), 1);
        assert_eq!(wrong(&[request("a", "b", "/fan/1")]), 1, "a parent that was not sent");
    }

    #[test]
    fn what_hangs_on_nothing_is_unlinked() {
        let truth = judge([query("a", 1), request("c", "", "/leaf/1/2")]);
        assert_eq!((truth.wrong, truth.unlinked, truth.precision()), (0, 2, 0.0));
        assert_eq!(judge([request("c", "b", "/down/1/2")]).dangling, 1, "a parent that nobody reported");
    }
}
