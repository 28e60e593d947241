//! Fuzzes the parser `postgresql`: see the library for what is checked.
#![no_main]

apm_agent_fuzz::fuzz_protocol!("postgresql");
