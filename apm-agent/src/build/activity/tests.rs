use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::{
    bridge::Context,
    build::{destination::Addresses, sample, span::from_sql},
    config::Capture,
    correlate::TraceId,
    exchange::{Ending, Http, Payload, Sql},
};

const FEATURE: &str = include_str!("../../../tests/data/gherkin/otel_bridge.feature");

fn ended(kind: SpanKind, attributes: &[(&str, &str)]) -> SpanEnded {
    let parent = Some(SpanId(7));
    SpanEnded {
        source: "Shop".into(),
        name: "work".into(),
        context: Context { trace: TraceId(5), span: SpanId(6), parent, sampled: true },
        remote_parent: false,
        duration: 1_500,
        kind,
        status: SpanStatus::Unset,
        attributes: attributes.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
    }
}

fn as_span(ended: &SpanEnded) -> Span {
    span(ended, 9, Some(SpanId(8)), Some(0.5))
}

fn as_transaction(ended: &SpanEnded) -> Transaction {
    transaction(ended, 9, Some(0.5), &Rules::default())
}

fn kind(word: &str) -> SpanKind {
    match word {
        "INTERNAL" => SpanKind::Internal,
        "SERVER" => SpanKind::Server,
        "CLIENT" => SpanKind::Client,
        "PRODUCER" => SpanKind::Producer,
        "CONSUMER" => SpanKind::Consumer,
        other => panic!("{other}"),
    }
}

/// The rows of a scenario's table of examples, by column.
fn examples(title: &str) -> Vec<BTreeMap<&'static str, &'static str>> {
    let scenario = FEATURE.split("Scenario").find(|scenario| scenario.lines().next().unwrap().contains(title)).unwrap();
    let (_, table) = scenario.split_once("Examples:").unwrap();
    let cells = |line: &'static str| line.trim().trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let mut rows = table.lines().filter(|line| line.trim_start().starts_with('|')).map(cells);
    let columns = rows.next().unwrap();
    let rows: Vec<_> = rows.map(|row| columns.iter().copied().zip(row).collect()).collect();
    assert!(!rows.is_empty(), "{title}");
    rows
}

/// Runs a table of client spans: columns with a dot are attributes.
fn check_calls(title: &str, kind: SpanKind, span_type: &str, subtype: &str, resource: &str) {
    for row in examples(title) {
        let attributes: Vec<_> = row.iter().filter(|(name, _)| name.contains('.')).map(|(n, v)| (*n, *v)).collect();
        let ended = ended(kind, &attributes);
        let span = as_span(&ended);
        let subtype = row.get(subtype).copied().unwrap_or(subtype);
        assert_eq!((span.kind, span.subtype.as_ref()), (span_type, subtype), "{row:?}");
        assert_eq!(span.otel.unwrap().attributes, ended.attributes, "as they are: {row:?}");
        let target = &span.destination.target;
        assert_eq!(destination::resource(span.kind, target), row[resource], "{row:?}");
        assert_eq!(target.kind, subtype, "{row:?}");
        // A resource of the system alone is what a call without a name for its target has.
        let name = Some(row["target_service_name"]).filter(|name| !name.is_empty() && *name != subtype);
        assert_eq!(target.name.as_deref(), name, "{row:?}");
    }
}

#[test]
fn agrees_with_elastic_on_kinds() {
    for row in examples("for spans & default span type") {
        let span = as_span(&ended(kind(row["kind"]), &[]));
        assert_eq!((span.kind, span.subtype.as_ref()), (row["default_type"], row["default_subtype"]), "{row:?}");
        assert_eq!(span.otel.unwrap().kind, kind(row["kind"]));
        assert!(span.destination.target.is_empty());
    }
    for row in examples("for transactions & default transaction type") {
        let transaction = as_transaction(&ended(kind(row["kind"]), &[]));
        assert_eq!((transaction.kind, transaction.otel.unwrap().kind), ("unknown", kind(row["kind"])));
    }
}

