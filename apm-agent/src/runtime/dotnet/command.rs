//! SqlClient's commands. It tells of a command's beginning and of its end, and says who it was in between only by a
//! number; threads hand over their events in batches, so that the end may be heard first.

use std::collections::{HashMap, VecDeque};

use crate::{
    bridge::{Context, SpanEnded, SpanKind, SpanStatus, Thrown},
    correlate::{SpanId, TraceId},
    exchange::Nanos,
};

/// Commands under way, and ends without a beginning, that are remembered at most, each.
const MOST: usize = 16_384;

/// How long an end is remembered whose beginning was not heard: the command began before we listened.
const PATIENCE: Nanos = 10_000_000_000;

/// A command that begins.
#[derive(Debug)]
pub(super) struct Begun {
    pub began: Nanos,
    /// Place of the activity it belongs to.
    pub within: Option<Context>,
    pub statement: String,
    /// The statement is the name of a stored procedure.
    pub procedure: bool,
    /// `tcp:HOST,PORT`, `HOST\INSTANCE` (SqlConnection.ConnectionString, keyword Data Source).
    pub server: String,
    pub database: String,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct End {
    pub time: Nanos,
    pub failed: bool,
    /// What was thrown, where that could be read.
    pub exception: Option<Thrown>,
}

/// The commands of one process.
#[derive(Debug, Default)]
pub(super) struct Commands {
    begun: HashMap<String, Begun>,
    ended: HashMap<String, End>,
    early: VecDeque<(Nanos, String)>,
    /// Commands not remembered because there were too many.
    pub lost: u64,
}

impl Commands {
    /// A command began: itself as a span, and its end, when that is known already.
    pub(super) fn began(&mut self, operation: String, begun: Begun) -> Option<(SpanEnded, End)> {
        if let Some(end) = self.ended.remove(&operation) {
            return Some(begun.ended(end));
        }
        if self.begun.len() >= MOST {
            self.lost += 1;
            return None;
        }
        self.begun.insert(operation, begun);
        None
    }

    /// A command ended.
    pub(super) fn ended(&mut self, operation: String, end: End) -> Option<(SpanEnded, End)> {
        if let Some(begun) = self.begun.remove(&operation) {
            return Some(begun.ended(end));
        }
        while self.early.len() >= MOST || self.early.front().is_some_and(|(time, _)| *time + PATIENCE < end.time) {
            let Some((_, oldest)) = self.early.pop_front() else { break };
            self.ended.remove(&oldest);
        }
        self.early.push_back((end.time, operation.clone()));
        self.ended.insert(operation, end);
        None
    }
}

impl Begun {
    fn ended(self, end: End) -> (SpanEnded, End) {
        let (server, port) = data_source(&self.server);
        let mut attributes = vec![
            ("db.system".to_owned(), "mssql".to_owned()),
            ("db.name".to_owned(), self.database),
            ("server.address".to_owned(), server),
        ];
        attributes.extend(port.map(|port| ("server.port".to_owned(), port)));
        attributes.extend(self.procedure.then(|| ("db.stored_procedure.name".to_owned(), self.statement.clone())));
        attributes.push(("db.statement".to_owned(), self.statement));
        let lasted = end.time.saturating_sub(self.began);
        let span = call("Microsoft.Data.SqlClient", self.within, lasted, end.failed, attributes);
        (span, end)
    }
}

/// A command that no activity is: a span of its own below the activity it was made in. `duration` is in nanoseconds.
pub(super) fn call(
    source: &str,
    within: Option<Context>,
    duration: u64,
    failed: bool,
    attributes: Vec<(String, String)>,
) -> SpanEnded {
    let span = SpanId(fastrand::u64(1..));
    let context = match within {
        Some(within) => Context { span, parent: Some(within.span), ..within },
        None => Context { trace: TraceId(fastrand::u128(1..)), span, parent: None, sampled: true },
    };
    SpanEnded {
        source: source.into(),
        name: String::new(),
        context,
        remote_parent: false,
        duration,
        kind: SpanKind::Client,
        status: if failed { SpanStatus::Error } else { SpanStatus::Unset },
        attributes,
    }
}

fn data_source(text: &str) -> (String, Option<String>) {
    let text = text.trim().strip_prefix("tcp:").unwrap_or(text);
    let (server, port) = match text.split_once(',') {
        Some((server, port)) => (server, Some(port.trim().to_owned())),
        None => (text, None),
    };
    (server.split('\\').next().unwrap_or_default().to_owned(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(began: Nanos) -> Begun {
        Begun {
            began,
            within: None,
            statement: "get_item".into(),
            procedure: true,
            server: "tcp:db.example,1433".into(),
            database: "shop".into(),
        }
    }

    fn end(time: Nanos) -> End {
        End { time, failed: true, exception: None }
    }

    #[test]
    fn beginning_and_end_come_in_any_order() {
        let mut commands = Commands::default();
        assert!(commands.began("a".into(), begun(10)).is_none());
        assert!(commands.ended("b".into(), end(25)).is_none());
        let (first, end_of_first) = commands.ended("a".into(), end(30)).expect("it had begun");
        let (second, end_of_second) = commands.began("b".into(), begun(20)).expect("it had ended");
        assert_eq!((first.duration, end_of_first.time), (20, 30));
        assert_eq!((second.duration, end_of_second.time), (5, 25));
        assert_eq!((second.status, second.kind), (SpanStatus::Error, SpanKind::Client));
        let attribute = |name: &str| second.attributes.iter().find(|(known, _)| known == name).map(|(_, v)| v.as_str());
        assert_eq!(attribute("server.port"), Some("1433"));
        assert_eq!(attribute("db.stored_procedure.name"), Some("get_item"));
        assert!(commands.begun.is_empty() && commands.ended.is_empty());
    }

    #[test]
    fn what_never_meets_is_bounded() {
        let mut commands = Commands::default();
        assert!(commands.ended("old".into(), end(1)).is_none());
        assert!(commands.ended("new".into(), end(2 + PATIENCE)).is_none());
        assert!(commands.began("old".into(), begun(0)).is_none(), "forgotten");
        for number in 0..=MOST {
            commands.began(number.to_string(), begun(1));
        }
        assert_eq!((commands.begun.len(), commands.lost), (MOST, 2));
    }

    #[test]
    fn data_sources_have_hosts_and_ports() {
        assert_eq!(data_source("tcp:db.example,1433"), ("db.example".to_owned(), Some("1433".to_owned())));
        assert_eq!(data_source("db\\SQLEXPRESS"), ("db".to_owned(), None));
    }
}
