//! Fuzzes the readers of `/proc` (`process`, `metadata`).
#![no_main]

use apm_agent::{
    metadata::{container, name},
    process::{Environ, ListenTable, Stat, Status},
};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    Stat::parse(input);
    Status::parse(input);
    let environ = Environ::parse(input);
    environ.get("A");
    environ.resource_attribute("service.name");
    let text = String::from_utf8_lossy(input);
    container::discover(&text, &text);
    let table = ListenTable::parse(input, input);
    table.ports_of(&[0, 111]);
    table.listens(8080, std::net::Ipv4Addr::LOCALHOST.into());
    name::clean_service_name(&text);
    name::clean_label_key(&text);
});