#[test]
fn agrees_with_elastic_on_status() {
    let word = |outcome| match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Unknown => "unknown",
    };
    for title in ["> for transactions\n", "> for spans\n"] {
        let title = title.trim_end();
        let title = &format!("with status <status{title}");
        for row in examples(title) {
            let status = match row["status"] {
                "unset" => SpanStatus::Unset,
                "ok" => SpanStatus::Ok,
                _ => SpanStatus::Error,
            };
            let ended = SpanEnded { status, ..ended(SpanKind::Server, &[]) };
            let transaction = as_transaction(&ended);
            assert_eq!((word(transaction.outcome), transaction.result), (row["outcome"], None));
            assert_eq!(word(as_span(&ended).outcome), row["outcome"]);
        }
    }
}

#[test]
fn agrees_with_elastic_on_transactions() {
    for row in examples("HTTP server") {
        let attributes = ["http.url", "http.scheme"].map(|name| (name, row[name]));
        assert_eq!(as_transaction(&ended(SpanKind::Server, &attributes)).kind, "request", "{row:?}");
    }
    let of = |kind, attribute| as_transaction(&ended(kind, &[attribute])).kind;
    assert_eq!(of(SpanKind::Server, ("rpc.system", "grpc")), "request");
    assert_eq!(of(SpanKind::Server, ("url.full", "http://h/")), "request");
    assert_eq!(of(SpanKind::Consumer, ("messaging.system", "anything")), "messaging");
    assert_eq!(of(SpanKind::Client, ("http.url", "http://h/")), "unknown");
}

#[test]
fn agrees_with_elastic_on_calls() {
    check_calls("HTTP client", SpanKind::Client, "external", "http", "target_service_name");
    check_calls("DB client", SpanKind::Client, "db", "db.system", "resource");
    check_calls("Messaging producer", SpanKind::Producer, "messaging", "messaging.system", "resource");
    check_calls("RPC client", SpanKind::Client, "external", "rpc.system", "resource");
}

#[test]
fn tells_transactions_from_spans_and_places_them() {
    let inner = ended(SpanKind::Internal, &[]);
    let remote = SpanEnded { remote_parent: true, ..inner.clone() };
    let mut root = inner.clone();
    root.context.parent = None;
    assert!(is_transaction(&remote) && is_transaction(&root) && !is_transaction(&inner));
    let place = Place { trace: TraceId(5), id: SpanId(6), parent: Some(SpanId(7)), sample_rate: Some(0.5) };
    let transaction = as_transaction(&remote);
    assert_eq!((transaction.place, transaction.start, transaction.duration), (place, 9, 1_500));
    let span = as_span(&inner);
    assert_eq!((span.place, span.transaction, span.start, span.duration), (place, Some(SpanId(8)), 9, 1_500));
    assert_eq!((span.name.as_str(), span.is_exit()), ("work", false));
    assert_eq!(as_span(&SpanEnded { name: String::new(), ..inner }).name, "unnamed");
    let rules = Rules::new(&Capture { name_groups: vec!["wor*".into()], ..Capture::default() });
    assert_eq!(super::transaction(&remote, 9, None, &rules).name, "wor*");
}

#[test]
fn reads_new_names_as_old_ones() {
    type Texts<'a> = &'a [(&'a str, &'a str)];
    let pairs: [(Texts<'_>, Texts<'_>); 4] = [
        (
            &[("http.url", "https://h/x"), ("net.peer.name", "h")],
            &[("url.full", "https://h/x"), ("server.address", "h")],
        ),
        (
            &[("db.system", "mongodb"), ("db.name", "shop"), ("db.statement", "{}"), ("net.peer.port", "1")],
            &[("db.system.name", "mongodb"), ("db.namespace", "shop"), ("db.query.text", "{}"), ("server.port", "1")],
        ),
        (
            &[("messaging.system", "kafka"), ("messaging.destination", "q")],
            &[("messaging.system", "kafka"), ("messaging.destination.name", "q")],
        ),
        (
            &[("rpc.system", "grpc"), ("net.peer.ip", "::1")],
            &[("rpc.system.name", "grpc"), ("network.peer.address", "::1")],
        ),
    ];
    for (old, new) in pairs {
        let [old, new] =
            [old, new].map(|attributes| Span { otel: None, ..as_span(&ended(SpanKind::Client, attributes)) });
        assert_eq!(old, new);
        assert!(!old.destination.target.is_empty());
    }
    let db = as_span(&ended(SpanKind::Client, &[("db.system.name", "azure.cosmosdb"), ("db.namespace", "a")]));
    assert_eq!((db.subtype.as_ref(), db.action.as_str()), ("cosmosdb", "query"));
    assert_eq!(db.destination.target.name.as_deref(), Some("a"));
    let cluster = as_span(&ended(SpanKind::Client, &[("db.system", "elasticsearch"), ("db.namespace", "cluster")]));
    assert_eq!(cluster.destination.target.name, None);
}

