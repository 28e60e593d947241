//! Tables of what the transcripts do not show.

use super::Http1;
use super::body::{Body, Chunks, Progress, State, ends_with_last_chunk};
use super::head::{Framing, read_request, read_response};
use crate::exchange::Side::{Client, Server};
use crate::exchange::{Ending, Exchange, Http, Payload, Side, Signal, Stamp};
use crate::protocol::{Conversation, Join, Protocol, Verdict};

/// A conversation under test, with a clock that ticks once for each thing that happens.
struct Bench {
    conversation: Box<dyn Conversation>,
    signals: Vec<Signal>,
    time: u64,
}

impl Bench {
    fn new(join: Join) -> Self {
        Bench { conversation: Http1.conversation(join), signals: Vec::new(), time: 0 }
    }

    fn tick(&mut self) -> Stamp {
        self.time += 1;
        Stamp { time: self.time, mark: self.time }
    }

    fn feed(mut self, from: Side, text: &str) -> Self {
        let at = self.tick();
        self.conversation.feed(from, text.as_bytes(), at, &mut self.signals);
        self
    }

    fn gap(mut self, from: Side, length: u64) -> Self {
        let at = self.tick();
        self.conversation.gap(from, length, at, &mut self.signals);
        self
    }

    fn close(mut self, by: Option<Side>) -> Self {
        let at = self.tick();
        self.conversation.close(by, at, &mut self.signals);
        self
    }

    fn finish(mut self) -> Vec<Exchange> {
        let at = self.tick();
        self.conversation.finish(at, &mut self.signals);
        let done = |signal| if let Signal::Done(exchange) = signal { Some(*exchange) } else { None };
        self.signals.into_iter().filter_map(done).collect()
    }
}

fn http(exchange: &Exchange) -> &Http {
    match &exchange.payload {
        Payload::Http(http) => http,
        Payload::Sql(_) | Payload::Command(_) => panic!("no SQL here"),
    }
}

/// (target, status, ending, time of the end) of each exchange.
fn outline(exchanges: &[Exchange]) -> Vec<(&str, Option<u16>, Ending, u64)> {
    let line =
        |exchange| (http(exchange).target.as_str(), http(exchange).status, exchange.ending, exchange.closed.time);
    exchanges.iter().map(line).collect()
}

const ABORTED_BY_CLIENT: Ending = Ending::Aborted { by: Some(Client) };
const ABORTED_BY_SERVER: Ending = Ending::Aborted { by: Some(Server) };

fn asked() -> Bench {
    Bench::new(Join::Start).feed(Client, "GET /a HTTP/1.1\r\n\r\n")
}

#[test]
fn first_bytes_are_judged() {
    let cases: &[(&str, &str, Join, Verdict)] = &[
        ("GET / HTTP/1.1\r\n", "", Join::Start, Verdict::Yes),
        ("\r\nM-SEARCH * HTTP/1.1\r\n", "", Join::Start, Verdict::Yes),
        ("GET / HTT", "", Join::Start, Verdict::Maybe),
        ("GET /long", "", Join::Start, Verdict::Maybe),
        ("GE", "", Join::Start, Verdict::Maybe),
        ("", "", Join::Start, Verdict::Maybe),
        ("", "HTTP/1.1 200 OK\r\n", Join::Start, Verdict::Maybe),
        ("", "HTTP/1.1 200 OK\r\n", Join::Late, Verdict::Yes),
        ("rest of a body", "HTTP/1.1 200 OK\r\n", Join::Late, Verdict::Yes),
        ("GET / HTTP/1.1\r\n", "rest of a body", Join::Late, Verdict::Yes),
        ("rest of a body", "", Join::Late, Verdict::Maybe),
        ("rest of a body", "rest of a body", Join::Late, Verdict::No),
        ("GET / HTTP/1.1\r\n", "SSH-2.0", Join::Start, Verdict::No),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", Join::Start, Verdict::No),
        ("GET / RTSP/1.0\r\n", "", Join::Start, Verdict::No),
        ("GET  / HTTP/1.1\r\n", "", Join::Start, Verdict::No),
        ("GET /\r\n", "", Join::Start, Verdict::No),
        ("\x16\x03\x01", "", Join::Start, Verdict::No),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "", Join::Start, Verdict::No),
    ];
    for (client, server, join, verdict) in cases {
        let found = Http1.recognise(client.as_bytes(), server.as_bytes(), *join);
        assert_eq!(found, *verdict, "{client:?} {server:?} {join:?}");
    }
}

