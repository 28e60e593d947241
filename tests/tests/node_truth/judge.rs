//! What of the documents is true.

use std::{
    collections::{HashMap, HashSet},
    io::Write as _,
};

use anyhow::Result;
use apm_tests::documents::{Documents, text};
use serde_json::Value;

use super::{LINKS, UNCOUNTED};

/// How documents hang together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Links that are right, by what is linked.
    pub right: HashMap<String, u32>,
    /// Spans below another request, and requests below another call.
    pub wrong: u32,
    /// Below nothing that was reported.
    pub unlinked: u32,
    /// Told a second time.
    pub twice: u32,
}

/// Place of a document.
type Key<'a> = (&'a str, &'a str);

impl Truth {
    /// Judges what is about counted ids.
    pub fn of(documents: &Documents) -> Self {
        let mut truth = Self::default();
        let served: HashMap<Key<'_>, &Value> = documents.requests().map(|found| (key(found), found)).collect();
        let made: HashMap<Key<'_>, &Value> =
            documents.spans().map(|span| ((text(span, "trace.id"), text(span, "span.id")), span)).collect();
        let mut seen = HashSet::new();
        for span in documents.spans() {
            let Some((what, id)) = subject(span).filter(|(_, id)| *id < UNCOUNTED) else { continue };
            truth.twice += u32::from(!seen.insert((what.clone(), id)));
            let request = served.get(&key(span)).map(|request| text(request, "url.path"));
            let below = text(span, "parent.id") == text(span, "transaction.id");
            truth.judge(what, request.map(|path| below && path == format!("/fan/{id}")));
        }
        for request in documents.requests() {
            let path = text(request, "url.path");
            let Some(("leaf", id)) = split(path).filter(|(_, id)| *id < UNCOUNTED) else { continue };
            let way = path.split('/').nth(2).unwrap_or_default();
            truth.twice += u32::from(!seen.insert((format!("request by {way}"), id)));
            let parent = made.get(&(text(request, "trace.id"), text(request, "parent.id")));
            truth.judge(format!("request by {way}"), parent.map(|call| text(call, "url.original").ends_with(path)));
        }
        truth
    }

    fn judge(&mut self, what: String, link: Option<bool>) {
        match link {
            Some(true) => *self.right.entry(what).or_default() += 1,
            Some(false) => self.wrong += 1,
            None => self.unlinked += 1,
        }
    }

    /// Together with another.
    pub fn add(&mut self, other: Self) {
        for (what, count) in other.right {
            *self.right.entry(what).or_default() += count;
        }
        self.wrong += other.wrong;
        self.unlinked += other.unlinked;
        self.twice += other.twice;
    }

    /// Part of the links that are there and right, 0 to 1.
    pub fn recall(&self, requests: u32) -> f64 {
        f64::from(self.right.values().sum::<u32>()) / f64::from(requests * LINKS)
    }

    /// Part of what hangs on something that hangs where it belongs, 0 to 1.
    pub fn precision(&self) -> f64 {
        let right = f64::from(self.right.values().sum::<u32>());
        right / (right + f64::from(self.wrong))
    }

    /// As text, which is told past libtest's capture, too: these are figures to be read, not only limits.
    ///
    /// # Errors
    /// If nobody takes it.
    pub fn figures(&self, who: &str, requests: u32) -> Result<String> {
        let (precision, recall) = (self.precision(), self.recall(requests));
        let figures = format!("{who}, {requests} requests: precision {precision:.5}, recall {recall:.5}, {self:?}");
        writeln!(std::io::stderr(), "node_truth: {figures}")?;
        Ok(figures)
    }
}

fn key(document: &Value) -> Key<'_> {
    (text(document, "trace.id"), text(document, "transaction.id"))
}

/// `/fan/7` and `/leaf/http/7`
fn split(path: &str) -> Option<(&str, u32)> {
    let (rest, id) = path.rsplit_once('/')?;
    Some((rest.trim_start_matches('/').split('/').next()?, id.parse().ok()?))
}

/// What a span is and whose: the id stands in its statement, its URL, or the name of a Redis command.
fn subject(span: &Value) -> Option<(String, u32)> {
    let statement = text(span, "span.db.statement");
    let subtype = text(span, "span.subtype");
    if let Some((_, rest)) = statement.split_once("'id=") {
        let (id, column) = rest.split_once(".' AS ")?;
        return Some((format!("{subtype} {column}"), id.parse().ok()?));
    }
    if let Some((_, rest)) = text(span, "span.name").split_once("ID=") {
        return Some((subtype.to_owned(), rest.split('.').next()?.parse().ok()?));
    }
    let (_, path) = text(span, "url.original").split_once("/leaf/")?;
    let (way, id) = path.split_once('/')?;
    Some((format!("call by {way}"), id.parse().ok()?))
}
