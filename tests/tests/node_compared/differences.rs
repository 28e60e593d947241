//! Where our documents are meant to differ from those of Elastic's agent.

use super::comparison::Difference;

/// Nothing stands there.
const NONE: &str = "-";
/// Something stands there.
const SOME: &str = "*";

/// A difference that is meant.
struct Meant {
    /// What the document's name has in it.
    documents: &'static str,
    /// The field; with `*` at its end those that begin so.
    field: &'static str,
    ours: &'static str,
    elastic: &'static str,
    why: &'static str,
}

const fn meant(
    documents: &'static str,
    field: &'static str,
    ours: &'static str,
    elastic: &'static str,
    why: &'static str,
) -> Meant {
    Meant { documents, field, ours, elastic, why }
}

/// All that is meant. What is not here fails, and so does what is here and does not occur.
const MEANT: &[Meant] = &[
    meant("", "agent.activation_method", "\"ebpf\"", "\"preload\"", "how each comes in"),
    meant("", "agent.version", SOME, SOME, "each has its own"),
    meant(
        "",
        "service.framework.*",
        NONE,
        SOME,
        "what a process is, is told when it is found; its frameworks are not known then",
    ),
    meant("", "service.node.name", SOME, SOME, "processes of one service on one host are told apart"),
    meant("transaction", "transaction.span_count.dropped", "0", NONE, "written always, as by Elastic's other agents"),
    meant("transaction", "url.query", SOME, SOME, "without the question mark, as ECS has it"),
    meant(
        "transaction",
        "http.request.headers.Elastic-Apm-Traceparent",
        "of the run",
        NONE,
        "older agents read no other; Elastic's agent sends it when it is told to",
    ),
    meant("span", "span.sync", NONE, SOME, "the wire does not show whether the caller waits"),
    meant("span db.postgresql", "span.db.rows_affected", "1", NONE, "the wire shows it"),
    meant(
        "span db.postgresql of /bad",
        "event.outcome",
        "\"failure\"",
        "\"success\"",
        "Elastic's agent does not look at a query's error",
    ),
    meant(
        "span db.mysql of /mysql/bad",
        "event.outcome",
        "\"failure\"",
        "\"success\"",
        "Elastic's agent does not look at a query's error",
    ),
    meant(
        "error of /bad",
        "",
        SOME,
        NONE,
        "a query that fails is an error; for Elastic's agent a command of ioredis alone is one",
    ),
    meant(
        "error of /mysql/bad",
        "",
        SOME,
        NONE,
        "a query that fails is an error; for Elastic's agent a command of ioredis alone is one",
    ),
    meant(
        "span db.elasticsearch",
        "http.request.method",
        "\"POST\"",
        NONE,
        "it is known, and Elastic's agent has it of other calls by HTTP",
    ),
    meant("span db.mongodb", "span.db.statement", SOME, NONE, "as Elastic's agents in other languages have it"),
    meant("span db.mssql", "service.target.name", "\"shop\"", NONE, "the log-in shows the database"),
    meant("span db.mssql", "span.db.instance", "\"shop\"", NONE, "the log-in shows the database"),
    meant(
        "span db.mssql",
        "span.destination.service.resource",
        "\"mssql/shop\"",
        "\"mssql\"",
        "the log-in shows the database",
    ),
    meant("span db.mssql", "span.db.user.name", "\"shop\"", NONE, "the log-in shows the user"),
    meant(
        "of /ask/http2",
        "span.name",
        SOME,
        SOME,
        "`METHOD host` as of all calls by HTTP; Elastic's agent has the scheme in it",
    ),
    meant(
        "of /fastify/fetch",
        "http.response.encoded_body_size",
        NONE,
        "6",
        "Elastic's agent has it of fetch and of nothing else",
    ),
    meant(
        "error",
        "http.response.finished",
        NONE,
        SOME,
        "the state while it was thrown; ours has the answer as it was sent",
    ),
    meant(
        "error",
        "http.response.headers_sent",
        NONE,
        SOME,
        "the state while it was thrown; ours has the answer as it was sent",
    ),
    meant("libraries.js: error of /throw", "http.response.*", SOME, NONE, "ours has the answer as it was sent"),
    meant("error of /hapi/throw", "http.response.*", SOME, NONE, "ours has the answer as it was sent"),
    meant(
        "libraries.js: error of /throw",
        "http.response.status_code",
        "500",
        "200",
        "ours has the answer as it was sent",
    ),
    meant(
        "libraries.js: error of /throw",
        "transaction.name",
        "\"GET /throw\"",
        "\"GET unknown route (unnamed)\"",
        "Elastic's agent does not know the route yet",
    ),
    meant("error of /koa/throw", "", SOME, NONE, "what Koa itself catches is an error; Elastic's agent tells of none"),
    meant("error of /hapi/throw", "error.custom.tags", NONE, SOME, "hapi's, of the line it would log"),
    meant("error of /hapi/throw", "error.exception.attributes.*", NONE, SOME, "members of an error may hold anything"),
    meant(
        "error of /fastify/crash",
        "transaction.name",
        NONE,
        SOME,
        "thrown after the request, of which only the ids are kept",
    ),
];

/// Differences that are not meant, and meant ones that are none, a line each.
pub fn unexplained(differences: &[Difference]) -> Vec<String> {
    let surprises = differences.iter().filter(|difference| !MEANT.iter().any(|meant| meant.explains(difference)));
    let idle = MEANT.iter().filter(|meant| !differences.iter().any(|difference| meant.explains(difference)));
    let idle = idle.map(|meant| format!("no longer different: {} | {} ({})", meant.documents, meant.field, meant.why));
    surprises.map(ToString::to_string).chain(idle).collect()
}

impl Meant {
    fn explains(&self, difference: &Difference) -> bool {
        let field = match self.field.strip_suffix('*') {
            Some(beginning) => difference.field.starts_with(beginning),
            None => difference.field == self.field,
        };
        let is = |wanted: &str, value: &Option<String>| match value.as_deref() {
            None => wanted == NONE,
            Some(value) => wanted == SOME || wanted == value,
        };
        field
            && difference.document.contains(self.documents)
            && is(self.ours, &difference.ours)
            && is(self.elastic, &difference.elastic)
    }
}
