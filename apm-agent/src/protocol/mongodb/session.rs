//! Follows a connection: each answer names the message it answers, so that order does not matter.

use std::collections::VecDeque;

use super::command::{Answered, Asked, read_answer, read_request};
use super::message::{Framer, Message, Step};
use super::recognise::begins_message;
use crate::exchange::{Command, Ending, Nanos, Payload, Side, Signal, SqlError, Stamp};
use crate::protocol::flight::{Flight, Pending};
use crate::protocol::{Conversation, Join, report_skipped};

/// Most answers awaited; the oldest ends first. Bytes of statements they hold.
const AWAITED: usize = 1024;
const TEXT_BYTES: usize = 4 * 1024 * 1024;
/// Most answers held until their questions come, and for how long.
const EARLY: usize = 64;
const EARLY_NANOS: Nanos = 1_000_000_000;

/// A command that awaits its answer.
#[derive(Debug)]
struct Question {
    number: i32,
    asked: Asked,
    error: Option<SqlError>,
}

/// An answer whose question has not come.
struct Early {
    answers: i32,
    answered: Answered,
    began: Stamp,
    at: Stamp,
}

/// A side's place in its stream.
#[derive(Default)]
struct Place {
    framer: Framer,
    lost: bool,
}

/// A connection's conversation.
pub(super) struct Session {
    over: bool,
    client: Place,
    server: Place,
    flight: Flight<Question>,
    early: VecDeque<Early>,
    skipped: u64,
}

impl Session {
    pub(super) fn new(join: Join) -> Self {
        let lost = join == Join::Late;
        Session {
            over: false,
            client: Place { lost, ..Place::default() },
            server: Place { lost, ..Place::default() },
            flight: Flight::default(),
            early: VecDeque::new(),
            skipped: 0,
        }
    }

    /// Only of what is complete an error is certain.
    fn conclude(&self, mut pending: Pending<Question>, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        if ending != Ending::Complete {
            pending.asked.error = None;
        }
        pending.finish(ending, at, signals, |Question { asked, error, .. }| {
            let (statement, statement_cut) = asked.statement.map_or((None, false), |(text, cut)| (Some(text), cut));
            Payload::Command(Command {
                system: "mongodb",
                name: asked.name,
                database: asked.database,
                collection: asked.collection,
                statement,
                statement_cut,
                error,
            })
        });
    }

    fn finish_all(&mut self, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        while let Some(pending) = self.flight.pop() {
            self.conclude(pending, ending, at, signals);
        }
    }

    fn end(&mut self, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        self.finish_all(ending, at, signals);
        report_skipped(&mut self.skipped, signals);
        *self = Session { over: true, ..Session::new(Join::Start) };
    }

    fn place(&mut self, side: Side) -> &mut Place {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// The place of a side is lost: found again where a write begins with a message.
    fn lose(&mut self, side: Side, at: Stamp, signals: &mut Vec<Signal>) {
        *self.place(side) = Place { lost: true, ..Place::default() };
        if side == Side::Server {
            // Their answers may be among what was lost.
            self.finish_all(Ending::Lost, at, signals);
        }
    }

    fn read(&mut self, side: Side, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut input = bytes;
        let mut place = std::mem::take(self.place(side));
        if place.lost {
            if !begins_message(input, side) {
                self.skipped += input.len() as u64;
                self.place(side).lost = true;
                return;
            }
            place.lost = false;
            report_skipped(&mut self.skipped, signals);
        }
        loop {
            let understood = match place.framer.step(&mut input, at) {
                Step::More => break,
                Step::Broken => false,
                Step::Message(message) => match side {
                    Side::Client => self.ask(&message, at, signals),
                    Side::Server => self.answer(&message, at, signals),
                },
            };
            if !understood {
                self.skipped += input.len() as u64;
                return self.lose(side, at, signals);
            }
        }
        *self.place(side) = place;
    }

    /// False: it is no message of a client.
    fn ask(&mut self, message: &Message<'_>, at: Stamp, signals: &mut Vec<Signal>) -> bool {
        let Some(asked) = read_request(message) else { return false };
        if asked.silent && !asked.answered {
            return true;
        }
        if (self.flight.len() >= AWAITED || self.flight.bytes() >= TEXT_BYTES)
            && let Some(pending) = self.flight.pop()
        {
            self.conclude(pending, Ending::Lost, at, signals);
        }
        let number = message.header.number;
        let (silent, answered) = (asked.silent, asked.answered);
        let bytes = asked.statement.as_ref().map_or(0, |(text, _)| text.len());
        let question = Question { number, asked, error: None };
        match silent {
            true => self.flight.open_silent(message.began, question),
            false => self.flight.open(message.began, at.time, bytes, question, signals),
        }
        if !answered {
            // Nobody will say what became of it; it is over for the client.
            self.finish_number(number, Ending::Complete, at, signals);
            return true;
        }
        if let Some(index) = self.early.iter().position(|early| early.answers == number)
            && let Some(early) = self.early.remove(index)
            && at.time.saturating_sub(early.at.time) <= EARLY_NANOS
        {
            self.settle(number, early.answered, early.began, early.at, signals);
        }
        true
    }

    /// False: it is no message of a server.
    fn answer(&mut self, message: &Message<'_>, at: Stamp, signals: &mut Vec<Signal>) -> bool {
        let Some(answered) = read_answer(message) else { return false };
        let answers = message.header.answers;
        if self.flight.iter().any(|pending| pending.asked.number == answers) {
            self.settle(answers, answered, message.began, at, signals);
            return true;
        }
        // Of what was not seen, or comes unasked after another (exhaust).
        if self.early.len() >= EARLY {
            self.early.pop_front();
        }
        self.early.push_back(Early { answers, answered, began: message.began, at });
        true
    }

    fn settle(&mut self, number: i32, answered: Answered, began: Stamp, at: Stamp, signals: &mut Vec<Signal>) {
        let Some(mut pending) = self.flight.take(|question| question.number == number) else { return };
        pending.response_start = Some(began.time);
        let ending = match answered {
            Answered::Result(error) => {
                pending.asked.error = error;
                Ending::Complete
            }
            // When it came is known, not what it said.
            Answered::Unknown => Ending::Lost,
        };
        self.conclude(pending, ending, at, signals);
    }

    fn finish_number(&mut self, number: i32, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        if let Some(pending) = self.flight.take(|question| question.number == number) {
            self.conclude(pending, ending, at, signals);
        }
    }
}

impl Conversation for Session {
    fn feed(&mut self, from: Side, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        if !self.over && !bytes.is_empty() {
            self.read(from, bytes, at, signals);
        }
    }

    fn gap(&mut self, from: Side, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        if self.over || length == 0 || self.place(from).lost {
            return;
        }
        match self.place(from).framer.skip(length) {
            true => self.read(from, &[], at, signals),
            false => self.lose(from, at, signals),
        }
    }

    fn close(&mut self, by: Option<Side>, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Aborted { by }, at, signals);
    }

    fn finish(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Unfinished, at, signals);
    }
}
