//! The `apm-agent` command.
fn main() {}