#[test]
fn lengths_and_codings_give_the_framing() {
    let cases: &[(&str, Framing)] = &[
        ("", Framing::Unsaid),
        ("Content-Length: 7\r\n", Framing::Length(7)),
        ("content-length: 7\r\nContent-Length: 7\r\n", Framing::Length(7)),
        ("Content-Length: 7, 7\r\n", Framing::Length(7)),
        ("Content-Length: 7, 8\r\n", Framing::Unclear),
        ("Content-Length: +7\r\n", Framing::Unclear),
        ("Content-Length: 99999999999999999999\r\n", Framing::Unclear),
        ("Content-Length: \r\n", Framing::Unclear),
        ("Content-Length: 7\r\nTransfer-Encoding: gzip, Chunked\r\n", Framing::Chunked),
        ("Transfer-Encoding: gzip\r\n", Framing::Unclear),
    ];
    for (headers, framing) in cases {
        let head = read_response(format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes()).unwrap();
        assert_eq!(head.framing, *framing, "{headers}");
    }
}

#[test]
fn what_is_no_head_is_refused() {
    for head in ["\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.1", "\0 / HTTP/1.1\r\n\r\n"] {
        assert!(read_request(head.as_bytes()).is_none(), "{head:?}");
    }
    for head in ["HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/3 200 OK\r\n\r\n", "200 OK\r\n\r\n", ""] {
        assert!(read_response(head.as_bytes()).is_none(), "{head:?}");
    }
}

#[test]
fn chunked_bodies_end_at_their_last_byte() {
    let cases: &[(&str, usize, u64, State)] = &[
        ("0\r\n\r\nHTTP", 5, 0, State::Ended),
        ("3\r\nabc\r\n0\r\n\r\n", 13, 3, State::Ended),
        ("3\nabc\n0\n\n", 9, 3, State::Ended),
        ("3;a=\"b\r\"\r\nabc\r\n000\r\nX: y\r\n\r\nrest", 28, 3, State::Ended),
        ("A \r\n0123456789\r\n", 16, 10, State::More),
        ("3\r\nabcd", 7, 3, State::Broken),
        ("x", 1, 0, State::Broken),
        ("\r\n", 1, 0, State::Broken),
        ("3x", 2, 0, State::Broken),
        ("11111111111111111", 17, 0, State::Broken),
        ("0\r\n\rx", 5, 0, State::Broken),
    ];
    for (text, consumed, content, state) in cases {
        let progress = Body::Chunks(Chunks::default()).read(text.as_bytes());
        assert_eq!(progress, Progress { consumed: *consumed, content: *content, state: *state }, "{text:?}");
    }
    let endless = format!("1;{}", "x".repeat(20_000));
    assert_eq!(Body::Chunks(Chunks::default()).read(endless.as_bytes()).state, State::Broken);
}

#[test]
fn a_last_chunk_is_known_at_the_end_of_a_write() {
    for text in ["0\r\n\r\n", "abc\r\n0\r\n\r\n", "abc\r\n0\r\nX-A: b\r\nX-C:\r\n\r\n"] {
        assert!(ends_with_last_chunk(text.as_bytes()), "{text:?}");
    }
    for text in
        ["", "10\r\n\r\n", "abc0\r\n\r\n", "0\r\n", "0\r\nX-A: b\r\n", "0\r\nno header\r\n\r\n", "X-A: b\r\n\r\n"]
    {
        assert!(!ends_with_last_chunk(text.as_bytes()), "{text:?}");
    }
}

