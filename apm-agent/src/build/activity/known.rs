//! Sources Elastic's .NET agent has an instrumentation of its own for: `HttpClient`, and drivers of ADO.NET. Their
//! spans become what that instrumentation sends, with nothing of OpenTelemetry in it.

use std::borrow::Cow;

use super::{
    super::{
        Destination, HttpCall, Outcome, ServiceTarget,
        destination::{self, Addresses, Called},
        sql,
        truncation::{LONG_FIELD, truncate},
        url::{self, CallUrl},
    },
    Attributes, Parts, attribute, name, outcome, status,
};
use crate::{
    bridge::{SpanEnded, SpanStatus},
    exchange::Http,
};

/// Source of `HttpClient`'s spans. Before .NET 9 they have no attributes.
const HTTP_CLIENT: &str = "System.Net.Http";

/// Sources of SQL drivers' spans: the drivers' own, and the instrumentations of OpenTelemetry for those that have none.
const SQL_SOURCES: &[&str] = &[
    "Npgsql",
    "MySqlConnector",
    "connector-net",
    "Microsoft.Data.SqlClient",
    "System.Data.SqlClient",
    "OpenTelemetry.Instrumentation.SqlClient",
    "OpenTelemetry.Instrumentation.EntityFrameworkCore",
    "Oracle.ManagedDataAccess.Core",
];

/// SQL products and their ports.
const SQL_SYSTEMS: &[(&str, Option<u16>)] = &[
    ("postgresql", Some(5432)),
    ("mssql", Some(1433)),
    ("mysql", Some(3306)),
    ("mariadb", Some(3306)),
    ("oracle", Some(1521)),
    ("sqlite", None),
    ("db2", Some(50000)),
];

/// `None`: the source is not one of them.
pub(super) fn describe(ended: &SpanEnded) -> Option<Parts> {
    let attributes = Attributes(&ended.attributes);
    if ended.source == HTTP_CLIENT {
        return Some(http(ended, attributes));
    }
    let system = attributes.db_system().filter(|_| SQL_SOURCES.contains(&ended.source.as_str()))?;
    let subtype = attribute::db_subtype(system);
    let (system, port) = SQL_SYSTEMS.iter().find(|(known, _)| *known == subtype)?;
    Some(query(ended, attributes, system, *port))
}

fn http(ended: &SpanEnded, attributes: Attributes<'_>) -> Parts {
    let method = attributes.method().unwrap_or_default();
    let url = attributes.url().filter(|full| full.contains("://")).map(of_url);
    let name_of_target = url.as_ref().map(CallUrl::host_and_port).or_else(|| attributes.peer());
    let target = ServiceTarget { kind: "http".into(), name: name_of_target };
    let told = attributes.destination();
    let (address, port) = match &url {
        Some(url) => (Some(url.host.clone()), Some(url.port)),
        None => (told.address, told.port),
    };
    let named = address.as_ref().filter(|_| !method.is_empty()).map(|host| format!("{method} {host}"));
    let http_status = attributes.http_status();
    let call = |url: CallUrl| HttpCall { url: url.full, method: method.to_owned(), status: http_status };
    Parts {
        name: named.unwrap_or_else(|| name(ended)),
        kind: "external",
        subtype: "http".into(),
        action: method.to_owned(),
        outcome: match http_status {
            Some(100..400) => Outcome::Success,
            Some(_) => Outcome::Failure,
            None => outcome(status(ended)),
        },
        destination: Destination { address, port, target },
        http: url.map(call),
        ..Parts::default()
    }
}

fn of_url(full: &str) -> CallUrl {
    url::of_call(&Http { target: full.to_owned(), ..Http::default() }, &Addresses::default())
}

fn query(ended: &SpanEnded, attributes: Attributes<'_>, system: &'static str, port: Option<u16>) -> Parts {
    // As Elastic's agent has it: the text in one line.
    let statement = attributes.statement().map(|text| text.replace("\r\n", " ").replace('\n', " "));
    let signature = statement.as_deref().map(sql::signature).filter(|signature| !signature.is_empty());
    let instance = attributes.db_instance(system).map(str::to_owned);
    let target = destination::service_target("db", system, Called::Database(instance.as_deref()));
    let told = attributes.destination();
    // A unix socket has no port.
    let by_path = told.address.as_deref().is_none_or(|address| address.starts_with('/'));
    let default_port = port.filter(|_| !by_path);
    let db = super::DbContext {
        instance,
        statement: statement.as_deref().map(|text| truncate(text, LONG_FIELD).into_owned()),
        kind: Cow::Borrowed("sql"),
        user: attributes.db_user().map(str::to_owned),
        rows_affected: None,
    };
    Parts {
        action: action(ended, attributes).to_owned(),
        name: signature.unwrap_or_else(|| name(ended)),
        kind: "db",
        subtype: Cow::Borrowed(system),
        outcome: match status(ended) {
            SpanStatus::Error => Outcome::Failure,
            SpanStatus::Unset | SpanStatus::Ok => Outcome::Success,
        },
        destination: Destination { port: told.port.or(default_port), address: told.address, target },
        db: Some(db),
        ..Parts::default()
    }
}

/// A stored procedure is executed, a session without a statement connects.
fn action(ended: &SpanEnded, attributes: Attributes<'_>) -> &'static str {
    let operation = attributes.operation().unwrap_or_default();
    if attributes.get(&["db.stored_procedure.name"]).is_some() || operation == "CALL" {
        "exec"
    } else if attributes.statement().is_none() && ended.name.starts_with("CONNECT") {
        "connect"
    } else {
        "query"
    }
}
