//! Fuzzes the reader of SQL statements (`build::sql`).
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let statement = String::from_utf8_lossy(input);
    let name = apm_agent::build::sql::signature(&statement);
    assert!(name.len() <= statement.len() + 64, "a name is shorter than its statement: {name}");
});