#[test]
fn bounds_attributes() {
    let names: Vec<String> = (0..200).map(|number| (number % 100).to_string()).collect();
    let attributes: Vec<_> = names.iter().enumerate().map(|(at, name)| (name.as_str(), ["a", "b"][at / 100])).collect();
    let otel = as_span(&ended(SpanKind::Internal, &attributes)).otel.unwrap();
    assert_eq!(otel.attributes.len(), 100);
    assert_eq!((otel.attributes[27].1.as_str(), otel.attributes[28].1.as_str()), ("b", "a"));
}

/// Activities recorded of a program, as [`SpanEnded`].
fn recorded(text: &str) -> Vec<SpanEnded> {
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let word = |key: &str| value[key].as_str().unwrap().to_owned();
        let pairs: Vec<(String, String)> = serde_json::from_value(value["attributes"].clone()).unwrap();
        SpanEnded {
            source: word("source"),
            name: word("name"),
            status: match word("status").as_str() {
                "Unset" => SpanStatus::Unset,
                "Ok" => SpanStatus::Ok,
                _ => SpanStatus::Error,
            },
            attributes: pairs,
            ..ended(kind(&word("kind").to_uppercase()), &[])
        }
    };
    text.lines().map(read).collect()
}

fn spans(text: &str, source: &str) -> Vec<Span> {
    recorded(text).iter().filter(|ended| ended.source == source).map(as_span).collect()
}

const NET_10: &str = include_str!("../../../tests/data/dotnet/spans/npgsql-10.jsonl");
const NET_8: &str = include_str!("../../../tests/data/dotnet/spans/npgsql-9.jsonl");
const SOCKET: &str = include_str!("../../../tests/data/dotnet/spans/npgsql-10-socket.jsonl");

#[test]
fn says_http_client_s_calls_as_elastic_s_agent() {
    let calls = spans(NET_10, "System.Net.Http");
    let row = |span: &Span| (span.name.clone(), span.action.clone(), span.http.as_ref().unwrap().status, span.outcome);
    let local = |method: &str| (format!("{method} 127.0.0.1"), method.to_owned());
    let expected = [
        ("GET", Some(200), Outcome::Success),
        ("GET", Some(404), Outcome::Failure),
        ("POST", Some(501), Outcome::Failure),
        ("GET", None, Outcome::Failure),
    ];
    let expected = expected.map(|(method, status, outcome)| (local(method).0, local(method).1, status, outcome));
    assert_eq!(calls.iter().map(row).collect::<Vec<_>>(), expected);
    let first = &calls[0];
    assert_eq!((first.kind, first.subtype.as_ref(), &first.otel), ("external", "http", &None));
    let target = ServiceTarget { kind: "http".into(), name: Some("127.0.0.1:8099".into()) };
    let destination = Destination { address: Some("127.0.0.1".into()), port: Some(8099), target };
    assert_eq!(first.destination, destination);
    assert_eq!(first.http.as_ref().unwrap().url, "http://127.0.0.1:8099/a?*");
}

