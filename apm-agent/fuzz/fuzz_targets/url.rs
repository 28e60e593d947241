//! Fuzzes addresses, headers and wildcards (`build`). The input is an HTTP request's target and headers, one a line.
#![no_main]

use apm_agent::{
    build::{destination::Addresses, rules::Rules, sanitize, url, wildcard::Wildcard},
    config::Capture,
    exchange::Http,
};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let (target, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: Vec<_> = rest.split('\n').filter_map(header).collect();
    let http = Http { method: "GET".into(), target: target.into(), version: "1.1", headers, ..Http::default() };
    let addresses = Addresses::default();
    url::of_server(&http, &addresses);
    url::of_call(&http, &addresses).host_and_port();
    url::path(target);
    url::host_and_port(target);
    let names = http.headers.len();
    let clean = sanitize::headers(http.headers, &Rules::new(&Capture::default()));
    assert_eq!(clean.len(), names, "values are hidden, names stay");
    Wildcard::new(target).matches(rest);
});
