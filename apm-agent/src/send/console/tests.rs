use std::sync::Mutex;

use super::*;
use crate::{
    build::{Composite, Destination, ErrorLog, Otel, Outcome, failure, sample},
    correlate::SpanId,
};

/// Collects what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn printed(colored: bool, width: usize, documents: &[Document]) -> String {
    let paper = Paper::default();
    let tree = Tree { style: Style { colored }, width };
    let mut output = ConsoleOutput::new(tree, Writer::new(paper.clone()).unwrap(), false);
    let instance = Arc::new(ServiceInstance { name: "shop".into(), ..ServiceInstance::default() });
    for document in documents {
        output.publish(&instance, document);
    }
    output.finish();
    assert_eq!(output.counters(), [("send.console.dropped", 0)]);
    let bytes = paper.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn documents() -> Vec<Document> {
    let mut late_start = sample::span(3);
    (late_start.start, late_start.duration, late_start.outcome) = (1_012_000, 8_000_000, Outcome::Failure);
    let mut merged = sample::span(2);
    merged.composite = Some(Composite { strategy: "exact_match", count: 3, sum: 3_000_000 });
    let mut below = sample::span(4);
    (below.place.parent, below.start, below.duration) = (Some(SpanId(3)), 1_013_000, 400_000);
    (below.kind, below.subtype, below.db, below.outcome) = ("external", "http".into(), None, Outcome::Unknown);
    below.destination.target.kind = "http".into();
    below.destination.target.name = Some("127.0.0.1:5432".into());
    vec![
        Document::Span(late_start),
        Document::Error(sample::error()),
        Document::Span(below),
        Document::Span(merged),
        Document::Transaction(sample::transaction()),
    ]
}

#[test]
fn prints_a_tree_in_order_of_start() {
    insta::assert_snapshot!(printed(false, 60, &documents()));
}

#[test]
fn paints_when_asked() {
    let text = printed(true, 60, &documents());
    insta::assert_snapshot!(text.replace('\x1b', "^"));
}

#[test]
fn tells_exit_transactions_late_spans_and_lone_errors() {
    let mut exit = sample::transaction();
    (exit.kind, exit.name, exit.http, exit.result) = ("exit", "SELECT FROM products".into(), None, None);
    exit.spans_dropped = 7;
    let mut lone = sample::error();
    (lone.within, lone.handled) = (None, false);
    let mut never = sample::span(9);
    never.transaction = Some(SpanId(77));
    let documents = [
        Document::Span(never),
        Document::Transaction(exit),
        Document::Span(sample::span(8)),
        Document::Error(sample::error()),
        Document::Error(lone),
    ];
    insta::assert_snapshot!(printed(false, 100, &documents));
}

#[test]
fn shows_inner_spans_and_where_errors_came_from() {
    let inner = Span {
        kind: "app",
        subtype: "internal".into(),
        destination: Destination::default(),
        db: None,
        name: "reckon".into(),
        otel: Some(Otel::default()),
        ..sample::span(2)
    };
    let place = sample::place(3, Some(2));
    let unknown = Span { place, kind: "unknown", subtype: "".into(), name: "wait".into(), ..inner.clone() };
    let homeless = Span { transaction: None, ..inner.clone() };
    let within = sample::error().within;
    let thrown = failure::of_exception(&sample::thrown(), false, 50, TraceId(0xe), 1_003_000, within);
    let lone = ErrorEvent { within: None, ..thrown.clone() };
    let log = Some(ErrorLog { message: "order 7 failed".into(), ..ErrorLog::default() });
    let logged = ErrorEvent { log, ..ErrorEvent::new(sample::error().id, 1_000_000, None) };
    let documents = [
        Document::Span(inner),
        Document::Span(unknown),
        Document::Error(thrown),
        Document::Transaction(sample::transaction()),
        Document::Span(homeless),
        Document::Error(lone),
        Document::Error(logged),
    ];
    insta::assert_snapshot!(printed(false, 100, &documents));
}

#[test]
fn lets_nothing_command_the_terminal() {
    let mut strange = sample::transaction();
    strange.name = "GET \x1b[2J\u{9b}x".into();
    strange.http.as_mut().unwrap().url.full = "http://\x07".into();
    let mut span = sample::span(2);
    span.name = "a\rb".into();
    span.db.as_mut().unwrap().statement = Some("\n\n\tSELECT\x1b]0;x\nsecond".into());
    let text = printed(false, 100, &[Document::Span(span), Document::Transaction(strange)]);
    assert!(text.chars().all(|character| !character.is_control() || character == '\n'), "{text:?}");
    assert!(text.contains("SELECT·]0;x") && !text.contains("second"), "{text}");
}

#[test]
fn bounds_what_waits() {
    let paper = Paper::default();
    let tree = Tree { style: Style { colored: false }, width: 80 };
    let mut output = ConsoleOutput::new(tree, Writer::new(paper).unwrap(), false);
    let instance = Arc::default();
    for number in 0..MAX_WAITING as u64 + 100 {
        let mut span = sample::span(number);
        span.transaction = Some(SpanId(number));
        output.publish(&instance, &Document::Span(span));
    }
    assert_eq!((output.waiting_items, output.waiting.len()), (MAX_WAITING, MAX_WAITING));
    for number in 0..MAX_PRINTED as u64 + 100 {
        let mut transaction = sample::transaction();
        transaction.place.id = SpanId(100_000 + number);
        output.publish(&instance, &Document::Transaction(transaction));
    }
    assert_eq!(output.printed.len(), MAX_PRINTED);
    output.finish();
    assert_eq!((output.waiting_items, output.waiting.len()), (0, 0));
}

#[test]
fn drops_when_the_terminal_stands_still() {
    /// Blocks for as long as the test holds the lock.
    struct Stuck(Arc<Mutex<()>>);
    impl io::Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.0.lock());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let tree = Tree { style: Style { colored: false }, width: 80 };
    let mut output = ConsoleOutput::new(tree, Writer::new(Stuck(Arc::clone(&gate))).unwrap(), false);
    for _ in 0..5000 {
        output.publish(&Arc::default(), &Document::Transaction(sample::transaction()));
    }
    assert!(output.counters()[0].1 >= 5000 - 4096 - 1);
    drop(held);
    output.finish();
}
