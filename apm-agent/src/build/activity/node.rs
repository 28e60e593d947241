//! Libraries of Node.js whose calls our script tells of (`runtime::node`): their spans become what Elastic's Node.js agent
//! sends.

use std::borrow::Cow;

use super::{
    super::{
        DbContext, Destination, HttpCall, Outcome, ServiceTarget,
        destination::{self, Addresses, Called},
        sql,
        truncation::{LONG_FIELD, truncate},
        url,
    },
    Attributes, Parts, name, outcome, status,
};
use crate::{bridge::SpanEnded, exchange::Http};

/// What a library speaks.
#[derive(Clone, Copy)]
enum Speaks {
    Http,
    Sql(&'static str),
    Redis,
    Memcached,
    Mongo,
    Cassandra,
    Elasticsearch,
    WebSocket,
    GraphQl,
    Kafka,
    /// A service of AWS, with the type of its spans.
    Aws(&'static str),
}

/// The script's names of libraries.
const LIBRARIES: &[(&str, Speaks)] = &[
    ("http", Speaks::Http),
    ("undici", Speaks::Http),
    ("http2", Speaks::Http),
    ("pg", Speaks::Sql("postgresql")),
    ("mysql", Speaks::Sql("mysql")),
    ("mysql2", Speaks::Sql("mysql")),
    ("ioredis", Speaks::Redis),
    ("redis", Speaks::Redis),
    ("memcached", Speaks::Memcached),
    ("mongodb", Speaks::Mongo),
    ("tedious", Speaks::Sql("mssql")),
    ("cassandra-driver", Speaks::Cassandra),
    ("elasticsearch", Speaks::Elasticsearch),
    ("ws", Speaks::WebSocket),
    ("graphql", Speaks::GraphQl),
    ("kafkajs", Speaks::Kafka),
    ("s3", Speaks::Aws("storage")),
    ("dynamodb", Speaks::Aws("db")),
    ("sqs", Speaks::Aws("messaging")),
    ("sns", Speaks::Aws("messaging")),
];

/// What stands behind the name of a statement that is only prepared (SQL Server).
const PREPARE: &str = " (prepare)";

/// `None`: the source is not one of them.
pub(super) fn describe(ended: &SpanEnded) -> Option<Parts> {
    let attributes = Attributes(&ended.attributes);
    match speaks(ended)? {
        Speaks::Http => Some(http(ended, attributes)),
        Speaks::Sql(system) => Some(query(ended, attributes, system)),
        Speaks::Redis => Some(command(ended, attributes, "redis", "query")),
        Speaks::Memcached => Some(command(ended, attributes, "memcached", attributes.operation().unwrap_or_default())),
        Speaks::Mongo => Some(command(ended, attributes, "mongodb", attributes.operation().unwrap_or_default())),
        Speaks::Cassandra => Some(cassandra(ended, attributes)),
        Speaks::Elasticsearch => Some(search(ended, attributes)),
        Speaks::WebSocket => Some(message(ended)),
        Speaks::GraphQl => Some(operation(ended)),
        Speaks::Kafka => Some(sending(ended, attributes)),
        Speaks::Aws(kind) => Some(aws(ended, attributes, kind)),
    }
}

/// It is one of them.
pub(super) fn is_known(ended: &SpanEnded) -> bool {
    speaks(ended).is_some()
}

/// A library that makes its calls by HTTP says more of them than their HTTP does.
pub(super) fn is_more_than_http(ended: &SpanEnded) -> bool {
    matches!(speaks(ended), Some(Speaks::Elasticsearch | Speaks::Aws(_)))
}

/// Elastic's Node.js agent names a command `DATABASE.COLLECTION.COMMAND`; the wire's span has the name of its Go agent.
pub(super) fn own_name(ended: &SpanEnded) -> Option<&str> {
    matches!(speaks(ended), Some(Speaks::Mongo)).then_some(&ended.name)
}

fn speaks(ended: &SpanEnded) -> Option<Speaks> {
    LIBRARIES.iter().find(|(library, _)| *library == ended.source).map(|(_, speaks)| *speaks)
}

/// A request of Elasticsearch: its path is the name, and the body of a search the statement.
fn search(ended: &SpanEnded, attributes: Attributes<'_>) -> Parts {
    let parts = command(ended, attributes, "elasticsearch", "request");
    let http = attributes.url().map(|url| HttpCall {
        url: url.to_owned(),
        method: attributes.method().unwrap_or_default().to_owned(),
        status: attributes.http_status(),
    });
    Parts { http, ..parts }
}

/// A message is sent on a connection that may be anybody's: where to is not told.
fn message(ended: &SpanEnded) -> Parts {
    let target = ServiceTarget { kind: "send".into(), name: None };
    Parts {
        name: name(ended),
        kind: "websocket",
        subtype: "send".into(),
        outcome: outcome(status(ended)),
        destination: Destination { target, ..Destination::default() },
        ..Parts::default()
    }
}

/// An operation is executed inside the program: nothing is called.
fn operation(ended: &SpanEnded) -> Parts {
    Parts {
        name: name(ended),
        kind: "db",
        subtype: "graphql".into(),
        action: "execute".to_owned(),
        outcome: outcome(status(ended)),
        ..Parts::default()
    }
}

/// Messages for one topic or several. Elastic's agent says no address either.
fn sending(ended: &SpanEnded, attributes: Attributes<'_>) -> Parts {
    let queue = attributes.messaging_destination();
    let target = destination::service_target("messaging", "kafka", Called::Queue(queue));
    Parts {
        name: name(ended),
        kind: "messaging",
        subtype: "kafka".into(),
        action: "send".to_owned(),
        outcome: outcome(status(ended)),
        destination: Destination { target, ..Destination::default() },
        queue: queue.map(str::to_owned),
        ..Parts::default()
    }
}

/// A command of AWS goes to a bucket, a queue or topic, or to the tables of a region.
fn aws(ended: &SpanEnded, attributes: Attributes<'_>, kind: &'static str) -> Parts {
    let queue = attributes.messaging_destination().map(str::to_owned);
    let region = attributes.get(&["db.namespace"]).map(str::to_owned);
    let called =
        attributes.get(&["aws.s3.bucket"]).map(str::to_owned).or_else(|| queue.clone()).or_else(|| region.clone());
    let status_code = attributes.http_status().filter(|_| kind == "storage");
    let db = DbContext {
        instance: region,
        statement: attributes.statement().map(|text| truncate(text, LONG_FIELD).into_owned()),
        kind: Cow::Owned(ended.source.clone()),
        ..DbContext::default()
    };
    Parts {
        name: name(ended),
        kind,
        subtype: Cow::Owned(ended.source.clone()),
        action: attributes.get(&["rpc.method"]).unwrap_or_default().to_owned(),
        outcome: outcome(status(ended)),
        destination: Destination {
            target: ServiceTarget { kind: ended.source.clone(), name: called },
            ..attributes.destination()
        },
        db: (kind == "db").then_some(db),
        http: status_code.map(|status| HttpCall { status: Some(status), ..HttpCall::default() }),
        queue,
        ..Parts::default()
    }
}

/// The name has the port when the caller wrote one.
fn http(ended: &SpanEnded, attributes: Attributes<'_>) -> Parts {
    let method = attributes.method().unwrap_or_default();
    let full = attributes.url().unwrap_or_default();
    let url = url::of_call(&Http { target: full.to_owned(), ..Http::default() }, &Addresses::default());
    let http_status = attributes.http_status();
    Parts {
        name: format!("{method} {}", url.written),
        kind: "external",
        subtype: "http".into(),
        action: method.to_owned(),
        outcome: match http_status {
            Some(100..400) => Outcome::Success,
            Some(_) => Outcome::Failure,
            None => outcome(status(ended)),
        },
        destination: Destination {
            address: Some(url.host.clone()),
            port: Some(url.port),
            target: ServiceTarget { kind: "http".into(), name: Some(url.host_and_port()) },
        },
        http: Some(HttpCall { url: url.full, method: method.to_owned(), status: http_status }),
        ..Parts::default()
    }
}

/// A failed query is a failure; Elastic's agent calls it a success.
fn query(ended: &SpanEnded, attributes: Attributes<'_>, system: &'static str) -> Parts {
    let statement = attributes.statement();
    let signature = statement.map(sql::signature).filter(|signature| !signature.is_empty());
    let db = DbContext {
        instance: attributes.db_instance(system).map(str::to_owned),
        statement: statement.map(|text| truncate(text, LONG_FIELD).into_owned()),
        kind: Cow::Borrowed("sql"),
        user: attributes.db_user().map(str::to_owned),
        rows_affected: None,
    };
    let mut called = signature.unwrap_or_else(|| name(ended));
    if ended.name.ends_with(PREPARE) && !called.ends_with(PREPARE) {
        called.push_str(PREPARE);
    }
    database(ended, attributes, system, called, "query", db)
}

/// What stands before the name of what is no single statement.
const CASSANDRA: &str = "Cassandra: ";

/// A statement, a batch, or the connection to a cluster. Elastic's agent says no address either.
fn cassandra(ended: &SpanEnded, attributes: Attributes<'_>) -> Parts {
    let parts = query(ended, attributes, "cassandra");
    let db = parts.db.map(|db| DbContext { kind: Cow::Borrowed("cassandra"), ..db });
    match ended.name.strip_prefix(CASSANDRA) {
        None => Parts { db, ..parts },
        Some(what) => {
            let action = if what == "Connect" { "connect" } else { "query" };
            Parts { name: ended.name.clone(), action: action.to_owned(), db, ..parts }
        }
    }
}

/// Of a command no more is told than the script does: of Redis its name, of memcached its key, too, of MongoDB its
/// database.
fn command(ended: &SpanEnded, attributes: Attributes<'_>, system: &'static str, action: &str) -> Parts {
    let statement = attributes.statement().map(|text| truncate(text, LONG_FIELD).into_owned());
    let instance = attributes.db_instance(system).map(str::to_owned);
    let db = DbContext { instance, statement, kind: Cow::Borrowed(system), user: None, rows_affected: None };
    database(ended, attributes, system, name(ended), action, db)
}

fn database(
    ended: &SpanEnded,
    attributes: Attributes<'_>,
    system: &'static str,
    name: String,
    action: &str,
    db: DbContext,
) -> Parts {
    let target = destination::service_target("db", system, Called::Database(db.instance.as_deref()));
    Parts {
        name,
        kind: "db",
        subtype: Cow::Borrowed(system),
        action: action.to_owned(),
        outcome: outcome(status(ended)),
        destination: Destination { target, ..attributes.destination() },
        db: Some(db),
        ..Parts::default()
    }
}
