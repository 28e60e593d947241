//! The Go service in `tests/apps/go-web`: net/http with PostgreSQL, each route calling in another way.

use std::process::Command;

use anyhow::Result;

use crate::{
    decoder::Decoder,
    go::{self, Build},
    http,
    postgres::Postgres,
    programs::Program,
};

/// The driver behind `database/sql`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// github.com/lib/pq
    #[default]
    Pq,
    /// github.com/jackc/pgx/v5/stdlib
    Pgx,
}

/// Starts the service.
///
/// # Errors
/// If it does not build or start.
pub fn start(build: Build, driver: Driver, database: &Postgres) -> Result<Program> {
    start_behind(&[], build, driver, database)
}

/// Starts the service with a server that it speaks to in TLS.
///
/// # Errors
/// If it does not build or start.
pub fn start_encrypted(build: Build, driver: Driver, database: &Postgres) -> Result<Program> {
    let command = Command::new(go::compile("go-web", build)?);
    run(command, &[], &[], (driver, &database.encrypted_string()))
}

/// What makes a Go program fail that would only once in a while: collections all the time, memory that is overwritten when
/// it is free, and an end at the first race.
const STRESS: [(&str, &str); 3] =
    [("GOGC", "1"), ("GODEBUG", "clobberfree=1"), ("GORACE", "halt_on_error=1 exitcode=66")];

/// Starts the service with the race detector, so that the least harm is seen.
///
/// # Errors
/// If it does not build or start.
pub fn start_under_stress(database: &Postgres) -> Result<Program> {
    let command = Command::new(go::compile("go-web", Build::Race)?);
    run(command, &STRESS, &[], (Driver::Pq, &database.connection_string()))
}

/// Starts the service behind other words, such as `taskset -c 0`.
///
/// # Errors
/// If it does not build or start.
pub fn start_behind(prefix: &[&str], build: Build, driver: Driver, database: &Postgres) -> Result<Program> {
    run(Command::new(go::compile("go-web", build)?), &[], prefix, (driver, &database.connection_string()))
}

/// Starts the service with Elastic's own agent in it, behind other words. It sends to the decoder, and looks for nothing
/// else beside itself.
///
/// # Errors
/// If it does not build or start.
pub fn start_with_elastic(prefix: &[&str], database: &Postgres, decoder: &Decoder) -> Result<Program> {
    let url = decoder.url();
    let variables = [
        ("ELASTIC_APM_SERVER_URL", url.as_str()),
        ("ELASTIC_APM_CLOUD_PROVIDER", "none"),
        ("ELASTIC_APM_CENTRAL_CONFIG", "false"),
    ];
    run(
        Command::new(go::compile("go-web", Build::Elastic)?),
        &variables,
        prefix,
        (Driver::Pq, &database.connection_string()),
    )
}

fn run(
    mut command: Command,
    variables: &[(&str, &str)],
    prefix: &[&str],
    (driver, database): (Driver, &str),
) -> Result<Program> {
    let port = http::free_port()?;
    command.envs(variables.iter().copied());
    let driver = match driver {
        Driver::Pq => "postgres",
        Driver::Pgx => "pgx",
    };
    command.env("DATABASE_URL", database).env("DRIVER", driver).env("PORT", port.to_string());
    let mut program = Program::run("go-web", &command, prefix, port)?;
    program.wait_until_open()?;
    Ok(program)
}
