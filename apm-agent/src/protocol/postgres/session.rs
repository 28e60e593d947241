//! Follows a connection: start-up, then messages of both sides; holds answers that come before their questions; finds
//! its place again after losses.

use super::answer::is_asynchronous;
use super::flight::Awaited;
use super::framing::{Framer, Step};
use super::message::{CANCEL_REQUEST, GSS_REQUEST, SSL_REQUEST, VERSION_MAJOR, number_at, read_parameters};
use super::recognise::weigh_frontend;
use super::seek::{Found, Seek};
use super::talk::Talk;
use crate::exchange::{Ending, Side, Signal, SqlOperation, Stamp};
use crate::protocol::early::Early;
use crate::protocol::{Conversation, Evidence, Join, report_skipped};

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A start-up packet is to come.
    Greeting,
    /// Messages with type bytes.
    Session,
    /// Nothing more is to be seen.
    Over,
}

/// A connection's conversation.
pub(super) struct Session {
    phase: Phase,
    client: Framer,
    server: Framer,
    /// The server's place is lost.
    seek: Option<Seek>,
    early: Early,
    /// Client bytes skipped since its place was lost.
    skipped: u64,
    /// The server owes one byte to a request for encryption.
    encryption_asked: bool,
    /// It said yes.
    encryption_taken: bool,
    talk: Talk,
}

impl Session {
    pub(super) fn new(join: Join) -> Self {
        let late = join == Join::Late;
        Session {
            phase: if late { Phase::Session } else { Phase::Greeting },
            client: Framer::new(Side::Client, late),
            server: Framer::new(Side::Server, true),
            seek: late.then(Seek::default),
            early: Early::default(),
            skipped: 0,
            encryption_asked: false,
            encryption_taken: false,
            talk: Talk { client_lost: late, doubtful: late, ..Talk::default() },
        }
    }

    fn end(&mut self, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        self.talk.flight.finish_all(ending, at, signals);
        // Whether the close aborted what is in doubt is not known.
        let doubted = if ending == Ending::Unfinished { ending } else { Ending::Lost };
        self.talk.flight.finish_doubted(doubted, at, signals);
        self.skipped += self.early.len() as u64 + self.seek.as_ref().map_or(0, Seek::skipped);
        report_skipped(&mut self.skipped, signals);
        // Frees what a session that is over does not need.
        *self = Session { phase: Phase::Over, ..Session::new(Join::Start) };
    }

