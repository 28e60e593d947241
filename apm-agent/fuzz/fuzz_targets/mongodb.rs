//! Fuzzes the parser `mongodb`: see the library for what is checked.
#![no_main]

apm_agent_fuzz::fuzz_protocol!("mongodb");