#[test]
fn an_exchange_ends_as_the_connection_does() {
    let cases = [
        ("unfinished", asked(), ("/a", None, Ending::Unfinished, 2)),
        ("client closes", asked().close(Some(Client)), ("/a", None, ABORTED_BY_CLIENT, 2)),
        ("both close", asked().close(Some(Client)).close(Some(Server)), ("/a", None, ABORTED_BY_CLIENT, 2)),
        ("server closes", asked().close(Some(Server)).close(Some(Client)), ("/a", None, ABORTED_BY_SERVER, 2)),
        ("failure", asked().close(None), ("/a", None, Ending::Aborted { by: None }, 2)),
        (
            "closed by the server within the answer",
            asked().feed(Server, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").close(Some(Server)),
            ("/a", Some(200), ABORTED_BY_SERVER, 3),
        ),
        (
            "close ends the body",
            asked().feed(Server, "HTTP/1.1 200 OK\r\n\r\nabc").close(Some(Server)),
            ("/a", Some(200), Ending::Complete, 2),
        ),
        (
            "a failure does not",
            asked().feed(Server, "HTTP/1.1 200 OK\r\n\r\nabc").close(None),
            ("/a", Some(200), Ending::Aborted { by: None }, 3),
        ),
        (
            "the client leaves before the end",
            asked().feed(Server, "HTTP/1.1 200 OK\r\n\r\nabc").close(Some(Client)).close(Some(Server)),
            ("/a", Some(200), ABORTED_BY_CLIENT, 3),
        ),
        (
            "half-close",
            asked().close(Some(Client)).feed(Server, "HTTP/1.1 200 OK\r\n\r\nabc").close(Some(Server)),
            ("/a", Some(200), Ending::Complete, 3),
        ),
    ];
    for (name, bench, expected) in cases {
        assert_eq!(outline(&bench.finish()), [expected], "{name}");
    }
}

#[test]
fn a_gap_that_ends_with_the_body_ends_the_exchange() {
    let bench = asked().feed(Server, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").gap(Server, 6);
    assert_eq!(outline(&bench.finish()), [("/a", Some(200), Ending::Complete, 3)]);
}

#[test]
fn a_gap_beyond_the_request_hides_requests() {
    let bench = Bench::new(Join::Start)
        .feed(Client, "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n")
        .gap(Client, 50)
        .feed(Client, "GET /c HTTP/1.1\r\n\r\n")
        .feed(Server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .feed(Server, "HTTP/1.1 404 is for the hidden one\r\nContent-Length: 0\r\n\r\n")
        .feed(Server, "HTTP/1.1 500 is for the third\r\nContent-Length: 0\r\n\r\n");
    let expected = [("/c", None, Ending::Lost, 3), ("/a", Some(200), Ending::Complete, 4)];
    assert_eq!(outline(&bench.finish()), expected);
}

#[test]
fn a_head_over_the_cap_is_lost_and_the_next_request_is_found() {
    let long = format!("GET /a HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let bench = Bench::new(Join::Start)
        .feed(Client, &long)
        .feed(Server, "HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n")
        .feed(Client, "GET /b HTTP/1.1\r\n\r\n")
        .feed(Server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(bench.signals.contains(&Signal::Resynchronised { bytes: long.len() as u64 }));
    assert_eq!(outline(&bench.finish()), [("", None, Ending::Lost, 1), ("/b", Some(200), Ending::Complete, 4)]);
}

#[test]
fn a_head_of_16_kib_is_whole() {
    let value = "x".repeat(16_000);
    let bench = Bench::new(Join::Start).feed(Client, &format!("GET /a HTTP/1.1\r\nX: {value}\r\n\r\n"));
    let exchanges = bench.feed(Server, "HTTP/1.1 204 No Content\r\n\r\n").finish();
    assert_eq!(http(&exchanges[0]).headers, [("X".to_owned(), value)]);
}

#[test]
fn too_many_requests_without_answer_are_lost() {
    let mut bench = Bench::new(Join::Start);
    for _ in 0..300 {
        bench = bench.feed(Client, "GET /a HTTP/1.1\r\n\r\n");
    }
    let exchanges = bench.finish();
    assert_eq!(exchanges.len(), 300);
    assert_eq!(exchanges.iter().filter(|exchange| exchange.ending == Ending::Lost).count(), 300);
}

#[test]
fn what_follows_a_refused_upgrade_is_read() {
    let bench = Bench::new(Join::Start)
        .feed(Client, "CONNECT a:1 HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
        .feed(Server, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        .feed(Server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let expected = [("a:1", Some(407), Ending::Complete, 2), ("/b", Some(200), Ending::Complete, 3)];
    assert_eq!(outline(&bench.finish()), expected);
}

#[test]
fn after_an_upgrade_nothing_is_said() {
    let bench = Bench::new(Join::Start)
        .feed(Client, "GET /a HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
        .feed(Server, "HTTP/1.1 101 Switching Protocols\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        .feed(Client, "GET / HTTP/1.1\r\n\r\n");
    assert_eq!(bench.signals.last(), Some(&Signal::Opaque));
    let exchanges = bench.finish();
    assert_eq!(outline(&exchanges), [("/a", Some(101), Ending::Complete, 2)]);
    assert!(http(&exchanges[0]).upgraded);
}

#[test]
fn joined_late_two_open_requests_are_lost_not_guessed() {
    let bench = Bench::new(Join::Late)
        .feed(Client, "GET /a HTTP/1.1\r\n\r\n")
        .feed(Client, "GET /b HTTP/1.1\r\n\r\n")
        .feed(Server, "HTTP/1.1 200 whose?\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(outline(&bench.finish()), [("/a", None, Ending::Lost, 3), ("/b", None, Ending::Lost, 3)]);
}

#[test]
fn an_early_answer_beyond_the_cap_is_dropped() {
    let bench = Bench::new(Join::Start)
        .feed(Server, &format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(70_000)))
        .feed(Client, "GET /a HTTP/1.1\r\n\r\n");
    assert_eq!(outline(&bench.finish()), [("/a", None, Ending::Lost, 2)]);
}
