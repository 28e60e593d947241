//! Calls the service made become spans.

use std::borrow::Cow;

use super::{
    DbContext, Destination, EpochMicros, HttpCall, Outcome, Place, Span,
    destination::{self, Addresses, Called},
    outcome, sql,
    truncation::{LONG_FIELD, truncate, truncate_incomplete},
    url,
};
use crate::{
    correlate::SpanId,
    exchange::{Command, Exchange, Http, Sql, SqlOperation},
};

/// Name of a statement whose text nobody knows, as Elastic's Node agent has it.
const UNKNOWN_STATEMENT: &str = "SQL";

/// All of a span that its exchange decides. Its place in the trace and its times are the caller's.
#[derive(Clone, Debug, PartialEq)]
pub struct CallParts {
    /// As in [`Span::name`].
    pub name: String,
    /// As in [`Span::kind`].
    pub kind: &'static str,
    /// As in [`Span::subtype`].
    pub subtype: Cow<'static, str>,
    /// As in [`Span::action`].
    pub action: String,
    /// As in [`Span::outcome`].
    pub outcome: Outcome,
    /// As in [`Span::destination`].
    pub destination: Destination,
    /// As in [`Span::db`].
    pub db: Option<DbContext>,
    /// As in [`Span::http`].
    pub http: Option<HttpCall>,
    /// The call carried a trace context: somebody may be its child, so it may be neither merged nor dropped.
    pub propagated: bool,
}

/// Describes an outgoing HTTP call.
pub fn from_http(exchange: &Exchange, http: &Http, addresses: &Addresses) -> CallParts {
    let url = url::of_call(http, addresses);
    let target = destination::service_target("external", "http", Called::Url(&url.host_and_port()));
    let name = match http.method.is_empty() {
        true => url.written.clone(),
        false => format!("{} {}", http.method, url.written),
    };
    CallParts {
        name,
        kind: "external",
        subtype: "http".into(),
        action: http.method.clone(),
        outcome: outcome::of_http_client(exchange, http),
        destination: Destination { address: Some(url.host), port: Some(url.port), target },
        db: None,
        http: Some(HttpCall { url: url.full, method: http.method.clone(), status: http.status }),
        propagated: ["traceparent", "elastic-apm-traceparent"]
            .iter()
            .any(|name| url::header(&http.headers, name).is_some()),
    }
}

/// Describes a round trip to a SQL database.
pub fn from_sql(exchange: &Exchange, sql: &Sql, addresses: &Addresses) -> CallParts {
    CallParts {
        name: sql_name(sql),
        kind: "db",
        subtype: sql.system.into(),
        action: sql_action(sql.operation).to_owned(),
        outcome: outcome::of_database(exchange, sql.error.as_ref()),
        destination: destination::of_database(sql.system, sql.database.as_deref(), &addresses.remote),
        db: Some(DbContext {
            instance: sql.database.clone(),
            statement: statement(sql),
            kind: "sql".into(),
            user: sql.user.clone(),
            rows_affected: sql.rows_affected,
        }),
        http: None,
        propagated: false,
    }
}

/// Describes a command to a database that knows no SQL.
pub fn from_command(exchange: &Exchange, command: &Command, addresses: &Addresses) -> CallParts {
    let name = if command.name.is_empty() { command.system } else { &command.name };
    // Elastic's specification names the command as MongoDB's action, and Redis' is a query.
    let action = if command.system == "mongodb" { &command.name } else { "query" };
    let statement = command.statement.as_deref().map(|text| cut(text, command.statement_cut));
    let database = command.database.as_deref();
    CallParts {
        name: command.collection.as_ref().map_or_else(|| name.to_owned(), |collection| format!("{collection}.{name}")),
        kind: "db",
        subtype: command.system.into(),
        action: action.to_owned(),
        outcome: outcome::of_database(exchange, command.error.as_ref()),
        destination: destination::of_database(command.system, database, &addresses.remote),
        db: Some(DbContext {
            instance: command.database.clone(),
            statement,
            kind: command.system.into(),
            ..DbContext::default()
        }),
        http: None,
        propagated: false,
    }
}

