//! Conversations that no recorded program had.

use super::session::Session;
use crate::exchange::{Ending, Payload, Side, Signal, Stamp};
use crate::protocol::{Conversation, Join};

/// Plays lines: `> text` or `< text`, `wait` for a second, `gap > 10`. One a millisecond.
fn play(join: Join, lines: &[&str]) -> (Vec<(Ending, String, String)>, bool) {
    let mut session = Session::new(join);
    let (mut time, mut signals) = (0, Vec::new());
    for line in lines {
        time += 1_000_000;
        let at = Stamp { time, mark: 0 };
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        let text = text.replace('/', "\r\n");
        match word {
            ">" => session.feed(Side::Client, text.as_bytes(), at, &mut signals),
            "<" => session.feed(Side::Server, text.as_bytes(), at, &mut signals),
            "gap>" => session.gap(Side::Client, text.parse().expect("a number"), at, &mut signals),
            "gap<" => session.gap(Side::Server, text.parse().expect("a number"), at, &mut signals),
            _ => time += 1_000_000_000,
        }
    }
    session.finish(Stamp { time: time + 1, mark: 0 }, &mut signals);
    let opaque = signals.contains(&Signal::Opaque);
    let done = |signal| match signal {
        Signal::Done(exchange) => match exchange.payload {
            Payload::Command(command) => {
                let error = command.error.map_or(String::new(), |error| format!("{}: {}", error.code, error.message));
                Some((exchange.ending, command.name, error))
            }
            other => panic!("{other:?}"),
        },
        _ => None,
    };
    (signals.into_iter().filter_map(done).collect(), opaque)
}

fn complete(join: Join, lines: &[&str]) -> Vec<String> {
    let (exchanges, _) = play(join, lines);
    let complete = exchanges.into_iter().filter(|(ending, ..)| *ending == Ending::Complete);
    complete.map(|(_, name, error)| format!("{name} {error}").trim_end().to_owned()).collect()
}

#[test]
fn errors_never_repeat_arguments() {
    let lines = ["> *2/$4/AUHT/$6/secret/", "< -ERR unknown command 'AUHT', with args beginning with: 'secret' /"];
    assert_eq!(complete(Join::Start, &lines), ["AUHT ERR: unknown command 'AUHT'"]);
    let lines = ["> *1/$3/GET/", "< -MOVED 3999 127.0.0.1:6381/", "> *1/$3/GET/", "< !10/WRONG type/"];
    assert_eq!(complete(Join::Start, &lines), ["GET", "GET WRONG: type"]);
}

#[test]
fn what_is_published_answers_nothing() {
    let message = "< *3/$7/message/$1/a/$1/x/";
    let lines = [
        "> *3/$9/SUBSCRIBE/$1/a/$1/b/",
        "< *3/$9/subscribe/$1/a/:1/",
        message,
        "< *3/$9/subscribe/$1/b/:2/",
        "> *1/$4/PING/",
        message,
        "< *2/$4/pong/$0//",
        message,
        "> *1/$11/UNSUBSCRIBE/",
        "< *3/$11/unsubscribe/$1/a/:1/*3/$11/unsubscribe/$1/b/:0/",
        "> *1/$3/GET/",
        "< $-1/",
    ];
    assert_eq!(complete(Join::Start, &lines), ["SUBSCRIBE", "PING", "UNSUBSCRIBE", "GET"]);
    // RESP3: pushes come between.
    let lines = ["< >2/$10/invalidate/*1/$1/k/", "> *1/$3/GET/", "< >3/+message/+a/+x/", "< |1/+ttl/:1/$1/v/"];
    assert_eq!(complete(Join::Start, &lines), ["GET"]);
}

#[test]
fn what_is_not_followed_is_opaque() {
    for (lines, known) in [
        (&["> MONITOR/", "< +OK/", "< +1.0 [0 127.0.0.1:1] \"AUTH\" \"x\"/"][..], 1),
        (&["> *3/$6/CLIENT/$5/REPLY/$3/OFF/"], 0),
        (&["> *1/$4/SYNC/"], 0),
    ] {
        let (exchanges, opaque) = play(Join::Start, lines);
        assert!(opaque && exchanges.len() == known, "{exchanges:?}");
    }
}

#[test]
fn joined_late_a_client_that_waits_is_believed() {
    let lines = ["< $3/abc/", "> *1/$3/GET/", "< -ERR no/", "> *1/$3/SET/", "< +OK/"];
    assert_eq!(complete(Join::Late, &lines), ["GET ERR: no", "SET"]);
}

#[test]
fn joined_late_a_client_that_pipelines_is_believed_when_it_was_quiet() {
    let amid = ["> *1/$3/GET/", "< -ERR an answer to what came before/", "< -ERR no/", "> *1/$3/SET/", "< +OK/"];
    let busy = ["> *1/$1/A/", "> *1/$1/B/", "< -ERR no/", "< +OK/"];
    assert_eq!(complete(Join::Late, &busy), [""; 0]);
    let lines = [&busy[..], &["wait", "> *1/$1/C/", "> *1/$1/D/", "< -ERR no/", "< +OK/"]].concat();
    assert_eq!(complete(Join::Late, &lines), ["C ERR: no", "D"]);
    // The first pair was believed: nothing spoke against it yet.
    assert_eq!(complete(Join::Late, &amid)[1..], [""; 0]);
}

#[test]
fn a_loss_within_a_value_costs_nothing() {
    let lines = [
        "> *1/$3/GET/",
        "< $1000/abc",
        "gap< 990",
        "< 1234567/",
        "> *3/$3/SET/$1/k/$100/abc",
        "gap> 97",
        "> /",
        "< +OK/",
    ];
    assert_eq!(complete(Join::Start, &lines), ["GET", "SET"]);
    let lines = ["> *1/$3/GET/", "gap< 100", "> *1/$3/SET/", "< +OK/", "gap> 20", "< +OK/", "> *1/$3/DEL/", "< :1/"];
    let (exchanges, _) = play(Join::Start, &lines);
    assert_eq!(exchanges[0].0, Ending::Lost);
    assert_eq!(exchanges.len(), 3);
}