    fn give_up(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Lost, at, signals);
        signals.push(Signal::Opaque);
    }

    // The client's side.

    fn feed_client(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut input = bytes;
        if self.phase == Phase::Greeting {
            self.read_startup(&mut input, at, signals);
        }
        if self.phase == Phase::Session {
            self.end_search(signals);
            if !self.talk.client_lost || self.resume_client(input, at, signals) {
                self.read_client(&mut input, at, signals);
            } else {
                self.skipped += self.talk.doubt_turn(input, at, signals);
            }
        }
        self.release_early(at, signals);
    }

    fn read_startup(&mut self, input: &mut &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        while self.phase == Phase::Greeting && !input.is_empty() {
            // A TLS handshake record, or a GSS token whose length is none of a start-up packet.
            if self.encryption_taken && self.client.at_boundary() && input.first() != Some(&0) {
                return self.give_up(at, signals);
            }
            let (began, body) = match self.client.step(input, at) {
                Step::Message(message) => (message.began, message.body),
                Step::More => return,
                Step::Broken => return self.give_up(at, signals),
            };
            match number_at(body, 0) {
                Some(SSL_REQUEST | GSS_REQUEST) if body.len() == 4 => self.encryption_asked = true,
                // The connection is there for this alone, and the server answers nothing.
                Some(CANCEL_REQUEST) => self.phase = Phase::Over,
                Some(version) if version >> 16 == VERSION_MAJOR => {
                    let (user, database) = read_parameters(body.get(4..).unwrap_or_default());
                    self.talk.flight.set_session(user, database);
                    let pending = self.talk.flight.open(SqlOperation::Connect, None, began, at.time, signals);
                    self.talk.flight.push(Awaited::Connect(pending));
                    self.phase = Phase::Session;
                    self.client.reset();
                }
                _ => return self.give_up(at, signals),
            }
        }
    }

    /// The client speaks while the server's end of turn is looked for: if it ended with ReadyForQuery, that was it.
    fn end_search(&mut self, signals: &mut Vec<Signal>) {
        if let Some(found) = self.seek.as_ref().and_then(Seek::ends_ready) {
            self.found(&found, signals);
        }
    }

    /// The client begins a turn at an idle point with a plausible message: its place is known again.
    fn resume_client(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) -> bool {
        let idle = self.talk.may_resume(at) && self.seek.is_none() && self.server.at_boundary();
        if !idle || weigh_frontend(bytes) == Evidence::Against {
            self.talk.ready = false;
            self.talk.unasked = false;
            return false;
        }
        self.talk.resume(at);
        self.client.reset();
        report_skipped(&mut self.skipped, signals);
        true
    }

    fn read_client(&mut self, input: &mut &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        while !self.talk.client_lost {
            match self.client.step(input, at) {
                Step::Message(message) => self.talk.ask(&message, at, signals),
                Step::More => return,
                Step::Broken => self.talk.lose_client(),
            }
        }
        self.skipped += self.talk.doubt_turn(input, at, signals);
    }

    // The server's side.

    fn feed_server(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut input = bytes;
        if self.encryption_asked {
            self.read_encryption(&mut input, at, signals);
        }
        self.talk.heard = at.time;
        while self.phase != Phase::Over {
            if let Some(seek) = &mut self.seek {
                let Some(found) = seek.search(&mut input, at) else { return };
                self.found(&found, signals);
            } else if self.is_early(input) {
                if self.talk.doubtful && self.early.is_empty() && self.phase == Phase::Session {
                    self.talk.contradict(at, signals);
                    continue;
                }
                if self.talk.doubtful {
                    // What is held was held when the place was certain; its end is not known.
                    self.lose_server(at, signals);
                    continue;
                }
                if !self.early.hold(input, at) {
                    self.lose_server(at, signals);
                }
                return;
            } else {
                match self.server.step(&mut input, at) {
                    Step::Message(message) => self.talk.answer(&message, at, signals),
                    Step::More => return,
                    Step::Broken => self.lose_server(at, signals),
                }
            }
        }
    }

    /// The one byte that answers a request for encryption.
    fn read_encryption(&mut self, input: &mut &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let Some((&byte, rest)) = input.split_first() else { return };
        *input = rest;
        self.encryption_asked = false;
        match byte {
            b'N' => {}
            b'S' | b'G' => self.encryption_taken = true,
            // An error of a server that does not know the request, or no PostgreSQL.
            _ => self.give_up(at, signals),
        }
    }

    fn is_early(&self, input: &[u8]) -> bool {
        let Some(&kind) = input.first() else { return false };
        let flight = &self.talk.flight;
        let unasked = flight.is_empty() || (kind == b'C' && flight.awaits_data());
        let place_known = !self.talk.client_lost && self.server.at_boundary();
        self.phase == Phase::Greeting || !self.early.is_empty() || (unasked && place_known && !is_asynchronous(kind))
    }

    /// Hands on answers that were held, once there is a question.
    fn release_early(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        let waits = self.talk.flight.is_empty() && !self.encryption_asked;
        if self.early.is_empty() || waits || self.phase == Phase::Over {
            return;
        }
        // An error is never too old: it may be the reason why the server left.
        if (self.early.first() != Some(b'E') && self.early.is_stale(at)) || self.talk.client_lost {
            return self.lose_server(at, signals);
        }
        let early = std::mem::take(&mut self.early);
        for (piece, stamp) in early.pieces() {
            self.feed_server(piece, stamp, signals);
        }
    }

    fn found(&mut self, found: &Found, signals: &mut Vec<Signal>) {
        let mut skipped = self.seek.take().map_or(0, |seek| seek.skipped());
        self.server.reset();
        report_skipped(&mut skipped, signals);
        self.talk.resynchronise(found, signals);
    }

    /// The server's bytes make no sense: what is under way cannot be told apart any more.
    fn lose_server(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.talk.drift(at, signals);
        self.talk.ready = false;
        let mut held = std::mem::take(&mut self.early).len() as u64;
        report_skipped(&mut held, signals);
        self.phase = Phase::Session;
        self.seek = Some(Seek::default());
    }

    fn gap_client(&mut self, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        if self.phase == Phase::Greeting {
            return self.lose_server(at, signals);
        }
        self.end_search(signals);
        if self.talk.client_lost {
            self.talk.ready = false;
        } else if self.client.skip(length) {
            self.read_client(&mut [].as_slice(), at, signals);
            self.release_early(at, signals);
        } else {
            self.talk.lose_client();
        }
    }

    fn gap_server(&mut self, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        if self.phase == Phase::Greeting || !self.early.is_empty() {
            return self.lose_server(at, signals);
        }
        if let Some(seek) = &mut self.seek {
            seek.forget();
        } else if self.server.skip(length) {
            self.feed_server(&[], at, signals);
        } else {
            self.talk.ready = false;
            self.seek = Some(Seek::default());
        }
    }
}

impl Conversation for Session {
    fn feed(&mut self, from: Side, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        if self.phase == Phase::Over || bytes.is_empty() {
            return;
        }
        match from {
            Side::Client => self.feed_client(bytes, at, signals),
            Side::Server => self.feed_server(bytes, at, signals),
        }
    }

    fn gap(&mut self, from: Side, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        if self.phase == Phase::Over || length == 0 {
            return;
        }
        self.talk.flight.finish_doubted(Ending::Lost, at, signals);
        match from {
            Side::Client => self.gap_client(length, at, signals),
            Side::Server => self.gap_server(length, at, signals),
        }
    }

    fn close(&mut self, by: Option<Side>, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Aborted { by }, at, signals);
    }

    fn finish(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.end(Ending::Unfinished, at, signals);
    }
}
