//! Where our documents are meant to differ from those of Elastic's agent.

use apm_tests::compared::{Meant, NONE, SOME, meant};

/// Reasons that more than one has.
const WORDS: &str = "the database's words, on the wire; Elastic's agent has the driver's";
const REQUEST: &str = "Elastic's agent tells nothing of the request with errors of databases";
const CODE: &str = "only the error's own code can put it together";
const OTHERS: &str = "as Elastic's agents in other languages have it";
const WIRE: &str = "the wire shows it";
const PATTERN: &str = "the mux' pattern: Elastic's agent has the path, a name for each item";
const LOGIN: &str = "logged in before the agent came";
const ROUTER: &str = "each router is linked in: which one serves is not certain";
const SPANS: &str = "ours has spans that Elastic's agent leaves out";
const TARGET: &str = "made of the target, as the specification has it";
const ANSWER: &str = "Elastic's agent answers in the program's stead, which does not";
const STACK: &str = "no stack is taken of errors that are given back; Elastic's shows who called its module";
const ENDS: &str = "Elastic's agent leaves transactions' ends out";
const DEPRECATED: &str = "deprecated; APM Server does without";
const PREPARED: &str = "the driver prepares what it is to ask, in a call of its own";
const BEFORE: &str = "prepared before the agent came";

const EARLY: &str = "Elastic's module for fiber tells errors before they are answered, and nothing of their request";
const WITHIN: &str = "a middleware recovers it: Elastic's agent sees what it makes of it";
const OLDER_MUX: &str = "of the mux up to Go 1.21, as which this program is built, no patterns are known";
const OPENED: &str = "the program opened the database by it: what the driver is asked does not show it";
const RESULT: &str = "the driver's result is not read";
const NO_CONTEXT: &str = "made without a context, by the goroutine of the request";
const METADATA: &str = "of what a caller of gRPC sends along the trace alone is read";

