//! What is measured: a target, how it is watched, and the load it is put under.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    child::Child,
    decoder::Decoder,
    dotnet::{Framework, Web},
    express,
    go::Build,
    go_web::{self, Driver},
    load::{self, Measured, Steady, percentile},
    nginx::Nginx,
    node::Major,
    postgres::Postgres,
    process,
    programs::{App, Program},
};
use tempfile::TempDir;

use super::{AGENT_CORE, LOAD_CORE, pair::Side, shops::Shops};

/// Connections of the load, and clients of pgbench.
const CONNECTIONS: u32 = 16;

/// See [`Target::settling`]. In one process, without sockets, the first 20,000 requests after the script had come took 1.4
/// times the CPU time of bare ones, and those after 40,000 1.2 times.
const SETTLING: u64 = 40_000;

/// Words before a command that shares the load's core.
pub(super) const PINNED: [&str; 3] = ["taskset", "-c", "0"];

/// Words before a command that leaves that core to the target.
const BESIDE: [&str; 3] = ["taskset", "-c", "1"];

/// What makes .NET's CPU time a measure of work done. Its idle threads spin for more work before they sleep, several
/// times as long as a request takes, and it tries out other numbers of threads all the time.
const STEADY: [(&str, &str); 2] =
    [("DOTNET_ThreadPool_UnfairSemaphoreSpinLimit", "0"), ("DOTNET_HillClimbing_Disable", "1")];

/// pgbench itself; the one on `PATH` is a script that becomes it.
const PGBENCH: &str = "/usr/lib/postgresql/*/bin/pgbench";

/// A kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// nginx, a small static page over kept-alive connections.
    Nginx,
    /// gunicorn with psycopg2, one query per request.
    Gunicorn,
    /// ASP.NET Core with Npgsql, one query per request, with the standard template's logging.
    Dotnet,
    /// The same, with the bridge to .NET off: what the wire alone costs.
    DotnetWire,
    /// `net/http` with lib/pq, one query per request.
    Go,
    /// The same, without probes: what the wire alone costs.
    GoWire,
    /// Express with a pool of pg and ioredis, one query and one command per request.
    Node(Major),
    /// The same, without our script: what the wire alone costs.
    NodeWire(Major),
    /// pgbench, watched as a client.
    Pgbench,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 11] = [
        Scenario::Nginx,
        Scenario::Gunicorn,
        Scenario::Dotnet,
        Scenario::DotnetWire,
        Scenario::Go,
        Scenario::GoWire,
        Scenario::Node(Major(20)),
        Scenario::NodeWire(Major(20)),
        Scenario::Node(Major(24)),
        Scenario::NodeWire(Major(24)),
        Scenario::Pgbench,
    ];

    /// Name in tables and JSON.
    pub fn name(self) -> String {
        match self {
            Scenario::Nginx => "nginx, small page, keep-alive".to_owned(),
            Scenario::Gunicorn => "gunicorn + psycopg2, one query".to_owned(),
            Scenario::Dotnet => "ASP.NET Core + Npgsql, one query".to_owned(),
            Scenario::DotnetWire => "ASP.NET Core + Npgsql, bridge off".to_owned(),
            Scenario::Go => "Go net/http + lib/pq, one query".to_owned(),
            Scenario::GoWire => "Go net/http + lib/pq, probes off".to_owned(),
            Scenario::Node(major) => format!("Node.js {}, Express + pg + ioredis", major.0),
            Scenario::NodeWire(major) => format!("Node.js {}, Express + pg + ioredis, bridge off", major.0),
            Scenario::Pgbench => "pgbench -S as a client".to_owned(),
        }
    }

    /// Pairs of runs to throw away before any counts.
    pub fn warm_up_pairs(self) -> u32 {
        match self {
            // Methods are compiled anew, better, after thirty calls and after some time.
            Scenario::Dotnet | Scenario::DotnetWire => 4,
            _ => 1,
        }
    }

    /// Starts the target on the load's core.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(self) -> Result<Target> {
        Ok(match self {
            Scenario::Nginx => Target::Nginx(Nginx::start_with("taskset", &["-c", "0", "nginx"])?),
            Scenario::Gunicorn => {
                let database = pinned_database(LOAD_CORE)?;
                let program = Program::start_with(App::Gunicorn, &database, &PINNED)?;
                Target::Gunicorn { program, _database: database }
            }
            Scenario::Dotnet | Scenario::DotnetWire => {
                let database = pinned_database(AGENT_CORE)?;
                let program = Web::on(Framework::Net10).database(&database).behind(&PINNED);
                let program = STEADY.iter().fold(program, |program, (name, value)| program.variable(name, *value));
                let program = program.variable("Logging__LogLevel__Microsoft.AspNetCore", "Warning").start()?;
                Target::Dotnet { program, _database: database, bridge: self == Scenario::Dotnet }
            }
            Scenario::Go | Scenario::GoWire => {
                let database = pinned_database(AGENT_CORE)?;
                let program = go_web::start_behind(&PINNED, Build::Fixed, Driver::Pq, &database)?;
                let probes = self == Scenario::Go;
                let decoder = probes.then(Decoder::start).transpose()?;
                let elastic = match decoder {
                    Some(decoder) => {
                        process::pin(decoder.pid(), AGENT_CORE)?;
                        Some(Box::new((go_web::start_with_elastic(&PINNED, &database, &decoder)?, decoder)))
                    }
                    None => None,
                };
                Target::Go { program, elastic, _database: database, probes }
            }
            Scenario::Node(major) => Target::Node(Box::new(Shops::open(major, true)?)),
            Scenario::NodeWire(major) => Target::Node(Box::new(Shops::open(major, false)?)),
            Scenario::Pgbench => {
                let database = pinned_database(LOAD_CORE)?;
                database.prepare_pgbench()?;
                Target::Pgbench(database)
            }
        })
    }
}