#[test]
fn claims_nothing_of_http_calls_without_attributes() {
    let calls = spans(NET_8, "System.Net.Http");
    assert_eq!(calls.len(), 4);
    assert_eq!(calls[0].name, "System.Net.Http.HttpRequestOut");
    assert_eq!((calls[0].outcome, &calls[0].http, calls[0].action.as_str()), (Outcome::Unknown, &None, ""));
    assert_eq!(calls[0].destination.target, ServiceTarget { kind: "http".into(), name: None });
    let mut odd =
        ended(SpanKind::Client, &[("http.request.method", "GET"), ("server.address", "::1"), ("url.full", "x")]);
    odd.source = "System.Net.Http".into();
    let odd = as_span(&odd);
    assert_eq!((odd.name.as_str(), odd.http), ("GET ::1", None));
    let mut secret = ended(SpanKind::Client, &[("url.full", "https://a:b@h/x")]);
    secret.source = "System.Net.Http".into();
    assert_eq!(as_span(&secret).http.unwrap().url, "https://h/x");
}

#[test]
fn says_npgsql_s_commands_as_elastic_s_agent() {
    let names = |spans: &[Span]| spans.iter().map(|span| (span.name.clone(), span.action.clone())).collect::<Vec<_>>();
    let pair = |name: &str, action: &str| (name.to_owned(), action.to_owned());
    let commands = [
        pair("CREATE", "query"),
        pair("SELECT FROM orders", "query"),
        pair("SELECT FROM nowhere", "query"),
        pair("NOTHING", "exec"),
        pair("SELECT", "query"),
        pair("INSERT INTO orders", "query"),
    ];
    let (new, old) = (spans(NET_10, "Npgsql"), spans(NET_8, "Npgsql"));
    assert_eq!(names(&new)[0], pair("CONNECT postgres", "connect"));
    assert_eq!(names(&new)[1..7], commands);
    assert_eq!(names(&new)[7], pair("COPY", "query"));
    assert_eq!(names(&old)[..6], commands);
    for (new, old) in new[1..7].iter().zip(&old) {
        let user = |user: Option<&str>| DbContext { user: user.map(str::to_owned), ..new.db.clone().unwrap() };
        assert_eq!((new.kind, new.subtype.as_ref(), &new.otel), ("db", "postgresql", &None));
        assert_eq!((&new.destination, new.outcome), (&old.destination, old.outcome));
        assert_eq!((old.db.clone().unwrap(), new.db.clone().unwrap()), (user(Some("app")), user(None)));
    }
    let select = &new[2];
    let db = select.db.clone().unwrap();
    assert_eq!((db.kind.as_ref(), db.instance.as_deref()), ("sql", Some("postgres")));
    assert_eq!(db.statement.as_deref(), Some("SELECT * FROM orders WHERE id = 1"));
    assert_eq!((select.destination.address.as_deref(), select.destination.port), (Some("localhost"), Some(5499)));
    assert_eq!((select.outcome, new[3].outcome), (Outcome::Success, Outcome::Failure));
    assert!(select.is_exit());
    let socket = &spans(SOCKET, "Npgsql")[1].destination;
    assert_eq!((socket.address.as_deref(), socket.port), (Some("/tmp/docs5/pgdata"), None));
}

#[test]
fn knows_other_sql_drivers_by_their_source() {
    let of = |source: &str, attributes: &[(&str, &str)]| {
        as_span(&SpanEnded { source: source.into(), ..ended(SpanKind::Client, attributes) })
    };
    let statement = ("db.statement", "SELECT * FROM t");
    for system in ["mssql", "microsoft.sql_server"] {
        let attributes = [("db.system", system), ("db.namespace", "instance|shop"), statement, ("server.address", "h")];
        let call = of("OpenTelemetry.Instrumentation.SqlClient", &attributes);
        assert_eq!((call.name.as_str(), call.subtype.as_ref(), &call.otel), ("SELECT FROM t", "mssql", &None));
        assert_eq!(call.destination.target.name.as_deref(), Some("shop"));
        assert_eq!((call.destination.port, call.outcome), (Some(1433), Outcome::Success));
    }
    let other = of("Shop", &[("db.system", "mssql"), statement]);
    assert!(other.otel.is_some() && other.name == "work");
    assert!(of("Npgsql", &[]).otel.is_some(), "no database is told");
}