/// All that is meant. What is not here fails, and so does what is here and does not occur.
pub const MEANT: &[Meant] = &[
    meant("", "agent.activation_method", "\"ebpf\"", NONE, "how it comes in"),
    meant("", "agent.version", SOME, SOME, "each has its own"),
    meant("", "service.node.name", SOME, SOME, "processes of one service on one host are told apart"),
    meant("", "process.args", SOME, SOME, "the two builds lie in folders of their own"),
    meant("", "process.title", SOME, SOME, "the whole path, as Elastic's agents in other languages have it"),
    meant("gin: ", "service.framework.*", NONE, SOME, ROUTER),
    meant("echo: ", "service.framework.*", NONE, SOME, ROUTER),
    meant("fiber: ", "service.framework.*", NONE, SOME, ROUTER),
    meant("grpc: ", "service.framework.*", NONE, SOME, "one program may serve gRPC and HTTP"),
    meant(
        "metrics",
        "system.process.cgroup.memory.mem.usage.bytes",
        SOME,
        NONE,
        "Elastic's agents in other languages have it",
    ),
    meant("pq: ", "transaction.name", SOME, SOME, PATTERN),
    meant("pgx: ", "transaction.name", SOME, SOME, PATTERN),
    meant("databases: ", "transaction.name", SOME, SOME, PATTERN),
    meant(
        "pq: transaction /none/10",
        "transaction.name",
        "\"GET unknown route\"",
        "\"GET /none/10\"",
        "a name for each path that anybody tries",
    ),
    meant("echo: ", "transaction.name", "\"GET unknown route\"", "\"GET \"", "an empty route"),
    meant("", "url.original", SOME, NONE, WIRE),
    meant("", "http.request.headers.Host", SOME, NONE, "Go keeps it apart from the headers"),
    meant(
        "",
        "http.response.headers.*",
        SOME,
        NONE,
        "Elastic's agent sees those that handlers set, before Go adds its own",
    ),
    meant("pq: transaction", "transaction.span_count.started", SOME, SOME, SPANS),
    meant("pgx: transaction", "transaction.span_count.started", SOME, SOME, SPANS),
    meant("/panic/9", "http.response.status_code", NONE, "500", ANSWER),
    meant("/panic/9", "transaction.result", NONE, "\"HTTP 5xx\"", ANSWER),
    meant("span", "span.destination.service.name", NONE, SOME, DEPRECATED),
    meant("span", "span.destination.service.type", NONE, SOME, DEPRECATED),
    meant("span", "destination.*", SOME, NONE, "the connection shows it"),
    meant(
        "span db.postgresql",
        "span.destination.service.resource",
        "\"postgresql/postgres\"",
        "\"postgresql\"",
        TARGET,
    ),
    meant("span db.mongodb", "span.destination.service.resource", "\"mongodb/shop\"", "\"mongodb\"", TARGET),
    meant("span db", "span.db.rows_affected", "1", NONE, WIRE),
    meant("span db", "span.action", "\"query\"", "\"exec\"", "the wire does not show which function was called"),
    meant("`SELECT FROM", "span.action", "\"prepare\"", "\"query\"", PREPARED),
    meant("#2", "", SOME, NONE, PREPARED),
    meant("pgx: span db.postgresql `--`", "", SOME, NONE, "the driver's own"),
    meant("span db.postgresql `BEGIN`", "", SOME, NONE, ENDS),
    meant("span db.postgresql `COMMIT`", "", SOME, NONE, ENDS),
    meant("span db.mysql", "service.target.name", NONE, "\"shop\"", LOGIN),
    meant("span db.mysql", "span.db.instance", NONE, "\"shop\"", LOGIN),
    meant("span db.mysql", "span.db.user.name", NONE, "\"shop\"", LOGIN),
    meant("span db.mysql `SQL` of /mysql/prepared/2", "", SOME, NONE, BEFORE),
    meant("span db.mysql `SELECT FROM items` of /mysql/prepared/2", "", NONE, SOME, BEFORE),
    meant(
        "span db.mongodb",
        "span.action",
        "\"find\"",
        "\"query\"",
        "the command, as Elastic's agents in other languages have it",
    ),
    meant("span db.redis", "span.action", "\"query\"", NONE, OTHERS),
    meant("span db.redis", "span.db.type", "\"redis\"", NONE, OTHERS),
    meant("span external.http", "http.request.method", "\"GET\"", NONE, WIRE),
    meant("span external.http", "span.action", "\"GET\"", NONE, OTHERS),
    meant("error of /bad", "error.exception.*", SOME, SOME, WORDS),
    meant("error of /mysql/error", "error.exception.*", SOME, SOME, WORDS),
    meant("error of /bad", "message", SOME, SOME, WORDS),
    meant("error of /mysql/error", "message", SOME, SOME, WORDS),
    meant("error of /bad", "error.exception.code", "\"42P01\"", NONE, WIRE),
    meant("error of /mysql/error", "error.exception.code", "\"42S02\"", NONE, WIRE),
    meant("error", "error.exception.module", NONE, SOME, "what the database says, and texts, are of no package"),
    meant(
        "/panic/",
        "error.exception.type",
        "\"string\"",
        "\"errorString\"",
        "the program panics with a text; Elastic's agent makes an error of it",
    ),
    meant("gin: error of /panic/3", "error.exception.handled", "true", "false", "gin recovers it, and answers"),
    meant("error", "error.culprit", NONE, SOME, STACK),
    meant("error", "error.exception.stacktrace.*", NONE, SOME, STACK),
    meant(
        "error of /panic/",
        "error.exception.stacktrace.abs_path",
        SOME,
        NONE,
        "the path as it is in the program; Elastic's agent leaves it out in builds with `-trimpath`",
    ),
    meant("/errors/2 #3", "error.exception.message", "\"[EMPTY]\"", SOME, CODE),
    meant("/errors/2 #3", "message", "\"[EMPTY]\"", SOME, CODE),
    meant("echo: error of /inner/4", "error.exception.message", "\"[EMPTY]\"", SOME, CODE),
    meant("echo: error of /inner/4", "message", "\"[EMPTY]\"", SOME, CODE),
    meant("fiber: error", "client.ip", SOME, NONE, EARLY),
    meant("fiber: error", "source.ip", SOME, NONE, EARLY),
    meant("fiber: error", "url.*", SOME, NONE, EARLY),
    meant("fiber: error", "http.*", SOME, NONE, EARLY),
    meant("fiber: error", "http.response.status_code", SOME, "200", EARLY),
    meant("fiber: error", "transaction.name", SOME, SOME, EARLY),
    meant("fiber: error of /panic/4", "error.culprit", SOME, SOME, WITHIN),
    meant("fiber: error of /panic/4", "error.exception.stacktrace.*", SOME, SOME, WITHIN),
    meant("sqlite: ", "transaction.name", "\"GET unknown route\"", SOME, OLDER_MUX),
    meant("sqlite: span", "service.target.name", NONE, SOME, OPENED),
    meant("sqlite: span", "span.db.instance", NONE, SOME, OPENED),
    meant("sqlite: span", "span.db.rows_affected", NONE, SOME, RESULT),
    meant("sqlite: span db.sqlite3 `UPDATE items` of /exec/2", "", SOME, NONE, NO_CONTEXT),
    meant("sqlite: transaction /exec/2", "transaction.span_count.started", SOME, SOME, SPANS),
    meant("sqlite: error", "error.exception.type", "\"sqlite3\"", "\"Error\"", "as errors of all databases"),
    meant("sqlite: error", "error.exception.code", "\"1\"", NONE, "SQLite's, which the error has"),
    meant("sqlite: error", "client.ip", SOME, NONE, REQUEST),
    meant("sqlite: error", "source.ip", SOME, NONE, REQUEST),
    meant("sqlite: error", "url.*", SOME, NONE, REQUEST),
    meant("sqlite: error", "http.*", SOME, NONE, REQUEST),
    meant("grpc: transaction", "http.request.headers.*", NONE, SOME, METADATA),
    meant("grpc: transaction", "user_agent.original", NONE, SOME, METADATA),
    meant("grpc: transaction /shop.Shop/Reserve", "parent.id", NONE, SOME, "nothing can be put into calls over HTTP/2"),
    meant("grpc: transaction /shop.Shop/Order", "transaction.span_count.started", SOME, SOME, SPANS),
    meant("grpc: span external.grpc `/shop.Shop/Count` of /shop.Shop/Order", "", SOME, NONE, NO_CONTEXT),
    meant("grpc: span external.grpc", "http.request.method", "\"POST\"", NONE, WIRE),
    meant("grpc: error of /shop.Shop/Panic", "", SOME, NONE, "the program recovers it before Elastic's agent sees it"),
    meant("error of /bad", "client.ip", SOME, NONE, REQUEST),
    meant("error of /bad", "source.ip", SOME, NONE, REQUEST),
    meant("error of /bad", "url.*", SOME, NONE, REQUEST),
    meant("error of /bad", "http.*", SOME, NONE, REQUEST),
    meant("error of /mysql/error", "client.ip", SOME, NONE, REQUEST),
    meant("error of /mysql/error", "source.ip", SOME, NONE, REQUEST),
    meant("error of /mysql/error", "url.*", SOME, NONE, REQUEST),
    meant("error of /mysql/error", "http.*", SOME, NONE, REQUEST),
];
