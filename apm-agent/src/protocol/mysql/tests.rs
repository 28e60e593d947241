//! Conversations that no recorded program had.

use super::session::Session;
use crate::exchange::{Ending, Payload, Side, Signal, Sql, SqlOperation, Stamp};
use crate::protocol::{Conversation, Join};

const DONE: &[u8] = b"\0\x03\0\x02\0\0\0";
const ROWS: [&[u8]; 4] = [b"\x01", b"\x03def\0\0\0\x011\0\x0c\x3f\0", b"\x011", b"\xfe\0\0\x02\0\0\0"];

/// A conversation and what it has said, a microsecond a step.
struct Played {
    session: Session,
    time: u64,
    signals: Vec<Signal>,
}

impl Played {
    fn new(join: Join) -> Self {
        Played { session: Session::new(join), time: 0, signals: Vec::new() }
    }

    /// A session that has begun, with these capabilities on both sides.
    fn begun(capabilities: u32) -> Self {
        let mut played = Self::new(Join::Start);
        let [low, high] = [capabilities as u16, (capabilities >> 16) as u16].map(u16::to_le_bytes);
        let greeting = [&b"\x0a8.0.35\0\x01\0\0\0abcdefgh\0"[..], &low, b"\x21\x02\0", &high].concat();
        played.server(&[(0, &greeting)]);
        let response = [&(capabilities | 0x0200).to_le_bytes()[..], &[0; 28], b"ann\0\0"].concat();
        played.client(&[(1, &response)]);
        played.server(&[(2, b"\0\0\0\x02\0\0\0")]);
        played
    }

    fn feed(&mut self, from: Side, packets: &[(u8, &[u8])]) {
        let bytes: Vec<u8> = packets
            .iter()
            .flat_map(|(sequence, body)| [&(body.len() as u32).to_le_bytes()[..3], &[*sequence], body].concat())
            .collect();
        self.time += 1000;
        self.session.feed(from, &bytes, Stamp { time: self.time, mark: 0 }, &mut self.signals);
    }

    fn client(&mut self, packets: &[(u8, &[u8])]) {
        self.feed(Side::Client, packets);
    }

    fn server(&mut self, packets: &[(u8, &[u8])]) {
        self.feed(Side::Server, packets);
    }

    /// A result set of one row, its packets numbered from `first` on.
    fn rows(&mut self, first: u8) {
        let packets: Vec<(u8, &[u8])> = (first..).zip(ROWS).collect();
        self.server(&packets);
    }

