//! Follows the server's direction: exchanges complete here.

use super::body::{State, ends_with_last_chunk};
use super::conversation::Http1Conversation;
use super::direction::{HeadStep, Position};
use super::head::{Framing, ResponseHead, read_response};
use super::recognise::{judge_server, skip_empty_lines};
use crate::exchange::{Ending, Signal, Stamp};
use crate::protocol::{Verdict, report_skipped};

impl Http1Conversation {
    /// Bytes came from the server.
    pub(super) fn feed_server(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_over {
            if self.must_hold() {
                return self.hold_early(rest, at, signals);
            }
            self.is_hiding = false;
            let begins_write = rest.len() == bytes.len();
            rest = match self.server.position {
                Position::Head { .. } if self.queue.answerable().is_none() => self.skip_answer(rest),
                Position::Head { .. } => self.read_response_head(rest, at, signals),
                Position::Body(_) => self.read_response_body(rest, at, signals),
                Position::LostBody => self.find_response_end(rest, begins_write, at, signals),
                Position::Searching => self.find_response(rest, begins_write),
            };
        }
    }

    /// Bytes of the server were missed.
    pub(super) fn gap_server(&mut self, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        if self.is_over {
            return;
        }
        if self.must_hold() {
            if !self.early.push_gap(length, at) {
                self.drop_early(0, at, signals);
            }
            return;
        }
        self.is_hiding = false;
        match &mut self.server.position {
            Position::Body(body) => {
                let (taken, state) = body.skip(length);
                self.count_content(taken, at);
                match state {
                    State::More => {}
                    State::Broken => self.lose_response_framing(),
                    State::Ended => {
                        self.complete(at, signals);
                        if taken < length {
                            self.gap_server(length - taken, at, signals);
                        }
                    }
                }
            }
            Position::LostBody if self.queue.count_answerable() == 1 => {}
            _ => self.lose_answers(0, at, signals),
        }
    }

    /// The server's bytes wait for a question: there is none, or its head is not complete.
    fn must_hold(&mut self) -> bool {
        if !self.early.is_empty() {
            return true;
        }
        let can_hold = self.is_certain || !self.queue.is_empty();
        can_hold && self.server.is_between_messages() && self.queue.answerable().is_none()
    }

    fn hold_early(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        if !self.early.push_bytes(bytes, at) {
            self.drop_early(bytes.len(), at, signals);
        }
    }

    /// Too much came without a question: whatever it answers is lost.
    fn drop_early(&mut self, skipped: usize, at: Stamp, signals: &mut Vec<Signal>) {
        self.server.skipped += self.early.drop_all();
        self.lose_answers(skipped, at, signals);
        self.is_hiding = true;
    }