pub(super) fn pinned_database(core: usize) -> Result<Postgres> {
    let database = Postgres::start()?;
    // Its backends are forked later and inherit the core.
    process::family(database.pid()).into_iter().try_for_each(|pid| process::pin(pid, core))?;
    Ok(database)
}

/// How hard the target is driven.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Requests per second.
    Fixed(f64),
    /// As fast as it answers.
    Saturating,
}

impl Load {
    /// For people.
    pub fn title(self) -> String {
        match self {
            Load::Fixed(rate) => format!("fixed load ({rate:.0}/s)"),
            Load::Saturating => "saturating load".to_owned(),
        }
    }
}

/// A running target.
pub enum Target {
    /// See [`Scenario::Nginx`].
    Nginx(Nginx),
    /// See [`Scenario::Gunicorn`].
    Gunicorn {
        /// The service.
        program: Program,
        /// What it asks; ends with it.
        _database: Postgres,
    },
    /// See [`Scenario::Dotnet`] and [`Scenario::DotnetWire`].
    Dotnet {
        /// The service.
        program: Program,
        /// What it asks; ends with it.
        _database: Postgres,
        /// The run time is listened to.
        bridge: bool,
    },
    /// See [`Scenario::Go`] and [`Scenario::GoWire`].
    Go {
        /// The service.
        program: Program,
        /// What it asks; ends with it.
        _database: Postgres,
        /// The same with Elastic's agent in it, and where that sends to.
        elastic: Option<Box<(Program, Decoder)>>,
        /// There are probes in it.
        probes: bool,
    },
    /// See [`Scenario::Node`] and [`Scenario::NodeWire`].
    Node(Box<Shops>),
    /// See [`Scenario::Pgbench`]; the client is started for each run.
    Pgbench(Postgres),
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Requests answered.
    pub requests: u64,
    /// CPU time (user and system) the target took for them.
    pub cpu: Duration,
    /// Requests per second.
    pub per_second: f64,
    /// Median time to an answer.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
}

impl Run {
    /// Slices of one run as a whole; times to an answer are the means of theirs.
    pub fn joined(slices: &[Run]) -> Run {
        let count = u32::try_from(slices.len()).unwrap_or(u32::MAX).max(1);
        Run {
            requests: slices.iter().map(|slice| slice.requests).sum(),
            cpu: slices.iter().map(|slice| slice.cpu).sum(),
            per_second: slices.iter().map(|slice| slice.per_second).sum::<f64>() / f64::from(count),
            p50: slices.iter().map(|slice| slice.p50).sum::<Duration>() / count,
            p99: slices.iter().map(|slice| slice.p99).sum::<Duration>() / count,
        }
    }

    /// CPU time of the target per request, µs.
    pub fn cpu_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }
}

impl Target {
    /// Arguments of `apm-agent` that choose it.
    pub fn selection(&self) -> Vec<String> {
        match self {
            Target::Nginx(nginx) => vec!["--pid".to_owned(), nginx.pid().to_string()],
            Target::Gunicorn { program, .. } => vec!["--pid".to_owned(), program.pid().to_string()],
            Target::Node(shops) => shops.selection(),
            Target::Dotnet { program, bridge, .. } => {
                vec!["--pid".to_owned(), program.pid().to_string(), format!("--dotnet-bridge={bridge}")]
            }
            Target::Go { program, probes, .. } => {
                vec!["--pid".to_owned(), program.pid().to_string(), format!("--go-probes={probes}")]
            }
            Target::Pgbench(_) => vec!["--exe".to_owned(), PGBENCH.to_owned()],
        }
    }

