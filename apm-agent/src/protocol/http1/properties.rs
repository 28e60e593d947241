//! What holds for any bytes, and for any valid conversation however it is cut.

use super::conversation::Http1Conversation;
use crate::exchange::{Payload, Side, Signal, Stamp};
use crate::protocol::{Conversation, Join};
use proptest::prelude::*;

/// Bound of the header of this module's parent: two heads, the queue, two kinds of held input.
const MEMORY_BYTES: usize = 2 * 32 * 1024 + 1024 * 1024 + 2 * 64 * 1024;

/// What may happen on a connection.
#[derive(Clone, Debug)]
enum Passed {
    Bytes(Side, Vec<u8>),
    Gap(Side, u64),
    Close(Option<Side>),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

/// Pieces of messages, so that arbitrary input gets far.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET /a HTTP/1.1\r\n",
        "HEAD /b HTTP/1.0\r\n\r\n",
        "CONNECT c:1 HTTP/1.1\r\n\r\n",
        "POST /d HTTP/1.1\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Up\r\n\r\n",
        "HTTP/1.1 304 Same\r\n\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: x\r\n",
        "\r\n",
        "\r\n\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "hello",
        " folded\r\n",
    ]);
    prop_oneof![
        6 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 1..50_000usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

fn passed() -> impl Strategy<Value = Passed> {
    prop_oneof![
        20 => (side(), prop::collection::vec(fragment(), 1..4)).prop_map(|(side, parts)| Passed::Bytes(side, parts.concat())),
        2 => (side(), 0..100_000u64).prop_map(|(side, length)| Passed::Gap(side, length)),
        1 => prop_oneof![Just(None), side().prop_map(Some)].prop_map(Passed::Close),
    ]
}

/// Plays and checks pairing and memory after each step.
fn play(join: Join, all: &[Passed]) -> Vec<Signal> {
    let mut conversation = Http1Conversation::new(join);
    let mut signals = Vec::new();
    for (index, passed) in all.iter().enumerate() {
        let at = Stamp { time: index as u64, mark: 0 };
        match passed {
            Passed::Bytes(side, bytes) => conversation.feed(*side, bytes, at, &mut signals),
            Passed::Gap(side, length) => conversation.gap(*side, *length, at, &mut signals),
            Passed::Close(by) => conversation.close(*by, at, &mut signals),
        }
        assert!(conversation.memory() <= MEMORY_BYTES, "holds {} bytes", conversation.memory());
    }
    conversation.finish(Stamp { time: all.len() as u64, mark: 0 }, &mut signals);
    check_pairing(&signals);
    signals
}

fn check_pairing(signals: &[Signal]) {
    let mut opened = 0;
    let mut open = Vec::new();
    for signal in signals {
        match signal {
            Signal::Opened { serial, .. } => {
                assert_eq!(*serial, opened);
                opened += 1;
                open.push(*serial);
            }
            Signal::Request { serial, .. } => assert!(open.contains(serial)),
            Signal::Done(exchange) => {
                let place = open.iter().position(|serial| *serial == exchange.serial);
                open.remove(place.expect("what is done was open"));
            }
            Signal::Resynchronised { .. } | Signal::RequestsMissed | Signal::Opaque => {}
        }
    }
    assert!(open.is_empty(), "never done: {open:?}");
}

/// How a message's body is sent.
#[derive(Clone, Copy, Debug)]
enum Framing {
    None,
    Length(u16),
    Chunks(u16, u16),
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::None),
        (0..3000u16).prop_map(Framing::Length),
        (1..3000u16, 1..3000u16).prop_map(|(first, second)| Framing::Chunks(first, second)),
    ]
}

/// Headers and body of a message; the body is `filler`, again and again.
fn body(framing: Framing, filler: &str) -> String {
    let text = |length: u16| filler.chars().cycle().take(length.into()).collect::<String>();
    match framing {
        Framing::None => "Content-Length: 0\r\n\r\n".to_owned(),
        Framing::Length(length) => format!("Content-Length: {length}\r\n\r\n{}", text(length)),
        Framing::Chunks(first, second) => format!(
            "Transfer-Encoding: chunked\r\n\r\n{first:x};a=b\r\n{}\r\n{second:X}\r\n{}\r\n0\r\nX: y\r\n\r\n",
            text(first),
            text(second)
        ),
    }
}

/// Looks like messages: nothing of it may be taken for one where all bytes are seen.
const LIKE_MESSAGES: &str = "HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n\r\n";

