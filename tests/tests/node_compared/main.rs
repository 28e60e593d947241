//! The same programs, once with Elastic's own agent in them and once watched by ours: the documents are compared field by
//! field. What may differ is in one table, with its reason (`differences.rs`).

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    compared::{self, Entries},
    decoder::Decoder,
    documents::Documents,
    express, http,
    mariadb::{self, MariaDb},
    memcached::{self, Memcached},
    node::{self, Libraries, Major},
    place,
    postgres::{DEBIAN_FOLDER, Postgres},
    programs::Program,
    redis::{self, Redis},
    small_servers::SmallServers,
    tds::SqlServer,
    turn::{Need, Turn},
    watch::Watch,
};

use self::differences::MEANT;

mod differences;

const NEEDS: &[Need] = &[
    Need::NodeMajors,
    Need::File(DEBIAN_FOLDER),
    Need::File(mariadb::PROGRAM),
    Need::Program(redis::PROGRAM),
    Need::Program(memcached::PROGRAM),
];

/// Elastic's agent knows no newer libraries than these.
const LIBRARIES: Libraries = Libraries::Older;

/// A program, and what it is asked: ports by their variable, paths, and the status of their answers.
struct Script {
    app: &'static str,
    major: Major,
    /// Further ports that it listens on.
    ports: &'static [&'static str],
    asked: &'static [(&'static str, &'static str, u16)],
}

/// `URL` stands for the first path of the same program.
const SCRIPTS: [Script; 4] = [
    Script {
        app: "node/web.js",
        major: Major(24),
        ports: &[],
        asked: &[
            ("PORT", "/item/1", 200),
            ("PORT", "/at-once/3", 200),
            ("PORT", "/call?url=URL", 200),
            ("PORT", "/throw", 500),
            ("PORT", "/bad", 500),
            ("PORT", "/nowhere", 404),
        ],
    },
    Script {
        app: "node/databases.js",
        major: Major(24),
        ports: &[],
        asked: &[
            ("PORT", "/mysql/query/1", 200),
            ("PORT", "/mysql/execute/2", 200),
            ("PORT", "/mysql/bad", 500),
            ("PORT", "/redis/io/1", 200),
            ("PORT", "/redis/client/1", 200),
            ("PORT", "/redis/bad", 500),
        ],
    },
    Script {
        app: "node/libraries.js",
        major: Major(18),
        ports: &[],
        asked: &[
            ("PORT", "/ask/mongodb", 200),
            ("PORT", "/ask/elasticsearch", 200),
            ("PORT", "/ask/tedious", 200),
            ("PORT", "/ask/mysql", 200),
            ("PORT", "/ask/memcached", 200),
            ("PORT", "/ask/ws", 200),
            ("PORT", "/ask/http2", 200),
            ("PORT", "/throw", 500),
        ],
    },
    Script {
        app: "node/frameworks.js",
        major: Major(24),
        ports: &["KOA_PORT", "HAPI_PORT"],
        asked: &[
            ("PORT", "/fastify/item/1", 200),
            ("PORT", "/fastify/throw", 500),
            ("PORT", "/fastify/fetch?url=URL", 200),
            ("KOA_PORT", "/koa/item/1", 200),
            ("KOA_PORT", "/koa/throw", 500),
            ("HAPI_PORT", "/hapi/item/1", 200),
            ("HAPI_PORT", "/hapi/throw", 500),
            ("PORT", "/fastify/crash", 200),
        ],
    },
];

