//! Fuzzes incoming trace context (`correlate::trace_context`). Lines of the input: `traceparent`, `tracestate`, the older header.
#![no_main]

use apm_agent::{
    config::Continuation,
    correlate::trace_context::{begin, format_traceparent, read},
    exchange::TraceHeaders,
};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n').map(|line| (!line.is_empty()).then(|| line.to_owned()));
    let mut line = || lines.next().flatten();
    let headers = TraceHeaders {
        traceparent: line(),
        tracestate: line(),
        elastic_traceparent: line(),
        traceparent_count: u32::from(!text.len().is_multiple_of(7)),
    };
    let Some(incoming) = read(&headers) else { return };
    // What was read and is said again is read as the same.
    let said = format_traceparent(incoming.trace, incoming.parent, incoming.sampled);
    let again = read(&TraceHeaders { traceparent: Some(said), traceparent_count: 1, ..TraceHeaders::default() });
    let again = again.expect("our own `traceparent` is valid");
    assert_eq!((again.trace, again.parent, again.sampled), (incoming.trace, incoming.parent, incoming.sampled));
    assert!(incoming.sample_rate.is_none_or(|rate| (0.0..=1.0).contains(&rate)));
    for strategy in [Continuation::Continue, Continuation::Restart, Continuation::RestartExternal] {
        begin(Some(incoming.clone()), strategy);
    }
});
