//! Conversations with losses, late joins, early answers and hostile bytes. What recorded sessions show is in
//! `tests/transcripts/postgresql/`.

use proptest::prelude::*;

use super::*;
use crate::exchange::{Ending, Exchange, Payload, Side, Signal, Sql, SqlOperation, Stamp};

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0ann\0database\0shop\0\0";
    [&u32::try_from(body.len() + 4).expect("short").to_be_bytes()[..], body].concat()
}

fn query(statement: &str) -> Vec<u8> {
    message(b'Q', &text(statement))
}

fn parse(name: &str, statement: &str) -> Vec<u8> {
    message(b'P', &[text(name), text(statement), vec![0, 0]].concat())
}

fn bind(portal: &str, name: &str) -> Vec<u8> {
    message(b'B', &[text(portal), text(name), vec![0; 6]].concat())
}

fn execute(portal: &str) -> Vec<u8> {
    message(b'E', &[text(portal), vec![0; 4]].concat())
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn tag(tag: &str) -> Vec<u8> {
    message(b'C', &text(tag))
}

fn error(severity: &str, code: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mno\0\0").as_bytes())
}

fn rows(count: usize) -> Vec<u8> {
    message(b'D', &[b"\0\x01\0\0\0\x50".as_slice(), &[b'Z'; 80]].concat()).repeat(count)
}

/// A conversation and what it said.
struct Talk {
    conversation: Box<dyn Conversation>,
    signals: Vec<Signal>,
    time: u64,
}

impl Talk {
    fn new(join: Join) -> Self {
        Talk { conversation: Postgres.conversation(join), signals: Vec::new(), time: 0 }
    }

    /// After a start-up.
    fn ready() -> Self {
        let mut talk = Talk::new(Join::Start);
        talk.client(&startup());
        talk.server(&[message(b'R', &[0; 4]), ready()].concat());
        talk.signals.clear();
        talk
    }

    fn at(&mut self) -> Stamp {
        self.time += 1;
        Stamp { time: self.time, mark: self.time }
    }

    fn client(&mut self, bytes: &[u8]) {
        let at = self.at();
        self.conversation.feed(Side::Client, bytes, at, &mut self.signals);
    }

    fn server(&mut self, bytes: &[u8]) {
        let at = self.at();
        self.conversation.feed(Side::Server, bytes, at, &mut self.signals);
    }

    fn gap(&mut self, from: Side, length: usize) {
        let at = self.at();
        self.conversation.gap(from, length as u64, at, &mut self.signals);
    }

    /// Feeds a call as the kernel captures it: up to `budget` bytes, then a gap, then the last 128 bytes.
    fn captured(&mut self, from: Side, bytes: &[u8], budget: usize) {
        let (first, rest) = bytes.split_at(budget.min(bytes.len()));
        let (skipped, tail) = rest.split_at(rest.len().saturating_sub(128));
        for piece in first.chunks(4096) {
            let at = self.at();
            self.conversation.feed(from, piece, at, &mut self.signals);
        }
        self.gap(from, skipped.len());
        let at = self.at();
        self.conversation.feed(from, tail, at, &mut self.signals);
    }

    fn done(&self) -> Vec<&Exchange> {
        self.signals
            .iter()
            .filter_map(|s| if let Signal::Done(exchange) = s { Some(&**exchange) } else { None })
            .collect()
    }

    /// Statement, rows and ending of each exchange.
    fn told(&self) -> Vec<(Option<&str>, Option<u64>, Ending)> {
        self.done().into_iter().map(|e| (sql(e).statement.as_deref(), sql(e).rows_affected, e.ending)).collect()
    }
}

fn sql(exchange: &Exchange) -> &Sql {
    match &exchange.payload {
        Payload::Sql(sql) => sql,
        Payload::Http(_) => panic!("no SQL"),
    }
}

const ONE: Option<&str> = Some("SELECT 1");
const TWO: Option<&str> = Some("SELECT 2");

#[test]
fn accepted_encryption_is_opaque_and_decrypted_bytes_are_followed() {
    let ask = b"\0\0\0\x08\x04\xd2\x16\x2f";
    let mut talk = Talk::new(Join::Start);
    talk.client(ask);
    talk.server(b"S");
    talk.client(b"\x16\x03\x01\x02\0");
    assert_eq!(talk.signals, [Signal::Opaque]);

    let mut plain = Talk::new(Join::Start);
    plain.client(ask);
    plain.server(b"S");
    plain.client(&startup());
    plain.server(&[message(b'R', &[0; 4]), ready()].concat());
    assert_eq!(plain.done().first().map(|e| sql(e).operation), Some(SqlOperation::Connect));
}

#[test]
fn rows_beyond_the_budget_leave_the_result_known() {
    let mut talk = Talk::ready();
    talk.client(&query("SELECT 1"));
    talk.captured(Side::Server, &[rows(1000), tag("SELECT 1000"), ready()].concat(), 20 * 1024);
    assert_eq!(talk.told(), [(ONE, Some(1000), Ending::Complete)]);
    talk.client(&query("SELECT 2"));
    talk.server(&[tag("SELECT 1"), ready()].concat());
    assert_eq!(talk.told().get(1), Some(&(TWO, Some(1), Ending::Complete)));
}

#[test]
fn rows_of_several_calls_beyond_the_budget_leave_the_result_known() {
    let mut talk = Talk::ready();
    talk.client(&query("SELECT 1; SELECT 2"));
    talk.captured(Side::Server, &rows(1000), 20 * 1024);
    talk.captured(Side::Server, &rows(100), 0);
    talk.captured(Side::Server, &[rows(100), tag("SELECT 1200"), ready()].concat(), 0);
    // Two statements: the other's tag may be in the gap.
    assert_eq!(talk.told(), [(Some("SELECT 1; SELECT 2"), None, Ending::Complete)]);
}

#[test]
fn an_extended_answer_beyond_the_budget_belongs_to_the_last_execute() {
    let mut talk = Talk::ready();
    let first = [parse("", "SELECT 1"), bind("", ""), execute("")].concat();
    let second = [parse("", "SELECT 2"), bind("", ""), execute(""), sync()].concat();
    talk.client(&[first, second].concat());
    let answers = [message(b'1', b""), message(b'2', b""), rows(400), tag("SELECT 400")];
    let more = [message(b'1', b""), message(b'2', b""), rows(400), tag("SELECT 800"), ready()];
    talk.captured(Side::Server, &[answers.concat(), more.concat()].concat(), 10 * 1024);
    assert_eq!(talk.told(), [(ONE, None, Ending::Lost), (TWO, Some(800), Ending::Complete)]);
}

#[test]
fn an_error_beyond_the_budget_is_found() {
    let mut talk = Talk::ready();
    talk.client(&query("SELECT 1"));
    talk.captured(Side::Server, &[rows(1000), error("ERROR", "57014"), ready()].concat(), 20 * 1024);
    let done = talk.done();
    assert_eq!(done.first().and_then(|e| sql(e).error.clone()).map(|e| e.code).as_deref(), Some("57014"));
}

#[test]
fn without_a_certain_tail_the_result_is_lost_and_the_next_is_right() {
    let mut talk = Talk::ready();
    talk.client(&query("SELECT 1"));
    talk.server(&rows(1));
    talk.gap(Side::Server, 500);
    talk.client(&query("SELECT 2"));
    talk.server(&[tag("SELECT 7"), ready()].concat());
    assert_eq!(talk.told(), [(ONE, None, Ending::Lost), (TWO, None, Ending::Lost)]);
    talk.client(&query("SELECT 1"));
    talk.server(&[tag("SELECT 9"), ready()].concat());
    assert_eq!(talk.told().get(2), Some(&(ONE, Some(9), Ending::Complete)));
}

#[test]
fn a_statement_beyond_the_budget_is_cut() {
    let mut talk = Talk::ready();
    let long = format!("SELECT '{}'", "x".repeat(100_000));
    talk.captured(Side::Client, &query(&long), 44 * 1024);
    talk.server(&[rows(1), tag("SELECT 1"), ready()].concat());
    let done = talk.done();
    let exchange = done.first().expect("an exchange");
    assert!(sql(exchange).statement_cut);
    assert_eq!(sql(exchange).statement.as_deref(), long.get(..40_000));
    assert_eq!((sql(exchange).rows_affected, exchange.ending), (Some(1), Ending::Complete));

    talk.captured(Side::Client, &[parse("s", &long), bind("", "s"), execute(""), sync()].concat(), 44 * 1024);
    talk.server(&[message(b'1', b""), message(b'2', b""), tag("SELECT 1"), ready()].concat());
    assert_eq!(talk.told().get(1).map(|told| (told.1, told.2)), Some((Some(1), Ending::Complete)));
    assert_eq!(talk.done().get(1).map(|e| sql(e).statement_cut), Some(true));
}

#[test]
fn after_a_loss_of_client_bytes_names_are_unknown() {
    let mut talk = Talk::ready();
    talk.client(&[parse("s", "SELECT 1"), sync()].concat());
    talk.server(&[message(b'1', b""), ready()].concat());
    talk.gap(Side::Client, 300);
    talk.server(&[message(b'3', b""), message(b'1', b""), ready()].concat());
    talk.client(&[bind("", "s"), execute(""), sync()].concat());
    talk.server(&[message(b'2', b""), tag("SELECT 3"), ready()].concat());
    assert_eq!(talk.told(), [(ONE, None, Ending::Complete), (None, Some(3), Ending::Complete)]);
}

#[test]
fn copy_data_beyond_the_budget_leaves_the_result_and_the_names_known() {
    let mut talk = Talk::ready();
    talk.client(&[parse("s", "SELECT 1"), sync()].concat());
    talk.server(&[message(b'1', b""), ready()].concat());
    talk.client(&query("COPY t FROM STDIN"));
    talk.server(&message(b'G', &[0; 3]));
    let data = message(b'd', &[b'x'; 500]).repeat(200);
    talk.captured(Side::Client, &[data, message(b'c', b"")].concat(), 44 * 1024);
    talk.server(&[tag("COPY 200"), ready()].concat());
    talk.client(&[bind("", "s"), execute(""), sync()].concat());
    talk.server(&[message(b'2', b""), tag("SELECT 3"), ready()].concat());
    let told = talk.told();
    assert_eq!(told.get(1), Some(&(Some("COPY t FROM STDIN"), Some(200), Ending::Complete)));
    assert_eq!(told.get(2), Some(&(ONE, Some(3), Ending::Complete)));
}

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

#[test]
fn an_early_answer_is_held_and_an_old_one_is_none() {
    let mut talk = Talk::ready();
    talk.server(&[tag("SELECT 4"), ready()].concat());
    talk.client(&query("SELECT 1"));
    assert_eq!(talk.told(), [(ONE, Some(4), Ending::Complete)]);
    talk.server(&[tag("SELECT 5"), ready()].concat());
    talk.time += 2_000_000_000;
    talk.client(&query("SELECT 2"));
    talk.server(&[tag("SELECT 2"), ready()].concat());
    assert_eq!(talk.told().get(1), Some(&(TWO, None, Ending::Lost)));
}

#[test]
fn a_held_answer_whose_question_is_lost_is_given_up() {
    let mut talk = Talk::ready();
    talk.server(&[tag("SELECT 4"), ready()].concat());
    talk.gap(Side::Client, 30);
    talk.server(&[tag("SELECT 5"), ready()].concat());
    talk.client(&query("SELECT 1"));
    talk.server(&[tag("SELECT 1"), ready()].concat());
    assert_eq!(talk.told(), [(ONE, Some(1), Ending::Complete)]);
}

#[test]
fn a_fatal_error_while_idle_answers_the_next_query() {
    let mut talk = Talk::ready();
    talk.server(&error("FATAL", "57P05"));
    talk.time += 5_000_000_000;
    talk.client(&query("SELECT 1"));
    let codes: Vec<_> = talk.done().into_iter().filter_map(|e| Some(sql(e).error.clone()?.code)).collect();
    assert_eq!(codes, ["57P05"]);
}

#[test]
fn a_close_or_the_end_of_watching_ends_what_is_open() {
    let mut talk = Talk::ready();
    talk.client(&[query("SELECT 1"), query("SELECT 2")].concat());
    talk.server(&[rows(1), tag("SELECT 1")].concat());
    let at = talk.at();
    talk.conversation.close(Some(Side::Server), at, &mut talk.signals);
    let aborted = Ending::Aborted { by: Some(Side::Server) };
    assert_eq!(talk.told(), [(ONE, Some(1), aborted), (TWO, None, aborted)]);

    let mut talk = Talk::ready();
    talk.client(&query("SELECT 1"));
    let at = talk.at();
    talk.conversation.finish(at, &mut talk.signals);
    assert_eq!(talk.told(), [(ONE, None, Ending::Unfinished)]);
}

#[test]
fn a_failed_parse_never_gives_its_text_to_the_old_statement() {
    let mut talk = Talk::ready();
    talk.client(&[parse("s", "SELECT 1"), sync()].concat());
    talk.server(&[message(b'1', b""), ready()].concat());
    talk.client(&[parse("s", "SELECT 2"), sync()].concat());
    talk.server(&[error("ERROR", "42P05"), ready()].concat());
    talk.client(&[bind("", "s"), execute(""), sync()].concat());
    talk.server(&[message(b'2', b""), tag("SELECT 1"), ready()].concat());
    assert_eq!(talk.told().get(2), Some(&(None, Some(1), Ending::Complete)));
}

#[test]
fn what_comes_after_an_error_before_the_sync_is_never_run() {
    let mut talk = Talk::ready();
    talk.client(&[parse("", "SELECT 1"), message(b'H', b"")].concat());
    talk.server(&error("ERROR", "42601"));
    talk.client(&[bind("", ""), execute(""), sync()].concat());
    talk.server(&ready());
    talk.client(&query("SELECT 2"));
    talk.server(&[tag("SELECT 1"), ready()].concat());
    let aborted = Ending::Aborted { by: Some(Side::Server) };
    let told = talk.told();
    assert_eq!(told.iter().map(|t| t.2).collect::<Vec<_>>(), [Ending::Complete, aborted, Ending::Complete]);
    assert_eq!(told.get(2), Some(&(TWO, Some(1), Ending::Complete)));
    assert!(talk.done().first().is_some_and(|e| sql(e).error.is_some() && sql(e).operation == SqlOperation::Prepare));
}

#[test]
fn memory_stays_bounded_under_a_flood() {
    let mut talk = Talk::ready();
    let one = [parse("", "SELECT 1"), bind("", ""), execute("")].concat();
    for _ in 0..20_000 {
        talk.client(&one);
    }
    assert!(talk.done().iter().all(|e| e.ending == Ending::Lost));
    assert!(!talk.done().is_empty(), "the flood was given up");
    let opened = talk.signals.iter().filter(|s| matches!(s, Signal::Opened { .. })).count();
    assert!(opened - talk.done().len() <= 16_384);
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let kinds = b"QPBDECSHFXdcfpZRKC123nTtDIsEGHWVNSA".to_vec();
    prop_oneof![
        4 => (proptest::sample::select(kinds), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, body)| message(kind, &body)),
        1 => proptest::sample::select(vec![
            query("SELECT 1"), parse("s", "SELECT 2"), bind("", "s"), execute(""), sync(), ready(), tag("SELECT 1"),
            error("ERROR", "1"), error("FATAL", "2"), startup(), message(b'1', b""), message(b'2', b""),
        ]),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
    ]
}

