//! Follows a connection: commands and their answers in order; holds answers that come before their questions; finds its
//! place again after losses.

use std::collections::VecDeque;

use super::recognise::begins_command;
use super::reply::{self, Value};
use super::request::{self, Asked};
use crate::exchange::{Command, Ending, Nanos, Payload, Side, Signal, SqlError, Stamp};
use crate::protocol::flight::{Flight, Pending};
use crate::protocol::{Conversation, Join, report_skipped};

/// Most answers awaited; a client with more in flight is followed again when it is quiet.
const AWAITED: usize = 16_384;
/// Silence of both sides after which nothing can be in flight unseen, also for a client that pipelines (short of a
/// command that waits that long).
const QUIET_NANOS: Nanos = 100_000_000;

/// Most answers held until their questions come, and for how long.
const EARLY: usize = 256;
const EARLY_NANOS: Nanos = 1_000_000_000;

/// Commands that are answered by as many messages as they have channels.
const SUBSCRIBING: [&str; 6] = ["SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE"];
/// First words of messages that answer nothing.
const MESSAGES: [&[u8]; 3] = [b"message", b"pmessage", b"smessage"];
/// Errors that tell a client where to ask instead: no answer yet, and no failure.
const ELSEWHERE: [&str; 2] = ["MOVED", "ASK"];
/// Where an error's text begins to repeat arguments.
const ARGUMENTS: &str = ", with args beginning with";

/// A command that awaits its answer.
#[derive(Debug)]
struct Question {
    name: String,
    /// Messages still to come, for those of [`SUBSCRIBING`].
    messages: u64,
    error: Option<SqlError>,
}

/// A connection's conversation.
pub(super) struct Session {
    over: bool,
    client: request::Reader,
    server: reply::Reader,
    /// Answers that came before their questions.
    early: VecDeque<(Value, Stamp)>,
    flight: Flight<Question>,
    /// Messages may come unasked, as arrays, too.
    subscribed: bool,
    client_lost: bool,
    server_lost: bool,
    /// The place was found by idleness alone: an answer could be one too early.
    doubtful: bool,
    /// The client was seen to send commands before earlier ones were answered: while in doubt, nothing is certain.
    pipelines: bool,
    asked: Nanos,
    heard: Nanos,
    skipped: u64,
}

impl Session {
    pub(super) fn new(join: Join) -> Self {
        let late = join == Join::Late;
        Session {
            over: false,
            client: request::Reader::default(),
            server: reply::Reader::default(),
            early: VecDeque::new(),
            flight: Flight::default(),
            subscribed: false,
            client_lost: late,
            server_lost: late,
            doubtful: late,
            pipelines: false,
            asked: 0,
            heard: 0,
            skipped: 0,
        }
    }

    // What ends.

    fn finish_front(&mut self, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        let Some(mut pending) = self.flight.pop() else { return };
        let certain = ending != Ending::Complete || !self.doubtful || !self.pipelines;
        let ending = if certain { ending } else { Ending::Lost };
        if ending == Ending::Lost {
            // Whose answer it was is not known.
            (pending.response_start, pending.asked.error) = (None, None);
        }
        pending.finish(ending, at, signals, |question| {
            let Question { name, error, .. } = question;
            Payload::Command(Command { system: "redis", name, error, ..Command::default() })
        });
    }

    fn finish_all(&mut self, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        while !self.flight.is_empty() {
            self.finish_front(ending, at, signals);
        }
    }

    fn end(&mut self, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        self.finish_all(ending, at, signals);
        report_skipped(&mut self.skipped, signals);
        *self = Session { over: true, ..Session::new(Join::Start) };
    }