/// Names follow Elastic's Go agent: `connect` for a session's start, `ping`, else the statement's signature.
fn sql_name(sql: &Sql) -> String {
    if matches!(sql.operation, SqlOperation::Connect | SqlOperation::Ping) {
        return sql_action(sql.operation).to_owned();
    }
    let signature = sql.statement.as_deref().map(sql::signature).unwrap_or_default();
    match (signature.is_empty(), sql.operation) {
        (false, _) => signature,
        (true, SqlOperation::Copy) => "COPY".to_owned(),
        (true, _) => UNKNOWN_STATEMENT.to_owned(),
    }
}

fn sql_action(operation: SqlOperation) -> &'static str {
    match operation {
        SqlOperation::Query => "query",
        SqlOperation::Prepare => "prepare",
        SqlOperation::Connect => "connect",
        SqlOperation::Copy => "copy",
        SqlOperation::Ping => "ping",
        SqlOperation::Other => "exec",
    }
}

fn statement(sql: &Sql) -> Option<String> {
    sql.statement.as_deref().map(|text| cut(text, sql.statement_cut))
}

fn cut(text: &str, incomplete: bool) -> String {
    match incomplete {
        true => truncate_incomplete(text, LONG_FIELD),
        false => truncate(text, LONG_FIELD).into_owned(),
    }
}

impl CallParts {
    /// As Elastic's .NET agent words it: calls are named by the host without its port, statements are one line.
    #[must_use]
    pub fn as_dotnet(mut self) -> Self {
        if let (Some(http), Some(host)) = (&self.http, &self.destination.address)
            && !http.method.is_empty()
        {
            self.name = format!("{} {host}", http.method);
        }
        if let Some(statement) = self.db.as_mut().and_then(|db| db.statement.as_mut()) {
            *statement = statement.replace("\r\n", " ").replace('\n', " ");
        }
        self
    }

