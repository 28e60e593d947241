use super::*;
use crate::build::{Destination, Otel, sample};

const MS: u64 = 1_000_000;

fn capture() -> Capture {
    Capture::default()
}

fn buffer(capture: Capture) -> SpanBuffer {
    SpanBuffer::new(Limits::new(&capture))
}

/// A query that starts `at` ms into the transaction and takes `length` ms.
fn query(id: u64, at: u64, length: u64) -> Span {
    Span { start: 1_000_000 + at * 1000, duration: length * MS, ..sample::span(id) }
}

fn named(mut span: Span, name: &str) -> Span {
    span.name = name.into();
    span
}

fn ids(spans: &[Span]) -> Vec<u64> {
    spans.iter().map(|span| span.place.id.0).collect()
}

#[test]
fn merges_equal_neighbours() {
    let mut spans = buffer(capture());
    for number in 0..3 {
        assert!(spans.push(query(10 + number, number * 10, 5), false).is_empty());
    }
    let (ready, statistics) = spans.end();
    assert_eq!(ids(&ready), [10]);
    assert_eq!(ready[0].composite, Some(Composite { strategy: EXACT_MATCH, count: 3, sum: 15 * MS }));
    assert_eq!((ready[0].start, ready[0].duration), (1_000_000, 25 * MS));
    assert_eq!(statistics, SpanStatistics { started: 1, ..SpanStatistics::default() });
}

#[test]
fn reports_the_waiting_span_before_a_different_one() {
    let mut spans = buffer(capture());
    assert!(spans.push(query(10, 0, 5), false).is_empty());
    assert_eq!(ids(&spans.push(named(query(11, 5, 5), "INSERT INTO x"), false)), [10]);
    let (ready, statistics) = spans.end();
    assert_eq!(ids(&ready), [11]);
    assert_eq!((ready[0].composite, statistics.started), (None, 2));
}

#[test]
fn merges_no_slow_spans() {
    let mut spans = buffer(capture());
    spans.push(query(10, 0, 5), false);
    assert_eq!(ids(&spans.push(query(11, 5, 51), false)), [10]);
    assert_eq!(ids(&spans.push(query(12, 60, 5), false)), [11], "the waiting one is slow");
    assert_eq!(ids(&spans.end().0), [12]);
}

#[test]
fn merges_by_kind_only_when_asked() {
    let by_kind = Capture { compression_same_kind: Duration::from_millis(10), ..capture() };
    let mut spans = buffer(by_kind);
    spans.push(query(10, 0, 5), false);
    spans.push(named(query(11, 5, 5), "INSERT INTO x"), false);
    spans.push(named(query(12, 10, 10), "DELETE FROM x"), false);
    assert_eq!(ids(&spans.push(named(query(13, 20, 11), "UPDATE x"), false)), [10]);
    let (ready, _) = spans.end();
    assert_eq!(ids(&ready), [13]);
}

#[test]
fn names_merged_kinds_by_target() {
    let target = |kind: &str, name: Option<&str>| ServiceTarget { kind: kind.into(), name: name.map(Into::into) };
    assert_eq!(calls_to(&target("postgresql", Some("shop"))), "Calls to postgresql/shop");
    assert_eq!(calls_to(&target("redis", None)), "Calls to redis");
    assert_eq!(calls_to(&target("", Some("x"))), "Calls to x");
    assert_eq!(calls_to(&target("", None)), "Calls to unknown");
    let mut spans = buffer(Capture { compression_same_kind: Duration::from_millis(10), ..capture() });
    spans.push(query(10, 0, 5), false);
    spans.push(named(query(11, 5, 5), "INSERT INTO x"), false);
    let (ready, _) = spans.end();
    assert_eq!(ready[0].name, "Calls to postgresql/shop");
    assert_eq!(ready[0].composite.unwrap().strategy, SAME_KIND);
}

#[test]
fn keeps_an_exact_composite_to_its_name() {
    let mut spans = buffer(Capture { compression_same_kind: Duration::from_millis(50), ..capture() });
    spans.push(query(10, 0, 5), false);
    spans.push(query(11, 5, 5), false);
    assert_eq!(ids(&spans.push(named(query(12, 10, 5), "INSERT INTO x"), false)), [10]);
}