    fn depart(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Lost, at, signals);
        signals.push(Signal::Opaque);
    }

    /// It is no longer known which answer belongs to which command.
    fn lose_server(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.finish_all(Ending::Lost, at, signals);
        self.early.clear();
        self.server = reply::Reader::default();
        (self.server_lost, self.doubtful) = (true, true);
    }

    fn lose_client(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        // How many commands were lost is not known, nor which answers are theirs.
        self.finish_all(Ending::Lost, at, signals);
        self.client = request::Reader::default();
        (self.client_lost, self.doubtful) = (true, true);
    }

    // The client's side.

    fn feed_client(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut input = bytes;
        if self.client_lost {
            if !begins_command(input) {
                self.skipped += input.len() as u64;
                return;
            }
            self.client_lost = false;
        }
        self.read_client(&mut input, at, signals);
        self.release_early(at, signals);
    }

    fn read_client(&mut self, input: &mut &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        while !self.over {
            match self.client.step(input, at) {
                request::Step::Command(asked) => self.ask(asked, at, signals),
                request::Step::More => return,
                request::Step::Broken => {
                    self.skipped += input.len() as u64;
                    return self.lose_client(at, signals);
                }
            }
        }
    }

    fn ask(&mut self, asked: Asked, at: Stamp, signals: &mut Vec<Signal>) {
        if self.is_departure(&asked) {
            return self.depart(at, signals);
        }
        let later = self.asked != at.time;
        let quiet = at.time.saturating_sub(self.heard.max(self.asked)) >= QUIET_NANOS;
        self.asked = at.time;
        if self.flight.is_empty() && quiet && self.server.at_boundary() {
            (self.doubtful, self.pipelines) = (false, false);
        }
        self.pipelines |= later && !self.flight.is_empty();
        if self.flight.len() >= AWAITED {
            self.lose_server(at, signals);
        }
        if self.server_lost {
            self.server_lost = false;
            self.server = reply::Reader::default();
            report_skipped(&mut self.skipped, signals);
        }
        let subscribing = SUBSCRIBING.contains(&asked.name.as_str());
        self.subscribed |= subscribing;
        let messages = if subscribing { asked.words.saturating_sub(1).max(1) } else { 0 };
        let bytes = asked.name.len();
        let question = Question { name: asked.name, messages, error: None };
        self.flight.open(asked.began, at.time, bytes, question, signals);
    }

    /// From here on not every command is answered, or what comes is no answer.
    fn is_departure(&self, asked: &Asked) -> bool {
        matches!(asked.name.as_str(), "SYNC" | "PSYNC") || asked.name == "CLIENT" && asked.second == "REPLY"
    }

    // The server's side.

    fn feed_server(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut input = bytes;
        self.heard = at.time;
        while !self.over {
            if self.server_lost {
                self.skipped += input.len() as u64;
                return;
            }
            match self.server.step(&mut input, at) {
                reply::Step::Value(value) => self.answer(&value, at, signals),
                reply::Step::More => return,
                reply::Step::Broken => {
                    self.skipped += input.len() as u64;
                    self.lose_server(at, signals);
                }
            }
        }
    }

    /// Answers with what was held, once there is a question.
    fn release_early(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        while !self.flight.is_empty()
            && let Some((value, stamp)) = self.early.pop_front()
        {
            if at.time.saturating_sub(stamp.time) <= EARLY_NANOS {
                self.answer(&value, stamp, signals);
            }
        }
    }

    /// Nothing was asked. In doubt it answers what was not seen, and more of that may be under way.
    fn hold(&mut self, value: &Value, at: Stamp, signals: &mut Vec<Signal>) {
        if self.doubtful {
            self.pipelines = true;
        } else if self.early.len() < EARLY {
            self.early.push_back((value.clone(), at));
        } else {
            self.lose_server(at, signals);
        }
    }

    fn answer(&mut self, value: &Value, at: Stamp, signals: &mut Vec<Signal>) {
        if self.is_message(value) {
            return self.count_message(value, at, signals);
        }
        let failed = matches!(value.kind, b'-' | b'!');
        while !failed && self.flight.front().is_some_and(|pending| pending.asked.messages > 0) {
            // Its messages came before it was known that they were asked for.
            self.finish_front(Ending::Lost, at, signals);
        }
        let Some(pending) = self.flight.front_mut() else { return self.hold(value, at, signals) };
        pending.response_start.get_or_insert(value.began.time);
        if failed {
            pending.asked.error = read_error(&value.text);
        }
        let monitors = pending.asked.name == "MONITOR" && value.kind == b'+';
        self.subscribed &= pending.asked.name != "RESET";
        self.finish_front(Ending::Complete, at, signals);
        if monitors {
            // What comes from now on tells of other clients' commands.
            self.depart(at, signals);
        }
    }

    /// A push, or an array that means one to a subscriber of RESP2.
    fn is_message(&self, value: &Value) -> bool {
        let word = value.text.as_slice();
        let array = || MESSAGES.contains(&word) || is_subscription(word);
        value.kind == b'>' || value.kind == b'*' && self.subscribed && array()
    }

    /// A message may say that a subscription has begun or ended.
    fn count_message(&mut self, value: &Value, at: Stamp, signals: &mut Vec<Signal>) {
        let is_due = |pending: &Pending<Question>| {
            pending.asked.messages > 0 && pending.asked.name.as_bytes().eq_ignore_ascii_case(&value.text)
        };
        if self.flight.is_empty() && is_subscription(&value.text) {
            return self.hold(value, at, signals);
        }
        let Some(pending) = self.flight.front_mut().filter(|pending| is_due(pending)) else { return };
        pending.response_start.get_or_insert(value.began.time);
        pending.asked.messages -= 1;
        if pending.asked.messages == 0 {
            self.finish_front(Ending::Complete, at, signals);
        }
    }
}

/// The word says that a subscription has begun or ended.
fn is_subscription(word: &[u8]) -> bool {
    SUBSCRIBING.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(word))
}

/// An error's text: a word that says which, then a sentence. Arguments are never told.
fn read_error(text: &[u8]) -> Option<SqlError> {
    let text = String::from_utf8_lossy(text);
    let told = text.split_once(ARGUMENTS).map_or(text.as_ref(), |(told, _)| told);
    let (code, message) = told.split_once(' ').unwrap_or((told, ""));
    let error = SqlError { code: code.to_owned(), message: message.to_owned(), severity: String::new() };
    (!ELSEWHERE.contains(&code)).then_some(error)
}

impl Conversation for Session {
    fn feed(&mut self, from: Side, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        match from {
            _ if self.over || bytes.is_empty() => {}
            Side::Client => self.feed_client(bytes, at, signals),
            Side::Server => self.feed_server(bytes, at, signals),
        }
    }

    fn gap(&mut self, from: Side, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        match from {
            _ if self.over || length == 0 => {}
            Side::Client if self.client_lost => {}
            Side::Client if self.client.skip(length) => {
                self.read_client(&mut [].as_slice(), at, signals);
                self.release_early(at, signals);
            }
            Side::Client => self.lose_client(at, signals),
            Side::Server if self.server_lost => {}
            Side::Server if self.server.skip(length) => {}
            Side::Server => self.lose_server(at, signals),
        }
    }

    fn close(&mut self, by: Option<Side>, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Aborted { by }, at, signals);
    }

    fn finish(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Unfinished, at, signals);
    }
}
