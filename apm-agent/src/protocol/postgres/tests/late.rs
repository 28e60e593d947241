//! Conversations joined late.

use super::*;

#[test]
fn joined_late_it_waits_for_an_idle_point() {
    let mut talk = Talk::new(Join::Late);
    talk.client(&query("SELECT 1"));
    let skipped = [rows(3), tag("SELECT 3"), ready()].concat();
    talk.server(&skipped);
    talk.client(&[bind("", "unseen"), execute(""), sync()].concat());
    talk.server(&[message(b'2', b""), tag("SELECT 5"), ready()].concat());
    talk.client(&query("SELECT 2"));
    talk.server(&[tag("SELECT 1"), ready()].concat());
    assert_eq!(
        talk.told(),
        [(ONE, None, Ending::Lost), (None, Some(5), Ending::Complete), (TWO, Some(1), Ending::Complete)]
    );
    let losses: Vec<_> = talk.signals.iter().filter(|signal| matches!(signal, Signal::Resynchronised { .. })).collect();
    assert_eq!(losses, [&Signal::Resynchronised { bytes: skipped.len() as u64 }]);
}

#[test]
fn joined_late_a_question_lasts_until_the_doubt_is_settled() {
    let mut talk = Talk::new(Join::Late);
    talk.client(
        &[parse("s", "SELECT 1"), bind("", "s"), execute(""), bind("", "unseen"), execute(""), sync()].concat(),
    );
    let opened = Stamp { time: 1, mark: 1 };
    assert_eq!(talk.signals, [0, 1].map(|serial| Signal::Opened { serial, at: opened }));
    talk.server(&[message(b'1', b""), message(b'2', b""), tag("SELECT 3")].concat());
    assert_eq!(talk.told(), []);
    talk.server(&[message(b'2', b""), tag("SELECT 3"), ready()].concat());
    assert_eq!(talk.told(), [(ONE, None, Ending::Lost), (None, None, Ending::Lost)]);
    for exchange in talk.done() {
        assert_eq!((exchange.opened, exchange.closed), (opened, Stamp { time: 3, mark: 3 }));
        assert_eq!((exchange.response_start, &sql(exchange).error), (None, &None));
    }
}

#[test]
fn in_doubt_a_name_holds_within_its_turn_only() {
    let mut talk = Talk::new(Join::Late);
    // Were this Parse to fail because the name is taken, the next Bind would run the old statement.
    talk.client(&[parse("s", "SELECT 1"), sync()].concat());
    talk.client(&[bind("", "s"), execute(""), sync()].concat());
    talk.server(&[error("ERROR", "42P05"), ready(), message(b'2', b""), tag("SELECT 3"), ready()].concat());
    assert_eq!(talk.told(), [(ONE, None, Ending::Lost), (None, None, Ending::Lost)]);
    let operations: Vec<_> = talk.done().into_iter().map(|exchange| sql(exchange).operation).collect();
    assert_eq!(operations, [SqlOperation::Prepare, SqlOperation::Query]);
}

#[test]
fn a_question_in_doubt_ends_at_a_gap_and_with_the_session() {
    for (end, ending) in [("gap", Ending::Lost), ("close", Ending::Lost), ("finish", Ending::Unfinished)] {
        let mut talk = Talk::new(Join::Late);
        talk.client(&query("SELECT 1"));
        let at = talk.at();
        match end {
            "gap" => talk.conversation.gap(Side::Server, 9, at, &mut talk.signals),
            "close" => talk.conversation.close(Some(Side::Server), at, &mut talk.signals),
            _ => talk.conversation.finish(at, &mut talk.signals),
        }
        assert_eq!(talk.told(), [(ONE, None, ending)], "{end}");
        assert_eq!(talk.done().first().map(|exchange| exchange.closed), Some(at), "{end}");
    }
}

#[test]
fn joined_late_what_is_no_question_is_counted() {
    let mut talk = Talk::new(Join::Late);
    let rest = b"T 1 FROM somewhere\0";
    talk.client(rest);
    let at = talk.at();
    talk.conversation.close(None, at, &mut talk.signals);
    assert_eq!(talk.signals, [Signal::Resynchronised { bytes: rest.len() as u64 }]);
}

#[test]
fn joined_late_it_notices_an_answer_to_another_statement() {
    let mut talk = Talk::new(Join::Late);
    // Always two in flight: what looks idle is not.
    talk.server(&[tag("UPDATE 3"), ready()].concat());
    talk.client(&query("SELECT 1"));
    talk.server(&[tag("UPDATE 4"), ready()].concat());
    assert_eq!(talk.told(), [(ONE, None, Ending::Lost)]);
}

#[test]
fn joined_late_it_leaves_a_pipelining_client_alone_until_it_is_quiet() {
    let mut talk = Talk::new(Join::Late);
    talk.server(&[tag("SELECT 101"), ready()].concat());
    // 102 is in flight, unseen.
    talk.client(&query("SELECT 103"));
    talk.client(&query("SELECT 104"));
    talk.server(&[tag("SELECT 102"), ready()].concat());
    talk.client(&query("SELECT 105"));
    talk.server(&[tag("SELECT 103"), ready(), tag("SELECT 104"), ready(), tag("SELECT 105"), ready()].concat());
    assert!(talk.done().iter().all(|e| e.ending == Ending::Lost));
    talk.time += 200_000_000;
    talk.client(&[query("SELECT 1"), query("SELECT 2")].concat());
    talk.server(&[tag("SELECT 1"), ready(), tag("SELECT 2"), ready()].concat());
    let told = talk.told();
    assert_eq!(
        told.get(told.len() - 2..).expect("two"),
        [(ONE, Some(1), Ending::Complete), (TWO, Some(2), Ending::Complete)]
    );
}

#[test]
fn joined_late_an_unasked_answer_costs_a_round_and_pairs_nothing_wrong() {
    let mut talk = Talk::new(Join::Late);
    talk.server(&[tag("SELECT 1"), ready()].concat());
    talk.client(&query("SELECT 1"));
    talk.server(&[tag("SELECT 1"), ready()].concat());
    // The answer to 2 before its question.
    talk.server(&[tag("SELECT 2"), ready()].concat());
    talk.client(&query("SELECT 2"));
    talk.client(&query("SELECT 3"));
    talk.server(&[tag("SELECT 3"), ready()].concat());
    talk.client(&query("SELECT 2"));
    talk.server(&[tag("SELECT 2"), ready()].concat());
    assert_eq!(
        talk.told(),
        [
            (ONE, Some(1), Ending::Complete),
            (TWO, None, Ending::Lost),
            (Some("SELECT 3"), None, Ending::Lost),
            (TWO, Some(2), Ending::Complete)
        ]
    );
}