#[test]
fn uses_only_types_elastic_allows() {
    let types = include_str!("../../../tests/data/vectors/json-specs/span_types.json");
    let types: Value = serde_json::from_str(types).unwrap();
    for span in recorded(NET_10).iter().chain(&recorded(NET_8)).map(as_span) {
        assert!(types[span.kind]["subtypes"][span.subtype.as_ref()].is_object(), "{}/{}", span.kind, span.subtype);
    }
    for (system, expected) in [("oracle.db", "oracle"), ("ibm.db2", "db2"), ("aws.dynamodb", "dynamodb")] {
        assert_eq!(attribute::db_subtype(system), expected);
        assert!(types["db"]["subtypes"][expected].is_object(), "{expected}");
    }
}

proptest::proptest! {
    /// Attributes of any content: no panic, and a database's span is one.
    #[test]
    fn takes_any_attributes(text in "[a-z:/@|.\\[\\] é]{0,30}", names in proptest::collection::vec(0usize..12, 0..6)) {
        let known = ["url.full", "http.scheme", "http.host", "db.system", "db.namespace", "db.query.text", "server.port",
            "server.address", "messaging.system", "rpc.system", "http.response.status_code", "otel.status_code"];
        let attributes: Vec<_> = names.iter().map(|at| (known[*at], text.as_str())).collect();
        for source in ["System.Net.Http", "Npgsql", "Shop"] {
            let ended = SpanEnded { source: source.into(), ..ended(SpanKind::Client, &attributes) };
            let has_system = !text.is_empty() && names.contains(&3) && source != "System.Net.Http";
            assert!(!has_system || as_span(&ended).kind == "db");
            as_span(&ended);
            as_transaction(&ended);
        }
    }
}