    /// Puts the call into its trace. `duration` is in nanoseconds.
    pub fn into_span(self, place: Place, transaction: Option<SpanId>, start: EpochMicros, duration: u64) -> Span {
        Span {
            place,
            transaction,
            name: self.name,
            kind: self.kind,
            subtype: self.subtype,
            action: self.action,
            outcome: self.outcome,
            start,
            duration,
            destination: self.destination,
            composite: None,
            db: self.db,
            http: self.http,
            queue: None,
            otel: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        build::{destination::Endpoint, sample},
        exchange::{Ending, Payload},
    };

    fn exchange(ending: Ending) -> Exchange {
        sample::exchange(ending, Payload::Http(Http::default()))
    }

    fn addresses() -> Addresses {
        Addresses { remote: Endpoint::Ip("127.0.0.1:5432".parse().unwrap()), ..Addresses::default() }
    }

    fn query(sql: Sql) -> CallParts {
        from_sql(&exchange(Ending::Complete), &sql, &addresses())
    }

    #[test]
    fn describes_an_http_call() {
        let http = sample::http("/x?y=z", &[("Host", "api.example:8081")]);
        let parts = from_http(&exchange(Ending::Complete), &http, &addresses());
        assert_eq!((parts.name.as_str(), parts.action.as_str()), ("GET api.example:8081", "GET"));
        assert_eq!(parts.destination.address.as_deref(), Some("api.example"));
        assert_eq!(parts.destination.port, Some(8081));
        assert_eq!(parts.destination.target.name.as_deref(), Some("api.example:8081"));
        let call = parts.http.unwrap();
        assert_eq!((call.url.as_str(), call.status), ("http://api.example:8081/x?y=z", Some(200)));
        assert!(!parts.propagated);
    }

    #[test]
    fn words_as_elastic_s_dotnet_agent() {
        let http = sample::http("/x", &[("Host", "[::1]:8081")]);
        assert_eq!(from_http(&exchange(Ending::Complete), &http, &addresses()).as_dotnet().name, "GET ::1");
        let parts = query(sample::sql("SELECT *\r\nFROM products\nLIMIT 1")).as_dotnet();
        assert_eq!(parts.name, "SELECT FROM products");
        assert_eq!(parts.db.unwrap().statement.as_deref(), Some("SELECT * FROM products LIMIT 1"));
    }

    #[test]
    fn sees_a_context_the_caller_sent() {
        let http = sample::http("/", &[("Host", "h"), ("TraceParent", "00-…")]);
        assert!(from_http(&exchange(Ending::Complete), &http, &addresses()).propagated);
    }

    #[test]
    fn describes_a_query() {
        let parts = query(sample::sql("SELECT * FROM products"));
        assert_eq!((parts.kind, parts.subtype.as_ref(), parts.action.as_str()), ("db", "postgresql", "query"));
        assert_eq!(parts.name, sql::signature("SELECT * FROM products"));
        assert_eq!(parts.destination.port, Some(5432));
        assert_eq!(parts.destination.target.name.as_deref(), Some("shop"));
        let db = parts.db.unwrap();
        assert_eq!((db.kind.as_ref(), db.user.as_deref(), db.rows_affected), ("sql", Some("app"), Some(3)));
        assert_eq!(db.statement.as_deref(), Some("SELECT * FROM products"));
    }

    #[test]
    fn describes_a_command() {
        let command = Command { system: "redis", name: "GET".into(), ..Command::default() };
        let parts = from_command(&exchange(Ending::Complete), &command, &addresses());
        assert_eq!((parts.name.as_str(), parts.kind, parts.subtype.as_ref()), ("GET", "db", "redis"));
        assert_eq!((parts.action.as_str(), parts.outcome), ("query", Outcome::Success));
        let target = &parts.destination.target;
        assert_eq!((target.kind.as_str(), target.name.as_deref()), ("redis", None));
        let db = parts.db.unwrap();
        assert_eq!((db.kind.as_ref(), db.statement, db.instance), ("redis", None, None));
        let find = Command {
            system: "mongodb",
            name: "find".into(),
            database: Some("shop".into()),
            collection: Some("items".into()),
            statement: Some("{}".into()),
            ..command
        };
        let parts = from_command(&exchange(Ending::Complete), &find, &addresses());
        assert_eq!((parts.name.as_str(), parts.action.as_str()), ("items.find", "find"));
        assert_eq!(parts.destination.target.name.as_deref(), Some("shop"));
        let db = parts.db.unwrap();
        assert_eq!((db.kind.as_ref(), db.statement.as_deref()), ("mongodb", Some("{}")));
        let unknown = Command { system: "mongodb", ..Command::default() };
        assert_eq!(from_command(&exchange(Ending::Lost), &unknown, &addresses()).name, "mongodb");
    }

    #[test]
    fn names_what_has_no_text() {
        let named = |operation| {
            let parts = query(Sql { operation, statement: None, ..sample::sql("") });
            (parts.name, parts.action)
        };
        let pair = |name: &str, action: &str| (name.to_owned(), action.to_owned());
        assert_eq!(named(SqlOperation::Query), pair("SQL", "query"));
        assert_eq!(named(SqlOperation::Prepare), pair("SQL", "prepare"));
        assert_eq!(named(SqlOperation::Connect), pair("connect", "connect"));
        assert_eq!(named(SqlOperation::Copy), pair("COPY", "copy"));
        assert_eq!(named(SqlOperation::Ping), pair("ping", "ping"));
        assert_eq!(named(SqlOperation::Other), pair("SQL", "exec"));
        assert_eq!(query(sample::sql("  ")).name, "SQL");
    }

    #[test]
    fn cuts_long_and_marks_incomplete_statements() {
        let text = |sql| query(sql).db.unwrap().statement.unwrap();
        let long = text(sample::sql(&"ä".repeat(10_001)));
        assert_eq!((long.chars().count(), long.chars().last()), (LONG_FIELD, Some('…')));
        assert_eq!(text(Sql { statement_cut: true, ..sample::sql("SELECT 1") }), "SELECT 1…");
    }

    #[test]
    fn uses_only_types_elastic_allows() {
        let types: Value =
            serde_json::from_str(include_str!("../../tests/data/vectors/json-specs/span_types.json")).unwrap();
        let http = from_http(&exchange(Ending::Complete), &sample::http("/", &[]), &addresses());
        let command = |system| {
            let command = Command { system, ..Command::default() };
            from_command(&exchange(Ending::Complete), &command, &addresses())
        };
        let mysql = query(Sql { system: "mysql", ..sample::sql("SELECT 1") });
        for parts in [http, query(sample::sql("SELECT 1")), mysql, command("redis"), command("mongodb")] {
            assert!(
                types[parts.kind]["subtypes"][parts.subtype.as_ref()].is_object(),
                "{}/{}",
                parts.kind,
                parts.subtype
            );
        }
    }
}
