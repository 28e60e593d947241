//! The same Go programs, once with Elastic's own agent linked in and once watched by ours: the documents are compared
//! field by field. What may differ is in one table, with its reason (`differences.rs`).

use std::process::Command;

use anyhow::{Result, ensure};
use apm_tests::{
    compared::{self, Entries},
    decoder::Decoder,
    documents::{Documents, text},
    go::{self, Build},
    http,
    mariadb::{self, MariaDb},
    nginx::Nginx,
    node::{Libraries, Major},
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::Program,
    redis::{self, Redis},
    small_servers::SmallServers,
    turn::{Need, Turn},
    wait,
};

use serde_json::Value;

use self::differences::MEANT;

mod differences;

const NEEDS: &[Need] = &[
    Need::Program("go"),
    Need::Program("nginx"),
    Need::File(DEBIAN_FOLDER),
    Need::File(mariadb::PROGRAM),
    Need::Program(redis::PROGRAM),
    Need::NodeMajors,
];

/// Looks at what the run time counts after which all metrics are known: times of the processor take two.
const LOOKS: usize = 3;

/// A program with a variable, and the paths it is asked for.
struct Script {
    name: &'static str,
    app: &'static str,
    variable: (&'static str, &'static str),
    asked: &'static [&'static str],
}

const fn script(
    name: &'static str,
    app: &'static str,
    variable: (&'static str, &'static str),
    asked: &'static [&'static str],
) -> Script {
    Script { name, app, variable, asked }
}

/// The service of gRPC, which asks itself, too.
const GRPC: &str = "go-grpc";

/// `URL` stands for another server. A service of gRPC is asked for methods, with a word each.
const SCRIPTS: [Script; 10] = [
    script(
        "pq",
        "go-web",
        ("DRIVER", "postgres"),
        &[
            "/item/1",
            "/arguments/2",
            "/exec/3",
            "/transaction/4",
            "/spawn/5",
            "/pool/6",
            "/call/7?url=URL",
            "/bad/8",
            "/panic/9",
            "/none/10",
        ],
    ),
    script("pgx", "go-web", ("DRIVER", "pgx"), &["/item/1", "/arguments/2", "/bad/3"]),
    script(
        "databases",
        "go-databases",
        ("", ""),
        &["/mysql/item/1", "/mysql/prepared/2", "/mysql/error", "/redis8/item/1", "/mongo1/item/1"],
    ),
    script("gin", "go-routers", ("ROUTER", "gin"), &["/users/1", "/errors/2", "/panic/3", "/none/4"]),
    script("gorilla", "go-routers", ("ROUTER", "gorilla"), &["/users/1", "/api/v1/items/2/x", "/none/3"]),
    script("chi", "go-routers", ("ROUTER", "chi"), &["/users/1", "/api/v1/items/2/x", "/none/3"]),
    script("echo", "go-routers", ("ROUTER", "echo"), &["/users/1", "/errors/2", "/wrapped/3", "/inner/4", "/none/5"]),
    script("fiber", "go-routers", ("ROUTER", "fiber"), &["/users/1", "/errors/2", "/wrapped/3", "/panic/4", "/none/5"]),
    script(
        "sqlite",
        "go-sqlite",
        ("DRIVER", "sqlite3"),
        &["/query/1", "/exec/2", "/spawn/3", "/prepared/4", "/prepare/5", "/missing/6"],
    ),
    script("grpc", GRPC, ("WAY", "plain"), &["Order URL", "Fail 5", "Fail 13", "Panic ", "Count 0"]),
];

/// What all programs ask, by the variables that say where.
struct Shop {
    variables: Vec<(&'static str, String)>,
    upstream: Nginx,
    _servers: (Postgres, MariaDb, Redis, SmallServers),
}

impl Shop {
    fn open() -> Result<Self> {
        let (postgres, maria, redis) = (Postgres::start()?, MariaDb::start()?, Redis::start()?);
        let small = SmallServers::start(Major(24), Libraries::Newer)?;
        let variables = vec![
            ("DATABASE_URL", postgres.connection_string()),
            ("MYSQL_PORT", maria.port().to_string()),
            ("REDIS_PORT", redis.port().to_string()),
            ("MONGODB_PORT", small.port("MONGODB_PORT")?.to_string()),
        ];
        Ok(Self { variables, upstream: Nginx::start()?, _servers: (postgres, maria, redis, small) })
    }