#[test]
fn merges_nothing_propagated_failed_or_switched_off() {
    let mut spans = buffer(capture());
    assert_eq!(ids(&spans.push(query(10, 0, 5), true)), [10]);
    let failed = Span { outcome: Outcome::Failure, ..query(12, 5, 5) };
    assert!(spans.push(query(11, 5, 5), false).is_empty());
    assert_eq!(ids(&spans.push(failed, false)), [11, 12]);
    let unknown = Span { outcome: Outcome::Unknown, ..query(13, 10, 5) };
    assert_eq!(ids(&spans.push(unknown, false)), [13], "it may have failed");
    let mut spans = buffer(Capture { compression: false, ..capture() });
    assert_eq!(ids(&spans.push(query(10, 0, 5), false)), [10]);
}

#[test]
fn keeps_parents_apart() {
    let under = |mut span: Span, parent| {
        span.place.parent = Some(SpanId(parent));
        span
    };
    let mut spans = buffer(capture());
    assert!(spans.push(under(query(10, 0, 5), 1), false).is_empty());
    assert!(spans.push(under(query(11, 1, 5), 2), false).is_empty());
    assert!(spans.push(under(query(12, 2, 5), 1), false).is_empty());
    let (ready, _) = spans.end();
    assert_eq!(ids(&ready), [10, 11]);
    assert_eq!(ready[0].composite.unwrap().count, 2);
}

#[test]
fn drops_fast_spans_with_statistics() {
    let fast = Capture { exit_span_min_duration: Duration::from_millis(2), compression: false, ..capture() };
    let mut spans = buffer(fast);
    assert!(spans.push(query(10, 0, 1), false).is_empty());
    assert_eq!(ids(&spans.push(query(11, 1, 1), true)), [11], "somebody may be its child");
    assert_eq!(ids(&spans.push(query(12, 2, 2), false)), [12]);
    let failed = Span { outcome: Outcome::Failure, ..query(13, 5, 1) };
    assert_eq!(ids(&spans.push(failed, false)), [13]);
    let (_, statistics) = spans.end();
    assert_eq!((statistics.started, statistics.dropped), (3, 1));
    let entry = &statistics.dropped_spans[0];
    assert_eq!((entry.kind, entry.outcome, entry.count, entry.sum_us), ("db", Outcome::Success, 1, 1000));
}

#[test]
fn judges_a_composite_as_a_whole() {
    let fast = Capture { exit_span_min_duration: Duration::from_millis(8), ..capture() };
    let mut spans = buffer(fast.clone());
    spans.push(query(10, 0, 1), false);
    spans.push(query(11, 9, 1), false);
    assert_eq!(ids(&spans.end().0), [10], "10 ms from start to end");
    let mut spans = buffer(fast);
    spans.push(query(10, 0, 1), false);
    spans.push(query(11, 3, 1), false);
    let (ready, statistics) = spans.end();
    assert!(ready.is_empty());
    assert_eq!((statistics.dropped, statistics.dropped_spans[0].count), (1, 2));
}

#[test]
fn drops_over_the_limit_with_statistics() {
    let mut spans = buffer(Capture { max_spans: 2, ..capture() });
    spans.push(query(10, 0, 5), true);
    spans.push(query(11, 5, 5), true);
    assert!(spans.push(query(12, 10, 5), true).is_empty());
    let failed = Span { outcome: Outcome::Failure, ..query(13, 15, 5) };
    assert!(spans.push(failed, false).is_empty());
    let (_, statistics) = spans.end();
    assert_eq!((statistics.started, statistics.dropped), (2, 2));
    assert_eq!(statistics.dropped_spans.len(), 2, "one entry for each outcome");
}

#[test]
fn caps_the_statistics() {
    let mut spans = buffer(Capture { max_spans: 0, ..capture() });
    for number in 0..200 {
        let mut span = query(number, number, 1);
        span.destination.target.name = Some(number.to_string());
        spans.push(span, false);
    }
    let (_, statistics) = spans.end();
    assert_eq!((statistics.dropped, statistics.dropped_spans.len()), (200, MAX_STATISTICS));
}

#[test]
fn leaves_spans_of_the_bridge_as_they_are() {
    let inner = |id, at| Span {
        kind: "app",
        destination: Destination::default(),
        otel: Some(Otel::default()),
        ..query(id, at, 1)
    };
    let fast = Capture { exit_span_min_duration: Duration::from_millis(2), max_spans: 2, ..capture() };
    let mut buffer = SpanBuffer::new(Limits::new(&fast));
    let sent: Vec<usize> = (0..3).map(|number| buffer.push(inner(10 + number, number), false).len()).collect();
    let (_, statistics) = buffer.end();
    assert_eq!((sent, statistics.started, statistics.dropped), (vec![1, 1, 0], 2, 1));
    assert_eq!(statistics.dropped_spans, [], "it called no service");
}
