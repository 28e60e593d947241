//! The `apm-agent` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    apm_agent::command::main()
}