/// A question and its answer, with interim responses.
type Turn = (Framing, Framing, u16, bool);

fn converse(turns: &[Turn], pipelined: bool, filler: &str) -> Vec<Passed> {
    let mut questions = Vec::new();
    let mut answers = Vec::new();
    for (index, (asked, answered, status, interim)) in turns.iter().enumerate() {
        questions.push(format!("POST /{index} HTTP/1.1\r\n{}", body(*asked, filler)));
        let before = if *interim { "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" } else { "" };
        let body = if matches!(status, 204 | 304) { "\r\n".to_owned() } else { body(*answered, filler) };
        answers.push(format!("{before}HTTP/1.1 {status} Reason\r\n{body}"));
    }
    if pipelined {
        questions = vec![questions.concat()];
        answers = vec![answers.concat()];
    }
    let pairs = questions.into_iter().zip(answers);
    let passed = |side, text: String| Passed::Bytes(side, text.into_bytes());
    pairs.flat_map(|(asked, answered)| [passed(Side::Client, asked), passed(Side::Server, answered)]).collect()
}

/// Plays with every write cut at the given lengths in turn; the pieces keep their write's time.
fn play_cut(all: &[Passed], cuts: &[usize]) -> Vec<Signal> {
    let mut conversation = Http1Conversation::new(Join::Start);
    let mut signals = Vec::new();
    let mut lengths = cuts.iter().cycle();
    for (index, passed) in all.iter().enumerate() {
        let Passed::Bytes(side, bytes) = passed else { continue };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*lengths.next().unwrap()));
            conversation.feed(*side, piece, Stamp { time: index as u64, mark: 0 }, &mut signals);
            rest = after;
        }
    }
    conversation.finish(Stamp { time: all.len() as u64, mark: 0 }, &mut signals);
    signals
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let status = prop::sample::select(vec![200u16, 204, 304, 404, 500]);
    prop::collection::vec((framing(), framing(), status, any::<bool>()), 1..8)
}

/// Cuts every write at the given places in turn, and loses the pieces that are marked.
fn lose_pieces(all: &[Passed], cuts: &[(usize, bool)]) -> Vec<Passed> {
    let mut pieces = Vec::new();
    let mut choices = cuts.iter().cycle();
    for passed in all {
        let Passed::Bytes(side, bytes) = passed else { continue };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (length, is_lost) = choices.next().unwrap();
            let (piece, after) = rest.split_at(rest.len().min(*length));
            pieces.push(if *is_lost {
                Passed::Gap(*side, piece.len() as u64)
            } else {
                Passed::Bytes(*side, piece.to_vec())
            });
            rest = after;
        }
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(late in any::<bool>(), all in prop::collection::vec(passed(), 0..60)) {
        play(if late { Join::Late } else { Join::Start }, &all);
    }

    #[test]
    fn cuts_change_nothing(
        turns in turns(),
        pipelined in any::<bool>(),
        cuts in prop::collection::vec(1..200usize, 1..20),
    ) {
        let all = converse(&turns, pipelined, LIKE_MESSAGES);
        let whole = play(Join::Start, &all);
        let answered: Vec<(String, Option<u16>)> = whole.iter().filter_map(|signal| match signal {
            Signal::Done(exchange) => match &exchange.payload {
                Payload::Http(http) => Some((http.target.clone(), http.status)),
                Payload::Sql(_) | Payload::Command(_) => None,
            },
            _ => None,
        }).collect();
        let expected: Vec<_> = turns.iter().enumerate().map(|(index, turn)| (format!("/{index}"), Some(turn.2))).collect();
        prop_assert_eq!(answered, expected);
        prop_assert_eq!(&play_cut(&all, &cuts), &whole);
        prop_assert_eq!(&play_cut(&all, &[1]), &whole);
    }

    #[test]
    fn losses_make_no_wrong_claims(
        turns in turns(),
        cuts in prop::collection::vec((1..400usize, prop::bool::weighted(0.2)), 1..40),
    ) {
        for signal in play(Join::Start, &lose_pieces(&converse(&turns, false, "x"), &cuts)) {
            let Signal::Done(exchange) = signal else { continue };
            let Payload::Http(http) = exchange.payload else { continue };
            let turn = http.target.strip_prefix('/').and_then(|number| turns.get(number.parse::<usize>().ok()?));
            prop_assert!(turn.is_some() || http.target.is_empty(), "asked for {:?}", http.target);
            prop_assert!(http.status.is_none() || http.status == turn.map(|turn| turn.2), "{:?}", http);
        }
    }
}