/// What all programs ask, by the variables that say where.
struct Shop {
    variables: Vec<(&'static str, String)>,
    _servers: (Postgres, MariaDb, Redis, Memcached, SqlServer, SmallServers),
}

impl Shop {
    fn open() -> Result<Self> {
        let (postgres, maria, redis, memcached, tds) =
            (Postgres::start()?, MariaDb::start()?, Redis::start()?, Memcached::start()?, SqlServer::start()?);
        let mut variables = vec![
            ("DATABASE_URL", format!("postgres://postgres@127.0.0.1:{}/postgres", postgres.port())),
            ("MYSQL_PORT", maria.port().to_string()),
            ("REDIS_PORT", redis.port().to_string()),
            ("TDS_PORT", tds.port().to_string()),
            ("MEMCACHED_PORT", memcached.port().to_string()),
            ("NODE_PATH", LIBRARIES.modules().display().to_string()),
        ];
        let small = SmallServers::start(Major(24), LIBRARIES)?;
        variables.extend(small.ports().iter().map(|(name, port)| (*name, port.to_string())));
        Ok(Self { variables, _servers: (postgres, maria, redis, memcached, tds, small) })
    }

    /// Starts all programs, with Elastic's agent in them if there is a decoder that it is to send to.
    fn staff(&self, elastic: Option<&Decoder>) -> Result<Vec<Service>> {
        let start = |script: &'static Script| {
            let ports = script.ports.iter().map(|name| Ok((*name, http::free_port()?))).collect::<Result<Vec<_>>>()?;
            let mut command = Command::new(script.major.program());
            // It sends soon. What is compressed depends on time, so nothing is.
            if let Some(decoder) = elastic {
                node::with_elastic(&mut command, decoder);
                command.env("ELASTIC_APM_API_REQUEST_TIME", "1s").env("ELASTIC_APM_SPAN_COMPRESSION_ENABLED", "false");
            }
            command.arg(place::app(script.app)).envs(self.variables.iter().cloned());
            command.envs(ports.iter().map(|(name, port)| (name, port.to_string())));
            let program = Program::listening(script.app, command)?;
            Ok(Service { script, ports: [vec![("PORT", program.port())], ports].concat(), program })
        };
        SCRIPTS.iter().map(start).collect()
    }
}

/// A program that runs.
struct Service {
    script: &'static Script,
    program: Program,
    ports: Vec<(&'static str, u16)>,
}

impl Service {
    fn converse(&self) -> Result<()> {
        let (_, first, _) = self.script.asked.first().context("it is asked something")?;
        let url = format!("http://127.0.0.1:{}{first}", self.program.port());
        for (name, path, status) in self.script.asked {
            let (_, port) = self.ports.iter().find(|(port, _)| port == name).context("a port of that name")?;
            let answer = http::get(*port, &path.replace("URL", &url))?;
            ensure!(answer.status == *status, "{path}: {answer:?}\n{}", self.program.output());
        }
        Ok(())
    }

    /// The documents of this program among those of all.
    fn entries(&self, documents: &Documents) -> Entries {
        compared::entries(&documents.of_process(self.program.pid()), self.script.app, &self.ports, compared::kind)
    }
}

fn converse(services: &[Service]) -> Result<()> {
    services.iter().try_for_each(Service::converse)
}

fn elastic(shop: &Shop) -> Result<(Decoder, Vec<Service>)> {
    let decoder = Decoder::start()?;
    let services = shop.staff(Some(&decoder))?;
    converse(&services)?;
    Ok((decoder, services))
}

fn ours(shop: &Shop) -> Result<(Documents, Vec<Service>)> {
    let services = shop.staff(None)?;
    let pids: Vec<String> = services.iter().map(|service| service.program.pid().to_string()).collect();
    let mut arguments = vec!["--span-compression-enabled=false"];
    arguments.extend(pids.iter().flat_map(|pid| ["--pid", pid.as_str()]));
    let mut watch = Watch::start(&arguments)?;
    express::listens(watch.agent(), services.len())?;
    converse(&services)?;
    Ok((watch.finish()?.documents, services))
}

#[test]
fn documents_are_those_of_elastic_s_agent() -> Result<()> {
    let Some(_turn) = Turn::take(NEEDS) else { return Ok(()) };
    let shop = Shop::open()?;
    compared::side_by_side(MEANT, || ours(&shop), || elastic(&shop), Service::entries)
}