    fn finish(mut self) -> Vec<(Ending, Sql)> {
        self.session.finish(Stamp { time: self.time + 1, mark: 0 }, &mut self.signals);
        let done = |signal| match signal {
            Signal::Done(exchange) => Some(*exchange),
            _ => None,
        };
        let exchanges = self.signals.into_iter().filter_map(done);
        exchanges
            .map(|exchange| match exchange.payload {
                Payload::Sql(sql) => (exchange.ending, sql),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

fn texts(exchanges: &[(Ending, Sql)]) -> Vec<(Ending, Option<&str>)> {
    exchanges.iter().map(|(ending, sql)| (*ending, sql.statement.as_deref())).collect()
}

const DEPRECATE_EOF: u32 = 1 << 24;

#[test]
fn runs_the_statement_prepared_last_in_one_write() {
    let mut played = Played::begun(DEPRECATE_EOF);
    // As MariaDB's connectors do: prepare and execute at once, by a number that stands for the last.
    played.client(&[(0, b"\x16SELECT 1"), (0, b"\x17\xff\xff\xff\xff\0\x01\0\0\0")]);
    played.server(&[(1, b"\0\x07\0\0\0\x01\0\0\0\0\0\0"), (2, ROWS[1])]);
    played.rows(1);
    played.client(&[(0, b"\x17\x07\0\0\0\0\x01\0\0\0")]);
    played.rows(1);
    let exchanges = played.finish();
    let expected = [None, Some("SELECT 1"), Some("SELECT 1"), Some("SELECT 1")];
    assert_eq!(texts(&exchanges), expected.map(|text| (Ending::Complete, text)));
    assert_eq!(exchanges[1].1.operation, SqlOperation::Prepare);
}

#[test]
fn a_statement_prepared_unseen_is_unknown() {
    let mut played = Played::new(Join::Late);
    played.client(&[(0, b"\x17\x01\0\0\0\0\x01\0\0\0")]);
    played.rows(1);
    played.client(&[(0, b"\x16SELECT 2")]);
    played.server(&[(1, b"\0\x02\0\0\0\0\0\0\0\0\0\0")]);
    played.client(&[(0, b"\x17\x02\0\0\0\0\x01\0\0\0")]);
    played.server(&[(1, DONE)]);
    // Closed, and the number given again.
    played.client(&[(0, b"\x19\x02\0\0\0"), (0, b"\x17\x02\0\0\0\0\x01\0\0\0")]);
    played.server(&[(1, DONE)]);
    let exchanges = played.finish();
    let expected = [None, Some("SELECT 2"), Some("SELECT 2"), None];
    assert_eq!(texts(&exchanges), expected.map(|text| (Ending::Complete, text)));
    assert_eq!(exchanges[2].1.rows_affected, Some(3));
    assert!(exchanges.iter().all(|(_, sql)| sql.database.is_none() && sql.user.is_none()));
}

#[test]
fn encryption_compression_and_replication_are_opaque() {
    for (capabilities, packets) in
        [(1 << 5, vec![]), (1 << 26, vec![]), (0, vec![(0, &b"\x12\x04\0\0\0\0\0\x01\0\0\0"[..])])]
    {
        let mut played = Played::begun(capabilities);
        if !packets.is_empty() {
            played.client(&packets);
        }
        assert_eq!(played.signals.last(), Some(&Signal::Opaque), "{capabilities:x}");
        assert_eq!(played.finish().len(), 1, "the session's start was seen");
    }
    let mut played = Played::new(Join::Start);
    played.server(&[(0, b"\x0a8.0.35\0\x01\0\0\0abcdefgh\0\xff\xff\x21\x02\0\xff\xdf\x15")]);
    played.client(&[(1, &[&[0x00, 0x0a, 0, 0][..], &[0; 28]].concat())]);
    assert_eq!(played.signals, [Signal::Opaque]);
}

#[test]
fn the_end_of_rows_is_recognised_behind_a_gap() {
    let mut played = Played::begun(0);
    played.client(&[(0, b"\x03SELECT 1")]);
    played.server(&[(1, ROWS[0]), (2, ROWS[1]), (3, b"\xfe\0\0\x02\0")]);
    let at = Stamp { time: played.time + 1, mark: 0 };
    played.session.gap(Side::Server, 100_000, at, &mut played.signals);
    played.server(&[(200, b"\x04tail"), (201, b"\xfe\0\0\x02\0")]);
    // What is seen of the next is whole again.
    played.client(&[(0, b"\x03SELECT 2")]);
    played.server(&[(1, DONE)]);
    let exchanges = played.finish();
    let expected = [None, Some("SELECT 1"), Some("SELECT 2")];
    assert_eq!(texts(&exchanges), expected.map(|text| (Ending::Complete, text)));
}

#[test]
fn an_answer_with_a_wrong_number_is_nobodys() {
    let mut played = Played::begun(0);
    played.client(&[(0, b"\x03SELECT 1")]);
    played.server(&[(2, DONE)]);
    played.client(&[(0, b"\x03SELECT 2")]);
    played.server(&[(1, DONE)]);
    let exchanges = played.finish();
    assert_eq!(texts(&exchanges)[1..], [(Ending::Lost, Some("SELECT 1")), (Ending::Complete, Some("SELECT 2"))]);
}

#[test]
fn commands_in_flight_of_a_late_join_are_in_doubt() {
    let mut played = Played::new(Join::Late);
    played.client(&[(0, b"\x03SELECT 1")]);
    played.client(&[(0, b"\x03SELECT 2")]);
    played.server(&[(1, DONE)]);
    played.server(&[(1, DONE)]);
    let exchanges = played.finish();
    assert!(texts(&exchanges).iter().all(|(ending, _)| *ending != Ending::Complete), "{exchanges:?}");
    assert!(exchanges.iter().all(|(_, sql)| sql.rows_affected.is_none()));
}

#[test]
fn a_query_with_attributes_is_its_text() {
    let mut played = Played::begun(1 << 27 | DEPRECATE_EOF);
    played.client(&[(0, b"\x03\0\x01SELECT 1")]);
    played.rows(1);
    played.client(&[(0, b"\x03\x01\x01\0\x01\xfe\0\x0btraceparent\x0200SELECT 2")]);
    played.rows(1);
    let expected = [None, Some("SELECT 1"), Some("SELECT 2")];
    assert_eq!(texts(&played.finish()), expected.map(|text| (Ending::Complete, text)));
}

#[test]
fn reports_of_progress_and_results_without_definitions_are_followed() {
    let mut played = Played::begun(0);
    played.client(&[(0, b"\x03ALTER TABLE a FORCE")]);
    played.server(&[(1, b"\xff\xff\xff\x01\x01\x02\x10\x27\0\x04copy"), (2, DONE)]);
    // MariaDB leaves out the definitions that the client has.
    played.client(&[(0, b"\x03SELECT 1")]);
    played.server(&[(1, b"\x01\0"), (2, b"\xfe\0\0\x02\0"), (3, b"\0\x011"), (4, b"\xfe\0\0\x02\0")]);
    let exchanges = played.finish();
    assert_eq!(texts(&exchanges)[2], (Ending::Complete, Some("SELECT 1")));
    assert_eq!((exchanges[1].1.rows_affected, &exchanges[1].1.error), (Some(3), &None));
}
