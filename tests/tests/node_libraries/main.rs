//! What is sent of the requests and calls of further libraries of Node.js, decoded by Elastic's own decoder: names, types
//! and destinations as Elastic's agent has them. `APM_NODE_MAJORS=all` has every major and set of libraries tried.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    agent::{self, Agent},
    documents::{Documents, field, text},
    express, http,
    mariadb::{self, MariaDb},
    memcached::{self, Memcached},
    node::{Libraries, Major},
    place,
    programs::Program,
    small_servers::SmallServers,
    tds::SqlServer,
    turn::{Need, Turn},
    wait,
    watch::Watch,
};
use serde_json::Value;

use self::frameworks::Frameworks;

mod frameworks;

const NEEDS: &[Need] = &[Need::NodeMajors, Need::File(mariadb::PROGRAM), Need::Program(memcached::PROGRAM)];

/// What a call has to be.
struct Expected {
    library: &'static str,
    /// Type, subtype and action.
    kind: [&'static str; 3],
    name: String,
    /// Type and name of the service called.
    target: [String; 2],
    resource: String,
}

#[test]
fn requests_and_calls_are_what_elastic_s_agent_makes_of_them() -> Result<()> {
    // restify 11, which the older program is made with, runs in no newer major.
    let runs = |(major, libraries): &(Major, Libraries)| *libraries != Libraries::Older || *major <= Major(22);
    for (major, libraries) in Major::tried().into_iter().filter(runs) {
        let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
        let told = || requests_and_calls(major, libraries);
        told().with_context(|| format!("on Node.js {} with {libraries:?} libraries", major.0))?;
    }
    Ok(())
}

fn requests_and_calls(major: Major, libraries: Libraries) -> Result<()> {
    let stores = (SqlServer::start()?, MariaDb::start()?, Memcached::start()?);
    let servers = SmallServers::start(major, libraries)?;
    let mut ports = servers.ports().to_vec();
    ports.extend([("TDS_PORT", stores.0.port()), ("MYSQL_PORT", stores.1.port()), ("MEMCACHED_PORT", stores.2.port())]);
    let program = service("node/libraries.js", major, libraries, &ports)?;
    let frameworks = Frameworks::start(major, libraries)?;
    let pids = [program.pid(), frameworks.pid()].map(|pid| pid.to_string());
    let mut watch = Watch::start(&["--pid", &pids[0], "--pid", &pids[1]])?;
    express::listens(watch.agent(), 2)?;
    inspected(program.pid(), watch.agent())?;
    let expected = expected(servers.port("HTTP2_PORT")?);
    for Expected { library, .. } in &expected {
        let answer = http::get(program.port(), &format!("/ask/{library}"))?;
        ensure!(answer.status == 200, "{library}: {answer:?}\n{}", program.output());
    }
    ensure!(http::get(program.port(), "/apollo")?.status == 200, "{}", program.output());
    ensure!(http::get(program.port(), "/throw")?.status == 500, "{}", program.output());
    frameworks.converse()?;
    let documents = watch.finish()?.documents;
    for expected in &expected {
        call(&documents, expected).with_context(|| documents.summary())?;
    }
    let named = documents.transactions().find(|document| text(document, "url.path") == "/apollo");
    let named = named.with_context(|| documents.summary())?;
    ensure!(text(named, "transaction.name") == "total" && text(named, "transaction.type") == "graphql", "{named}");
    received(&documents)?;
    thrown(&documents, "/throw", "GET /throw")?;
    frameworks.check(&documents)
}

/// What the script has changed, `inspect` names: the programs have the same libraries beside them.
fn inspected(pid: u32, agent: &Agent) -> Result<()> {
    let inspected = agent::finish(agent::command().args(["inspect", &pid.to_string(), "--json"]), wait::PATIENCE)?;
    let libraries: Value = serde_json::from_str(&inspected.output).with_context(|| inspected.output.clone())?;
    let libraries = libraries["node_libraries"].as_array().context("libraries")?;
    let named = |package: &str| {
        let has = |library: &Value| library["packages"].as_array().is_some_and(|all| all.contains(&package.into()));
        libraries.iter().any(|library| has(library) && library["left_alone"].is_null())
    };
    let log = agent.output();
    let told = log.lines().filter_map(|line| line.split_once(" tells of ")?.1.split(" pid=").next());
    let told = told.flat_map(|told| told.split(", "));
    // `pg 8.11.3` and `pg (pg-pool 3.6.1)`; what is node's own has no version.
    let packages = told.map(|name| name.split_once('(').map_or(name, |(_, part)| part.trim_end_matches(')')));
    // restify has a `find-my-way` of its own, which is fastify's part.
    let changed: Vec<&str> =
        packages.filter(|package| package.contains(' ') && !package.starts_with("find-my-way")).collect();
    let unnamed: Vec<_> = changed.iter().filter(|package| !named(package)).collect();
    ensure!(changed.len() > 10 && unnamed.is_empty(), "{unnamed:?} of {changed:?}: {libraries:?}");
    Ok(())
}

/// A program that listens, with the ports of what it asks.
fn service(app: &str, major: Major, libraries: Libraries, ports: &[(&str, u16)]) -> Result<Program> {
    let mut command = Command::new(major.program());
    command.arg(place::app(app)).env("NODE_PATH", libraries.search_path());
    command.envs(ports.iter().map(|(name, port)| (name, port.to_string())));
    Program::listening(app, command)
}

/// The request for a path has this name, and an error.
fn thrown(documents: &Documents, path: &str, name: &str) -> Result<()> {
    let request = documents.request(path)?;
    ensure!(text(request, "transaction.name") == name, "{request}");
    let mut errors =
        documents.errors().filter(|error| text(error, "transaction.id") == text(request, "transaction.id"));
    let error = errors.next().with_context(|| documents.summary())?;
    ensure!(error.to_string().contains("thrown on purpose") && errors.next().is_none(), "{error}");
    Ok(())
}

fn expected(http2_port: u16) -> [Expected; 14] {
    let http2 = format!("127.0.0.1:{http2_port}");
    [
        Expected {
            library: "mongodb",
            kind: ["db", "mongodb", "find"],
            name: "shop.orders.find".into(),
            target: ["mongodb".into(), "shop".into()],
            resource: "mongodb/shop".into(),
        },
        Expected {
            library: "elasticsearch",
            kind: ["db", "elasticsearch", "request"],
            name: "Elasticsearch: POST /shop/_search".into(),
            target: ["elasticsearch".into(), String::new()],
            resource: "elasticsearch".into(),
        },
        Expected {
            library: "tedious",
            kind: ["db", "mssql", "query"],
            name: "SELECT FROM items".into(),
            target: ["mssql".into(), "shop".into()],
            resource: "mssql/shop".into(),
        },
        Expected {
            library: "mysql",
            kind: ["db", "mysql", "query"],
            name: "SELECT FROM items".into(),
            target: ["mysql".into(), "shop".into()],
            resource: "mysql/shop".into(),
        },
        Expected {
            library: "memcached",
            kind: ["db", "memcached", "get"],
            name: "memcached.get".into(),
            target: ["memcached".into(), String::new()],
            resource: "memcached".into(),
        },
        Expected {
            library: "ws",
            kind: ["websocket", "send", ""],
            name: "Send WebSocket Message".into(),
            target: ["send".into(), String::new()],
            resource: "send".into(),
        },
        Expected {
            library: "http2",
            kind: ["external", "http", "GET"],
            name: format!("GET {http2}"),
            target: ["http".into(), http2.clone()],
            resource: http2,
        },
        Expected {
            library: "s3",
            kind: ["storage", "s3", "PutObject"],
            name: "S3 PutObject goods".into(),
            target: ["s3".into(), "goods".into()],
            resource: "goods".into(),
        },
        Expected {
            library: "sqs",
            kind: ["messaging", "sqs", "send"],
            name: "SQS SEND to orders".into(),
            target: ["sqs".into(), "orders".into()],
            resource: "sqs/orders".into(),
        },
        Expected {
            library: "sns",
            kind: ["messaging", "sns", "Publish"],
            name: "SNS Publish to shop".into(),
            target: ["sns".into(), "shop".into()],
            resource: "sns/shop".into(),
        },
        Expected {
            library: "dynamodb",
            kind: ["db", "dynamodb", "Query"],
            name: "DynamoDB Query items".into(),
            target: ["dynamodb".into(), "eu-test-1".into()],
            resource: "dynamodb/eu-test-1".into(),
        },
        Expected {
            library: "cassandra",
            kind: ["db", "cassandra", "query"],
            name: "SELECT FROM items".into(),
            target: ["cassandra".into(), "shop".into()],
            resource: "cassandra/shop".into(),
        },
        Expected {
            library: "kafka",
            kind: ["messaging", "kafka", "send"],
            name: "Kafka SEND to orders".into(),
            target: ["kafka".into(), "orders".into()],
            resource: "kafka/orders".into(),
        },
        Expected {
            library: "graphql",
            kind: ["db", "graphql", "execute"],
            name: "GraphQL: total".into(),
            target: [String::new(), String::new()],
            resource: "".into(),
        },
    ]
}

/// A message goes on with the trace of what sent it, in a transaction of its own.
fn received(documents: &Documents) -> Result<()> {
    let mut sent = documents.spans().filter(|span| text(span, "span.name") == "Kafka SEND to orders");
    let sent = sent.next().with_context(|| documents.summary())?;
    ensure!(text(sent, "span.message.queue.name") == "orders", "{sent}");
    let received = documents.transactions().find(|document| field(document, "parent.id") == field(sent, "span.id"));
    let received = received.with_context(|| documents.summary())?;
    ensure!(text(received, "transaction.name") == "Kafka RECEIVE from orders", "{received}");
    ensure!(text(received, "transaction.type") == "messaging" && text(received, "event.outcome") == "success");
    ensure!(field(received, "trace.id") == field(sent, "trace.id"), "{received}");
    Ok(())
}

/// The one call below the library's request.
fn call(documents: &Documents, expected: &Expected) -> Result<()> {
    let request = documents.request(&format!("/ask/{}", expected.library))?;
    ensure!(text(request, "transaction.name") == "GET /ask/:library", "{request}");
    let calls: Vec<&Value> = documents.spans_of(request).collect();
    let [call] = calls.as_slice() else { anyhow::bail!("{}: {calls:?}", expected.library) };
    ensure!(text(call, "span.name") == expected.name, "{call}");
    ensure!(["span.type", "span.subtype", "span.action"].map(|name| text(call, name)) == expected.kind, "{call}");
    ensure!(text(call, "event.outcome") == "success", "{call}");
    let target = ["service.target.type", "service.target.name"].map(|name| text(call, name).to_owned());
    ensure!(target == expected.target, "{call}");
    ensure!(text(call, "span.destination.service.resource") == expected.resource, "{call}");
    ensure!(field(call, "parent.id") == field(request, "transaction.id"), "{call}");
    Ok(())
}