    /// Starts all programs, with these variables.
    fn staff(&self, build: Build, variables: &[(&str, String)]) -> Result<Vec<Service>> {
        let start = |script: &'static Script| {
            let mut command = Command::new(go::compile(script.app, build)?);
            command.envs(self.variables.iter().cloned()).envs(variables.iter().cloned());
            let (name, value) = script.variable;
            if !name.is_empty() {
                command.env(name, value);
            }
            Ok(Service { script, program: Program::listening(script.name, command)? })
        };
        SCRIPTS.iter().map(start).collect()
    }

    fn converse(&self, services: &[Service]) -> Result<()> {
        let url = format!("http://127.0.0.1:{}", self.upstream.port());
        for Service { script, program } in services {
            for path in script.asked {
                if let (GRPC, Some((method, word))) = (script.app, path.split_once(' ')) {
                    let address = format!("127.0.0.1:{}", program.port());
                    let mut caller = Command::new(go::compile(GRPC, Build::Fixed)?);
                    caller.args(["ask", &address, "plain", method, &word.replace("URL", &url)]).output()?;
                    continue;
                }
                // A panic is answered by nothing, or by Elastic's agent.
                let answer = http::get(program.port(), &path.replace("URL", &url));
                ensure!(answer.is_ok() || path.starts_with("/panic/"), "{path}: {answer:?}\n{}", program.output());
            }
        }
        Ok(())
    }
}

/// A program that runs.
struct Service {
    script: &'static Script,
    program: Program,
}

impl Service {
    fn documents(&self, documents: &Documents) -> Documents {
        documents.of_process(self.program.pid())
    }

    /// The documents of this program among those of all, and the names of its metrics.
    fn entries(&self, documents: &Documents) -> Entries {
        let documents = self.documents(documents);
        let mut entries = compared::entries(&documents, self.script.name, &[("PORT", self.program.port())], named);
        entries.insert(format!("{}: metrics", self.script.name), compared::metrics(&documents));
        entries
    }
}

/// Kind and name of a span: ours has some that Elastic's agent leaves out.
fn named(span: &Value) -> String {
    format!("{} `{}`", compared::kind(span), text(span, "span.name"))
}

/// Elastic's agent in each process from its beginning. It looks for no cloud, and sends soon. What is compressed depends
/// on time, so nothing is.
fn elastic(shop: &Shop) -> Result<(Decoder, Vec<Service>)> {
    let decoder = Decoder::start()?;
    let settings = [
        ("ELASTIC_APM_SERVER_URL", decoder.url()),
        ("ELASTIC_APM_CLOUD_PROVIDER", "none".to_owned()),
        ("ELASTIC_APM_CENTRAL_CONFIG", "false".to_owned()),
        ("ELASTIC_APM_API_REQUEST_TIME", "1s".to_owned()),
        ("ELASTIC_APM_METRICS_INTERVAL", "1s".to_owned()),
        ("ELASTIC_APM_EXIT_SPAN_MIN_DURATION", "0ms".to_owned()),
        ("ELASTIC_APM_SPAN_STACK_TRACE_MIN_DURATION", "10m".to_owned()),
        ("ELASTIC_APM_SPAN_COMPRESSION_ENABLED", "false".to_owned()),
    ];
    let services = shop.staff(Build::Elastic, &settings)?;
    shop.converse(&services)?;
    Ok((decoder, services))
}

fn ours(shop: &Shop) -> Result<(Documents, Vec<Service>)> {
    let services = shop.staff(Build::Fixed, &[])?;
    let programs: Vec<&Program> = services.iter().map(|service| &service.program).collect();
    let watch = go::watch_all(&programs, &["--metrics-interval=1s", "--api-request-time=1s"])?;
    shop.converse(&services)?;
    wait::until("metrics", wait::PATIENCE, || {
        let documents = watch.documents().ok()?;
        let told = |service: &Service| compared::looks(&service.documents(&documents), "golang.goroutines") >= LOOKS;
        services.iter().all(told).then_some(())
    })?;
    Ok((watch.finish()?.documents, services))
}

#[test]
fn documents_are_those_of_elastic_s_agent() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let shop = Shop::open()?;
    compared::side_by_side(MEANT, || ours(&shop), || elastic(&shop), Service::entries)
}