#[derive(Clone, Debug)]
enum Act {
    Feed(Side, Vec<u8>),
    Gap(Side, u64),
    Close,
}

fn any_act() -> impl Strategy<Value = Act> {
    let side = proptest::sample::select(vec![Side::Client, Side::Server]);
    prop_oneof![
        20 => (side.clone(), any_message()).prop_map(|(side, bytes)| Act::Feed(side, bytes)),
        2 => (side, 0..200_u64).prop_map(|(side, length)| Act::Gap(side, length)),
        1 => Just(Act::Close),
    ]
}

/// One round trip of a made-up session, and what it is known to yield.
#[derive(Clone, Debug)]
struct Trip {
    asked: Vec<u8>,
    answered: Vec<u8>,
    statement: String,
    rows: u64,
}

fn any_trip() -> impl Strategy<Value = Trip> {
    (0..1000_u64, 0..300_usize, any::<bool>(), 0..2000_usize).prop_map(|(id, count, simple, padding)| {
        let statement = format!("SELECT {id} /* {} */", "x".repeat(padding));
        let end = [rows(count), tag(&format!("SELECT {id}")), ready()].concat();
        let (asked, answered) = match simple {
            true => (query(&statement), end),
            false => (
                [parse("", &statement), bind("", ""), execute(""), sync()].concat(),
                [message(b'1', b""), message(b'2', b""), end].concat(),
            ),
        };
        Trip { asked, answered, statement, rows: id }
    })
}

