//! Conversations that no recorded program had.

use super::session::Session;
use crate::exchange::{Command, Ending, Payload, Side, Signal, Stamp};
use crate::protocol::{Conversation, Join};

fn document(fields: &[u8]) -> Vec<u8> {
    [&(fields.len() as u32 + 5).to_le_bytes(), fields, b"\0"].concat()
}

fn message(number: i32, answers: i32, operation: i32, body: &[u8]) -> Vec<u8> {
    [&[16 + body.len() as i32, number, answers, operation].map(i32::to_le_bytes).concat(), body].concat()
}

/// OP_MSG with a document of these fields.
fn msg(number: i32, answers: i32, flags: u32, fields: &[u8]) -> Vec<u8> {
    message(number, answers, 2013, &[&flags.to_le_bytes()[..], b"\0", &document(fields)].concat())
}

const COUNT: &[u8] = b"\x02count\0\x06\0\0\0items\0\x02$db\0\x05\0\0\0shop\0";
const OK: &[u8] = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f";
const FAILED: &[u8] = b"\x01ok\0\0\0\0\0\0\0\0\0\x02errmsg\0\x03\0\0\0no\0\x10code\0\x3b\0\0\0";

fn play(join: Join, chunks: &[(Side, Vec<u8>)]) -> Vec<(Ending, Command)> {
    let (mut session, mut signals) = (Session::new(join), Vec::new());
    for (time, (side, bytes)) in (1..).zip(chunks) {
        session.feed(*side, bytes, Stamp { time: time * 1000, mark: 0 }, &mut signals);
    }
    session.finish(Stamp { time: 1_000_000, mark: 0 }, &mut signals);
    let done = |signal| match signal {
        Signal::Done(exchange) => match exchange.payload {
            Payload::Command(command) => Some((exchange.ending, command)),
            other => panic!("{other:?}"),
        },
        _ => None,
    };
    signals.into_iter().filter_map(done).collect()
}

#[test]
fn answers_find_their_questions_in_any_order() {
    let exchanges = play(
        Join::Start,
        &[
            (Side::Client, [msg(1, 0, 0, COUNT), msg(2, 0, 0, COUNT)].concat()),
            (Side::Server, msg(91, 3, 0, OK)),
            (Side::Server, [msg(92, 2, 0, FAILED), msg(93, 1, 0, OK)].concat()),
            (Side::Client, msg(3, 0, 0, COUNT)),
        ],
    );
    let errors: Vec<Option<&str>> =
        exchanges.iter().map(|(_, command)| command.error.as_ref().map(|error| error.code.as_str())).collect();
    assert_eq!(errors, [Some("59"), None, None]);
    assert!(exchanges.iter().all(|(ending, _)| *ending == Ending::Complete));
    let (_, command) = &exchanges[1];
    assert_eq!((command.database.as_deref(), command.collection.as_deref()), (Some("shop"), Some("items")));
    assert_eq!(command.statement.as_deref(), Some(r#"{"count":"items","$db":"shop"}"#));
}

#[test]
fn what_is_not_answered_is_over_when_it_was_sent() {
    let insert = b"\x02insert\0\x06\0\0\0items\0\x02$db\0\x05\0\0\0shop\0";
    let documents = document(b"\x02name\0\x07\0\0\0secret\0");
    let sequence = [b"documents\0", &documents[..]].concat();
    // The sequence may stand first, and a checksum last.
    let body = [
        &3_u32.to_le_bytes()[..],
        b"\x01",
        &(sequence.len() as u32 + 4).to_le_bytes(),
        &sequence,
        b"\0",
        &document(insert),
        b"\x01\x02\x03\x04",
    ]
    .concat();
    let exchanges = play(Join::Start, &[(Side::Client, message(1, 0, 2013, &body))]);
    let [(Ending::Complete, command)] = exchanges.as_slice() else { panic!("{exchanges:?}") };
    assert_eq!((command.name.as_str(), command.statement.as_deref()), ("insert", None));
}

#[test]
fn sessions_are_no_exchanges_and_compression_tells_nothing() {
    let hello = b"\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0";
    let legacy = [&0_u32.to_le_bytes()[..], b"admin.$cmd\0", &[0; 8], &document(b"\x10isMaster\0\x01\0\0\0")].concat();
    let compressed = |number, answers| message(number, answers, 2012, b"\xdd\x07\0\0\x40\0\0\0\x02abcdefgh");
    let reply = [&[0; 20][..], &document(OK)].concat();
    let exchanges = play(
        Join::Start,
        &[
            (Side::Client, message(1, 0, 2004, &legacy)),
            (Side::Server, message(90, 1, 1, &reply)),
            (Side::Client, msg(2, 0, 1 << 16, hello)),
            // It goes on telling, each time as an answer to the last.
            (Side::Server, [msg(91, 2, 2, OK), msg(92, 91, 2, OK)].concat()),
            (Side::Client, compressed(3, 0)),
            (Side::Server, compressed(93, 3)),
        ],
    );
    let [(Ending::Lost, command)] = exchanges.as_slice() else { panic!("{exchanges:?}") };
    assert_eq!(command, &Command { system: "mongodb", ..Command::default() });
}

#[test]
fn joined_late_it_is_followed_from_the_next_message() {
    let exchanges = play(
        Join::Late,
        &[
            (Side::Server, b"amid an answer, which is long enough".to_vec()),
            (Side::Client, msg(7, 0, 0, COUNT)),
            (Side::Server, msg(91, 7, 0, OK)),
            (Side::Client, b"amid a message, which is long enough".to_vec()),
            (Side::Client, msg(8, 0, 0, COUNT)),
            (Side::Server, msg(92, 8, 0, FAILED)),
        ],
    );
    let endings: Vec<Ending> = exchanges.iter().map(|(ending, _)| *ending).collect();
    assert_eq!(endings, [Ending::Complete, Ending::Complete]);
    assert!(exchanges[1].1.error.is_some());
}