#[test]
fn calls_of_node_are_those_of_elastics_agent() {
    let of = |source: &str, status, attributes: &[(&str, &str)]| {
        as_span(&SpanEnded { source: source.into(), status, ..ended(SpanKind::Client, attributes) })
    };
    let url =
        [("http.request.method", "GET"), ("url.full", "http://shop:8080/a?b"), ("http.response.status_code", "404")];
    for source in ["http", "undici"] {
        let span = of(source, SpanStatus::Error, &url);
        assert_eq!((span.name.as_str(), span.kind, span.subtype.as_ref()), ("GET shop:8080", "external", "http"));
        assert_eq!((span.action.as_str(), span.outcome), ("GET", Outcome::Failure));
        assert_eq!((span.destination.address.as_deref(), span.destination.port), (Some("shop"), Some(8080)));
        assert_eq!(destination::resource(span.kind, &span.destination.target), "shop:8080");
        let call = span.http.expect("a call");
        assert_eq!((call.url.as_str(), call.status), ("http://shop:8080/a?b", Some(404)));
        assert!(span.otel.is_none());
    }
    let query = [
        ("db.system.name", "postgresql"),
        ("db.query.text", "SELECT *\nFROM items"),
        ("db.namespace", "shop"),
        ("db.user", "app"),
        ("server.address", "db"),
        ("server.port", "5432"),
    ];
    let span = of("pg", SpanStatus::Ok, &query);
    assert_eq!((span.name.as_str(), span.kind, span.subtype.as_ref()), ("SELECT FROM items", "db", "postgresql"));
    assert_eq!((span.action.as_str(), span.outcome), ("query", Outcome::Success));
    assert_eq!(destination::resource(span.kind, &span.destination.target), "postgresql/shop");
    assert_eq!((span.destination.address.as_deref(), span.destination.port), (Some("db"), Some(5432)));
    let db = span.db.expect("a database");
    assert_eq!((db.statement.as_deref(), db.kind.as_ref()), (Some("SELECT *\nFROM items"), "sql"));
    assert_eq!((db.instance.as_deref(), db.user.as_deref()), (Some("shop"), Some("app")));
    assert_eq!(of("pg", SpanStatus::Error, &query).outcome, Outcome::Failure);

    let command = [("db.system.name", "redis"), ("server.address", "cache"), ("server.port", "6379")];
    for source in ["ioredis", "redis"] {
        let span = of(source, SpanStatus::Ok, &command);
        assert_eq!((span.name.as_str(), span.kind, span.subtype.as_ref()), ("work", "db", "redis"));
        assert_eq!(
            (span.action.as_str(), destination::resource("db", &span.destination.target)),
            ("query", "redis".into())
        );
        let db = span.db.expect("a database");
        assert_eq!((db.kind.as_ref(), db.statement, db.instance), ("redis", None, None));
    }
    let command = [("db.system.name", "memcached"), ("db.operation.name", "get"), ("db.query.text", "get a")];
    let span = of("memcached", SpanStatus::Error, &command);
    assert_eq!((span.action.as_str(), span.outcome), ("get", Outcome::Failure));
    assert_eq!(span.db.and_then(|db| db.statement).as_deref(), Some("get a"));

    let command = [("db.namespace", "shop"), ("db.operation.name", "find"), ("server.address", "db")];
    let span = of("mongodb", SpanStatus::Ok, &command);
    assert_eq!((span.kind, span.subtype.as_ref(), span.action.as_str()), ("db", "mongodb", "find"));
    assert_eq!(destination::resource("db", &span.destination.target), "mongodb/shop");
    assert_eq!(span.db.and_then(|db| db.instance).as_deref(), Some("shop"));

    let span = of("graphql", SpanStatus::Ok, &[]);
    assert_eq!((span.kind, span.subtype.as_ref(), span.action.as_str()), ("db", "graphql", "execute"));
    assert!(span.db.is_none() && !span.is_exit(), "nothing is called");

    let cql = [("db.query.text", "SELECT name FROM items"), ("db.namespace", "shop")];
    let span = of("cassandra-driver", SpanStatus::Ok, &cql);
    assert_eq!((span.name.as_str(), span.subtype.as_ref()), ("SELECT FROM items", "cassandra"));
    assert_eq!(destination::resource("db", &span.destination.target), "cassandra/shop");
    assert_eq!(span.db.map(|db| db.kind), Some("cassandra".into()));
    for (name, action) in [("Cassandra: Batch query", "query"), ("Cassandra: Connect", "connect")] {
        let ended =
            SpanEnded { source: "cassandra-driver".into(), name: name.into(), ..ended(SpanKind::Client, &cql[..1]) };
        assert_eq!((as_span(&ended).name.as_str(), as_span(&ended).action.as_str()), (name, action));
    }

    let sent = [("messaging.system", "kafka"), ("messaging.destination.name", "orders")];
    let span = of("kafkajs", SpanStatus::Ok, &sent);
    assert_eq!((span.kind, span.subtype.as_ref(), span.action.as_str()), ("messaging", "kafka", "send"));
    assert_eq!(destination::resource("messaging", &span.destination.target), "kafka/orders");
    assert_eq!((span.queue.as_deref(), of("kafkajs", SpanStatus::Ok, &[]).queue), (Some("orders"), None));
    let received = SpanEnded { source: "kafkajs".into(), remote_parent: true, ..ended(SpanKind::Consumer, &sent) };
    let transaction = as_transaction(&received);
    assert!(is_transaction(&received) && transaction.kind == "messaging" && transaction.otel.is_none());

    let put = [("rpc.method", "PutObject"), ("aws.s3.bucket", "goods"), ("http.response.status_code", "200")];
    let span = of("s3", SpanStatus::Ok, &put);
    assert_eq!((span.kind, span.subtype.as_ref(), span.action.as_str()), ("storage", "s3", "PutObject"));
    let target = ServiceTarget { kind: "s3".into(), name: Some("goods".into()) };
    assert_eq!((destination::resource(span.kind, &target), span.destination.target), ("goods".into(), target));
    assert_eq!(span.http.and_then(|http| http.status), Some(200));
    let send = [("rpc.method", "send"), ("messaging.destination.name", "orders"), ("server.port", "443")];
    let span = of("sqs", SpanStatus::Error, &send);
    assert_eq!((span.kind, span.subtype.as_ref(), span.action.as_str()), ("messaging", "sqs", "send"));
    assert_eq!(destination::resource(span.kind, &span.destination.target), "sqs/orders");
    assert_eq!((span.queue.as_deref(), span.destination.port, span.http), (Some("orders"), Some(443), None));
    let query = [("rpc.method", "Query"), ("db.namespace", "eu"), ("db.query.text", "id = :id")];
    let span = of("dynamodb", SpanStatus::Ok, &query);
    assert_eq!((span.kind, span.subtype.as_ref(), span.action.as_str()), ("db", "dynamodb", "Query"));
    assert_eq!(destination::resource(span.kind, &span.destination.target), "dynamodb/eu");
    let db = span.db.expect("a database");
    assert_eq!((db.kind.as_ref(), db.instance.as_deref()), ("dynamodb", Some("eu")));
    assert_eq!(db.statement.as_deref(), Some("id = :id"));

    let span = of("ws", SpanStatus::Ok, &[]);
    assert_eq!((span.kind, span.subtype.as_ref(), span.action.as_str()), ("websocket", "send", ""));
    assert_eq!((span.destination.target.kind.as_str(), span.destination.address), ("send", None));

    let query = [
        ("db.query.text", "SELECT name FROM items"),
        ("db.namespace", "shop"),
        ("server.address", "db"),
        ("server.port", "1433"),
    ];
    let span = of("tedious", SpanStatus::Ok, &query);
    assert_eq!((span.name.as_str(), span.subtype.as_ref()), ("SELECT FROM items", "mssql"));
    assert_eq!(destination::resource("db", &span.destination.target), "mssql/shop");

    let search = [
        ("http.request.method", "GET"),
        ("url.full", "http://es:9200/shop/_search"),
        ("http.response.status_code", "200"),
        ("db.query.text", "{}"),
        ("server.address", "es"),
    ];
    let span = of("elasticsearch", SpanStatus::Ok, &search);
    assert_eq!((span.kind, span.subtype.as_ref(), span.action.as_str()), ("db", "elasticsearch", "request"));
    assert_eq!(destination::resource("db", &span.destination.target), "elasticsearch");
    assert_eq!(span.http.map(|http| (http.url, http.status)), Some(("http://es:9200/shop/_search".into(), Some(200))));
    assert_eq!(span.db.and_then(|db| db.statement).as_deref(), Some("{}"));
}

