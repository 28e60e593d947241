//! Conversations with losses, late joins, early answers and hostile bytes. What recorded sessions show is in
//! `tests/transcripts/postgresql/`.

mod late;
mod properties;

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
        Payload::Http(_) | Payload::Command(_) => panic!("no SQL"),
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
