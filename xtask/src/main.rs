//! Tasks that cargo alone cannot do: building the BPF object, preparing a machine, end-to-end tests, demo, benchmarks.
//!
//! One file or folder per task, one line in [`Task`].

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod debian;
mod demo;
mod ebpf;
mod fuzz;
mod guest;
mod matrix;
mod setup;
mod shell;
mod test;
mod tree;

/// Tasks of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the BPF object from source, and note the sources it was built from
    Ebpf(ebpf::Arguments),
    /// Prepare this machine for tests, demo and benchmarks
    Setup,
    /// Prepare the machine, build everything and run all tests
    Test(test::Arguments),
    /// Run every fuzz target for a minute, as `test --fuzz` does in the end
    Fuzz,
    /// Run a command under a kernel that is not locked down, in a guest: by default the tests that need one
    Guest(guest::Arguments),
    /// Start a small real service, watch it and print what is seen
    Demo,
    /// Measure what watching costs: paired, interleaved runs with and without the agent
    Bench(bench::Arguments),
    /// Write the README's support matrix from the list of protocols
    Matrix,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Ebpf(arguments) => ebpf::run(&arguments),
        Task::Setup => setup::run(),
        Task::Test(arguments) => test::run(&arguments),
        Task::Fuzz => fuzz::run(),
        Task::Guest(arguments) => guest::run(&arguments),
        Task::Demo => demo::run(),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Matrix => matrix::run(),
    }
}