    /// Skips an answer to a question that was not seen.
    fn skip_answer<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.server.search(bytes.len());
        &[]
    }

    fn read_response_head<'a>(&mut self, bytes: &'a [u8], at: Stamp, signals: &mut Vec<Signal>) -> &'a [u8] {
        let mut rest = bytes;
        if self.server.head.is_empty() {
            rest = skip_empty_lines(bytes);
            if rest.is_empty() {
                return rest;
            }
            self.server.head.began = at;
        }
        let began = self.server.head.began;
        match self.server.head.take(rest, read_response) {
            HeadStep::Complete(Some(head), length) => {
                let rest = rest.get(length..).unwrap_or_default();
                self.end_response_head(head, began, at, signals);
                rest
            }
            HeadStep::Partial if judge_server(self.server.head.bytes()) != Verdict::No => &[],
            _ => {
                self.give_up_head(rest.len(), at, signals);
                &[]
            }
        }
    }

    /// What should be a head is none. If it was only guessed, nothing is lost but the guess.
    fn give_up_head(&mut self, skipped: usize, at: Stamp, signals: &mut Vec<Signal>) {
        if self.server.position == (Position::Head { guessed: true }) {
            self.server.search(skipped);
        } else {
            self.lose_answers(skipped, at, signals);
        }
    }

    fn end_response_head(&mut self, head: ResponseHead, began: Stamp, at: Stamp, signals: &mut Vec<Signal>) {
        report_skipped(&mut self.server.skipped, signals);
        self.server.position = Position::Head { guessed: false };
        let rivals = self.queue.count_answerable();
        let Some(request) = self.queue.answerable() else { return };
        if head.status < 200 && head.status != 101 {
            // An interim response; the final one follows (RFC 9110 section 15.2).
            request.waits_to_continue &= head.status != 100;
            return;
        }
        if request.is_assumed && rivals > 1 {
            return self.lose_answers(0, at, signals);
        }
        if request.is_over {
            // The method is unknown, so the body may or may not be there.
            self.queue.end_front(Ending::Lost, at, signals);
            return self.server.search(0);
        }
        let (status, framing) = (head.status, head.framing);
        request.set_response(head, began, at);
        let is_tunnel = status == 101 || status < 300 && request.http.method == "CONNECT";
        let is_empty = request.http.method == "HEAD" || matches!(status, 204 | 304) || framing == Framing::Length(0);
        if is_tunnel {
            request.http.upgraded = true;
            self.upgrade_connection(at, signals);
        } else if is_empty {
            self.complete(at, signals);
        } else {
            self.server.position = Position::Body(framing.response_body());
        }
    }

    /// From here on the connection speaks something else.
    fn upgrade_connection(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.queue.end_front(Ending::Complete, at, signals);
        // What the client sent since belongs to the other protocol, it is not skipped.
        self.after_upgrade.drop_all();
        self.end(Ending::Lost, at, signals);
        signals.push(Signal::Opaque);
    }

    fn read_response_body<'a>(&mut self, bytes: &'a [u8], at: Stamp, signals: &mut Vec<Signal>) -> &'a [u8] {
        let Position::Body(body) = &mut self.server.position else { return bytes };
        let progress = body.read(bytes);
        self.count_content(progress.content, at);
        match progress.state {
            State::More => {}
            State::Ended => self.complete(at, signals),
            State::Broken => self.lose_response_framing(),
        }
        bytes.get(progress.consumed..).unwrap_or_default()
    }

    fn count_content(&mut self, bytes: u64, at: Stamp) {
        if let Some(request) = self.queue.front() {
            request.content = request.content.map(|content| content.saturating_add(bytes));
            request.last = at;
        }
    }

    fn lose_response_framing(&mut self) {
        self.server.position = Position::LostBody;
        if let Some(request) = self.queue.front() {
            request.content = None;
        }
    }

    /// The response ended.
    fn complete(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.server.position = Position::Head { guessed: false };
        // Refused without `100 Continue`: the client may send the body, or the next request (RFC 9110 section 10.1.1).
        let is_last = self.queue.last().map(|request| request.serial);
        if self.queue.front().is_some_and(|request| request.waits_to_continue && Some(request.serial) == is_last) {
            self.client.position = Position::Head { guessed: true };
        }
        self.queue.end_front(Ending::Complete, at, signals);
    }

    /// Looks for the end of a chunked body whose framing is lost: its last chunk at the end of a write, or another
    /// response at the beginning of one.
    fn find_response_end<'a>(
        &mut self,
        bytes: &'a [u8],
        begins_write: bool,
        at: Stamp,
        signals: &mut Vec<Signal>,
    ) -> &'a [u8] {
        let rivals = self.queue.count_answerable();
        if rivals == 2 && begins_write && judge_server(bytes) == Verdict::Yes {
            // The client asked again, so the body's end was missed, and this answers the second question.
            self.queue.end_front(Ending::Lost, at, signals);
            self.server.position = Position::Searching;
            return self.find_response(bytes, begins_write);
        }
        self.server.skipped += bytes.len() as u64;
        if ends_with_last_chunk(bytes) {
            if rivals == 1 {
                self.complete(at, signals);
                report_skipped(&mut self.server.skipped, signals);
            } else {
                // This is the end of any of their answers.
                self.lose_answers(0, at, signals);
            }
        }
        &[]
    }

    /// Looks for a response where a write begins; only one that has a question is of interest.
    fn find_response<'a>(&mut self, bytes: &'a [u8], begins_write: bool) -> &'a [u8] {
        if begins_write && self.queue.answerable().is_some() && judge_server(bytes) != Verdict::No {
            self.server.position = Position::Head { guessed: true };
            return bytes;
        }
        self.server.skipped += bytes.len() as u64;
        &[]
    }
}