proptest! {
    #[test]
    fn never_panics_and_ends_what_it_opens(acts in proptest::collection::vec(any_act(), 0..60), late in any::<bool>()) {
        let mut talk = Talk::new(if late { Join::Late } else { Join::Start });
        for act in acts {
            match act {
                Act::Feed(Side::Client, bytes) => talk.client(&bytes),
                Act::Feed(Side::Server, bytes) => talk.server(&bytes),
                Act::Gap(side, length) => talk.gap(side, length as usize),
                Act::Close => {
                    let at = talk.at();
                    talk.conversation.close(None, at, &mut talk.signals);
                }
            }
        }
        let at = talk.at();
        talk.conversation.finish(at, &mut talk.signals);
        let opened: Vec<u64> = talk.signals.iter().filter_map(|s| if let Signal::Opened { serial, .. } = s { Some(*serial) } else { None }).collect();
        let mut done: Vec<u64> = talk.done().iter().map(|e| e.serial).collect();
        done.sort_unstable();
        prop_assert_eq!(opened, done);
    }

    #[test]
    fn recognising_never_panics(client in any_message(), server in any_message()) {
        for join in [Join::Start, Join::Late] {
            Postgres.recognise(&client, &server, join);
        }
    }

    /// What is uncertain after a late join is the answer, not the question.
    #[test]
    fn joined_late_no_question_is_missed(trips in proptest::collection::vec(any_trip(), 1..6), seen in any::<bool>()) {
        let mut talk = Talk::new(Join::Late);
        // Joined within an answer, or before a question.
        if seen {
            talk.server(&[b"\0\0SELE".as_slice(), &tag("SELECT 5"), &ready()].concat());
        }
        for trip in &trips {
            talk.client(&trip.asked);
            talk.server(&trip.answered);
        }
        let found: Vec<_> = talk.done().into_iter().map(|exchange| sql(exchange).statement.as_deref()).collect();
        let asked: Vec<_> = trips.iter().map(|trip| Some(trip.statement.as_str())).collect();
        prop_assert_eq!(found, asked);
    }

    /// Each statement's rows are its own number: a wrong pair would show, whatever the kernel left out.
    #[test]
    fn losses_never_pair_an_answer_with_another_statement(
        trips in proptest::collection::vec((any_trip(), 0..1500_usize, 0..6000_usize, 0..8_u32), 1..12),
        late in any::<bool>(),
    ) {
        let mut talk = if late { Talk::new(Join::Late) } else { Talk::ready() };
        for (trip, ask_budget, answer_budget, lost) in &trips {
            match lost {
                0 => talk.gap(Side::Client, trip.asked.len()),
                _ => talk.captured(Side::Client, &trip.asked, *ask_budget),
            }
            match lost {
                1 => talk.gap(Side::Server, trip.answered.len()),
                _ => talk.captured(Side::Server, &trip.answered, *answer_budget),
            }
        }
        for exchange in talk.done() {
            if exchange.ending == Ending::Lost {
                prop_assert_eq!((sql(exchange).rows_affected, &sql(exchange).error), (None, &None));
            }
            let Some(found) = sql(exchange).statement.as_deref() else { continue };
            let cut = sql(exchange).statement_cut;
            let agrees = |trip: &Trip| {
                let same = found == trip.statement || (cut && trip.statement.starts_with(found));
                same && sql(exchange).rows_affected.is_none_or(|rows| rows == trip.rows)
            };
            prop_assert!(trips.iter().any(|(trip, ..)| agrees(trip)), "{:?}", exchange);
        }
    }
}