    /// What the agent says when all of it is in place.
    pub fn ready(&self) -> Option<&'static str> {
        match self {
            Target::Dotnet { bridge: true, .. } => Some("listening to .NET"),
            Target::Go { probes: true, .. } => Some("Go's probes are set"),
            Target::Node(shops) => shops.bridge.then_some(express::LISTENING),
            _ => None,
        }
    }

    /// How many requests it is put under load for after the agent has come or gone, before anything counts: what its
    /// run time has compiled is thrown away then, and compiled anew.
    pub fn settling(&self) -> Option<u64> {
        matches!(self, Target::Node(_)).then_some(SETTLING)
    }

    /// There is a process besides that is never watched, so that one which was can be compared with it.
    pub fn has_twin(&self) -> bool {
        matches!(self, Target::Node(_))
    }

    /// There is a process besides with Elastic's agent in it.
    pub fn has_elastic(&self) -> bool {
        match self {
            Target::Go { elastic, .. } => elastic.is_some(),
            Target::Node(shops) => shops.elastic.is_some(),
            _ => false,
        }
    }

    /// Puts it under load once.
    ///
    /// # Errors
    /// If the load fails.
    pub fn run(&self, side: Side, load: Load, duration: Duration) -> Result<Run> {
        match self {
            Target::Nginx(nginx) => Server { pid: nginx.pid(), port: nginx.port(), path: "/", keep_alive: true }
                .run(LOAD_CORE, load, duration),
            Target::Gunicorn { program, .. } => {
                Server { pid: program.pid(), port: program.port(), path: "/item/7", keep_alive: false }
                    .run(LOAD_CORE, load, duration)
            }
            // Alone on its core: beside others the way its threads take turns changes from run to run.
            Target::Dotnet { program, .. } => {
                Server { pid: program.pid(), port: program.port(), path: "/one/7", keep_alive: true }
                    .run(AGENT_CORE, load, duration)
            }
            Target::Go { program, elastic, .. } => {
                let with = elastic.as_ref().filter(|_| side == Side::Elastic).map(|elastic| &elastic.0);
                item(with.unwrap_or(program)).run(AGENT_CORE, load, duration)
            }
            Target::Node(shops) => item(shops.at(side)?).run(AGENT_CORE, load, duration),
            Target::Pgbench(database) => pgbench(database, load, duration),
        }
    }
}

fn item(program: &Program) -> Server<'_> {
    Server { pid: program.pid(), port: program.port(), path: "/item/7", keep_alive: true }
}

/// A target that answers HTTP.
struct Server<'a> {
    pid: u32,
    port: u16,
    path: &'a str,
    keep_alive: bool,
}

impl Server<'_> {
    /// One run, with the load on `core`.
    fn run(&self, core: usize, load: Load, duration: Duration) -> Result<Run> {
        let Self { pid, port, path, keep_alive } = *self;
        let before = process::cpu_time(pid);
        let measured = match load {
            Load::Saturating => {
                let prefix = if core == LOAD_CORE { &PINNED } else { &BESIDE };
                load::wrk(prefix, CONNECTIONS, duration, &format!("http://127.0.0.1:{port}{path}"))?
            }
            Load::Fixed(per_second) => {
                let core = Some(core);
                Steady { port, path, connections: CONNECTIONS, keep_alive, per_second, duration, core }.run()?
            }
        };
        let cpu = process::cpu_time(pid).saturating_sub(before);
        let Measured { requests, per_second, p50, p99 } = measured;
        Ok(Run { requests, cpu, per_second, p50, p99 })
    }
}

/// One client thread, so that its CPU time is that of the process; every tenth transaction is logged for percentiles.
fn pgbench(database: &Postgres, load: Load, duration: Duration) -> Result<Run> {
    let folder = TempDir::new()?;
    let inner = database.pgbench();
    let mut command = Command::new(PINNED[0]);
    command.args(PINNED.iter().skip(1)).arg(inner.get_program()).args(inner.get_args()).env("PGSSLMODE", "disable");
    command.args(["-S", "-j1", "--log", "--sampling-rate=0.1", "--log-prefix"]).arg(folder.path().join("log"));
    command.arg(format!("-c{CONNECTIONS}")).arg(format!("-T{}", duration.as_secs()));
    if let Load::Fixed(rate) = load {
        command.arg(format!("--rate={rate:.0}"));
    }
    let limit = duration + Duration::from_secs(60);
    let mut child = Child::start("pgbench", command.arg("postgres"))?;
    let cpu = process::cpu_time_at_end(child.pid(), limit)?;
    ensure!(child.wait_for_end(limit)?.success(), "pgbench failed:\n{}", child.output());
    let output = child.output();
    let times = logged_times(&folder)?;
    Ok(Run {
        requests: number_after(&output, "number of transactions actually processed: ")?,
        cpu,
        per_second: number_after(&output, "tps = ")?,
        p50: percentile(&times, 50),
        p99: percentile(&times, 99),
    })
}

fn number_after<T: std::str::FromStr>(text: &str, marker: &str) -> Result<T> {
    let rest = text.split_once(marker).with_context(|| format!("pgbench prints `{marker}`:\n{text}"))?.1;
    let word = rest.split(|character: char| character.is_whitespace() || character == '/').next().unwrap_or_default();
    word.parse().ok().with_context(|| format!("`{word}` after `{marker}` is not a number"))
}

/// Third column of pgbench's log: microseconds of the transaction.
fn logged_times(folder: &TempDir) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for entry in fs::read_dir(folder.path())? {
        let text = fs::read_to_string(entry?.path())?;
        let columns = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok());
        times.extend(columns.map(Duration::from_micros));
    }
    times.sort_unstable();
    Ok(times)
}
