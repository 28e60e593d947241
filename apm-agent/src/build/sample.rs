//! Values for the tests of `build`, `intake` and `send`.

use super::*;
use crate::exchange::{Ending, Exchange, Http, Payload, Sql, SqlOperation, Stamp};

pub(crate) fn exchange(ending: Ending, payload: Payload) -> Exchange {
    Exchange {
        serial: 0,
        opened: Stamp { time: 1_000_000, mark: 0 },
        request_end: Some(1_100_000),
        response_start: None,
        closed: Stamp { time: 3_000_000, mark: 0 },
        ending,
        payload,
    }
}

pub(crate) fn http(target: &str, headers: &[(&str, &str)]) -> Http {
    Http {
        method: "GET".into(),
        target: target.into(),
        version: "1.1",
        headers: headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        status: Some(200),
        ..Http::default()
    }
}

pub(crate) fn sql(statement: &str) -> Sql {
    Sql {
        system: "postgresql",
        operation: SqlOperation::Query,
        statement: Some(statement.into()),
        statement_cut: false,
        database: Some("shop".into()),
        user: Some("app".into()),
        rows_affected: Some(3),
        error: None,
    }
}

pub(crate) fn place(id: u64, parent: Option<u64>) -> Place {
    Place { trace: TraceId(0xabc), id: SpanId(id), parent: parent.map(SpanId), sample_rate: Some(1.0) }
}

/// A transaction with id 1 that starts at 1 s and takes 20 ms.
pub(crate) fn transaction() -> Transaction {
    Transaction {
        place: place(1, None),
        name: "GET unknown route".into(),
        kind: "request",
        result: Some("HTTP 2xx".into()),
        outcome: Outcome::Success,
        start: 1_000_000,
        duration: 20_000_000,
        spans_started: 1,
        spans_dropped: 0,
        dropped_spans: Vec::new(),
        links: Vec::new(),
        http: Some(HttpContext {
            method: "GET".into(),
            version: "1.1".into(),
            url: Url {
                full: "http://localhost:8080/products?id=1".into(),
                raw: "/products?id=1".into(),
                protocol: "http".into(),
                hostname: "localhost".into(),
                port: Some(8080),
                pathname: "/products".into(),
                search: Some("id=1".into()),
            },
            headers: vec![("Accept".into(), "a".into()), ("accept".into(), "b".into()), ("Host".into(), "l".into())],
            body_redacted: true,
            remote_address: Some("127.0.0.1".into()),
            status: Some(200),
            response_headers: vec![("Content-Type".into(), "text/plain".into())],
        }),
        otel: None,
    }
}

/// A query below [`transaction`], from 1.002 s, 5 ms long.
pub(crate) fn span(id: u64) -> Span {
    Span {
        place: place(id, Some(1)),
        transaction: Some(SpanId(1)),
        name: "SELECT FROM products".into(),
        kind: "db",
        subtype: "postgresql".into(),
        action: "query".into(),
        outcome: Outcome::Success,
        start: 1_002_000,
        duration: 5_000_000,
        destination: Destination {
            address: Some("127.0.0.1".into()),
            port: Some(5432),
            target: ServiceTarget { kind: "postgresql".into(), name: Some("shop".into()) },
        },
        composite: None,
        db: Some(DbContext {
            instance: Some("shop".into()),
            statement: Some("SELECT * FROM products\nWHERE id = $1".into()),
            kind: "sql".into(),
            user: Some("app".into()),
            rows_affected: Some(3),
        }),
        http: None,
        queue: None,
        otel: None,
    }
}

/// An error inside span 2 of [`transaction`].
pub(crate) fn error() -> ErrorEvent {
    let within = ErrorPlace {
        trace: TraceId(0xabc),
        transaction: Some(SpanId(1)),
        parent: SpanId(2),
        transaction_name: Some("GET unknown route".into()),
        transaction_type: Some("request"),
        sampled: true,
    };
    ErrorEvent {
        kind: "ECONNREFUSED".into(),
        message: "connect ECONNREFUSED 127.0.0.1:5432".into(),
        code: Some("ECONNREFUSED".into()),
        ..ErrorEvent::new(TraceId(0xe), 1_003_000, Some(within))
    }
}

/// A frame of the user's own code.
pub(crate) fn frame(class: &str, function: &str, line: u32) -> Frame {
    Frame {
        class: Some(class.into()),
        function: function.into(),
        file: Some("/src/Program.cs".into()),
        line: Some(line),
        ..Frame::default()
    }
}

/// An exception that came from another, thrown below a library.
pub(crate) fn thrown() -> Thrown {
    let library =
        Frame { class: Some("System.Int32".into()), function: "Parse".into(), library: true, ..Frame::default() };
    Thrown {
        kind: "Shop.Broken".into(),
        message: "no order".into(),
        frames: vec![library, frame("Shop.Orders", "Place", 7), frame("Program", "Main", 3)],
        causes: vec![Thrown {
            kind: "System.FormatException".into(),
            message: "not a number".into(),
            frames: vec![frame("Shop.Orders", "Read", 9)],
            causes: vec![Thrown { kind: "Deep".into(), ..Thrown::default() }],
            ..Thrown::default()
        }],
        ..Thrown::default()
    }
}