#[test]
fn what_the_wire_does_not_know_of_a_statement_the_run_time_does() {
    let told = [("db.namespace", "shop"), ("db.user", "clerk"), ("db.query.text", "SELECT 1 FROM items")];
    let told = ended(SpanKind::Client, &told);
    let exchange = sample::exchange(Ending::Complete, Payload::Http(Http::default()));
    let on_wire = |sql: &Sql| {
        let nowhere = Place { trace: TraceId(5), id: SpanId(6), parent: None, sample_rate: None };
        let mut span = from_sql(&exchange, sql, &Addresses::default()).into_span(nowhere, None, 9, 1);
        complete(&mut span, &told);
        let db = span.db.unwrap();
        let texts = [Some(span.name), db.statement, db.instance, db.user, span.destination.target.name];
        texts.map(Option::unwrap_or_default)
    };
    let unknown = Sql { statement: None, database: None, user: None, ..sample::sql("") };
    assert_eq!(on_wire(&unknown), ["SELECT FROM items", "SELECT 1 FROM items", "shop", "clerk", "shop"]);
    let known = Sql { database: Some("other".into()), user: Some("boss".into()), ..sample::sql("DELETE FROM items") };
    assert_eq!(on_wire(&known), ["DELETE FROM items", "DELETE FROM items", "other", "boss", "other"]);
}
