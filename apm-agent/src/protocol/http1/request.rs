//! Follows the client's direction: requests open here.

use super::body::{Body, Chunks, State, ends_with_last_chunk, is_token};
use super::conversation::Http1Conversation;
use super::direction::{HeadStep, Position};
use super::head::{Framing, RequestHead, read_request};
use super::recognise::{is_common, judge_client, skip_empty_lines};
use crate::exchange::{Ending, Signal, Stamp};
use crate::protocol::{Verdict, report_skipped};

impl Http1Conversation {
    /// Bytes came from the client.
    pub(super) fn feed_client(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_over {
            if self.upgrade.is_some() && self.client.is_between_messages() {
                return self.hold_after_upgrade(rest, at, signals);
            }
            let begins_write = rest.len() == bytes.len();
            let is_answered = self.is_answering_last();
            rest = match self.client.position {
                Position::Head { .. } => self.read_request_head(rest, at, signals),
                Position::Body(_) => self.read_request_body(rest, at, signals),
                Position::LostBody if !is_answered => self.find_request_end(rest, at, signals),
                Position::LostBody | Position::Searching => self.find_request(rest, begins_write),
            };
        }
    }

    /// Bytes of the client were missed.
    pub(super) fn gap_client(&mut self, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        if self.is_over {
            return;
        }
        if self.upgrade.is_some() && self.client.is_between_messages() {
            if !self.after_upgrade.push_gap(length, at) {
                self.drop_after_upgrade(at, signals);
            }
            return;
        }
        let Position::Body(body) = &mut self.client.position else {
            return self.lose_place_in_requests(0, at, signals);
        };
        match body.skip(length) {
            (_, State::More) => {}
            (taken, State::Ended) if taken == length => self.end_request(at),
            (_, State::Ended) => self.lose_place_in_requests(0, at, signals),
            (_, State::Broken) => self.lose_framing(at, signals),
        }
    }

    /// The request opened last has an answer already, so that nothing keeps the client from sending another.
    fn is_answering_last(&mut self) -> bool {
        self.queue.last().is_none_or(|request| request.response_start.is_some())
    }

    fn read_request_head<'a>(&mut self, bytes: &'a [u8], at: Stamp, signals: &mut Vec<Signal>) -> &'a [u8] {
        let guessed = self.client.position == Position::Head { guessed: true };
        let rest = if self.client.head.is_empty() { skip_empty_lines(bytes) } else { bytes };
        if self.client.head.is_empty() {
            match rest.first() {
                None => return rest,
                Some(byte) if !guessed && !is_token(*byte) => {
                    self.lose_place_in_requests(rest.len(), at, signals);
                    return &[];
                }
                Some(_) if !guessed => self.open_request(at, signals),
                Some(_) => {}
            }
            self.client.head.began = at;
        }
        let began = self.client.head.began;
        match self.client.head.take(rest, read_request) {
            HeadStep::Complete(Some(head), length) if !guessed || is_common(&head.method) => {
                if guessed {
                    self.open_request(began, signals);
                }
                self.end_request_head(head, at, signals);
                rest.get(length..).unwrap_or_default()
            }
            HeadStep::Partial if !guessed || judge_client(self.client.head.bytes()) != Verdict::No => &[],
            // What was guessed to be a head is none.
            _ if guessed => {
                self.client.search(rest.len());
                &[]
            }
            _ => {
                self.lose_place_in_requests(rest.len(), at, signals);
                &[]
            }
        }
    }

    fn open_request(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        if self.queue.is_full() {
            self.lose_answers(0, at, signals);
            self.is_hiding = true;
        }
        self.queue.open(at, !self.is_certain, self.is_hiding, signals);
    }

    fn end_request_head(&mut self, mut head: RequestHead, at: Stamp, signals: &mut Vec<Signal>) {
        report_skipped(&mut self.client.skipped, signals);
        let body = match head.framing {
            Framing::Unsaid | Framing::Length(0) => None,
            Framing::Length(length) => Some(Position::Body(Body::Length(length))),
            Framing::Chunked => Some(Position::Body(Body::Chunks(Chunks::default()))),
            // The server cannot tell its end either, and has to refuse it (RFC 9112 section 6.3).
            Framing::Unclear => Some(Position::Searching),
        };
        let has_body = body.is_some();
        self.client.position = body.unwrap_or(Position::Head { guessed: false });
        // The request opened last is still there: nothing ends the exchange of one whose head is not complete.
        let Some(request) = self.queue.last() else { return };
        let (serial, asks_upgrade) = (request.serial, head.asks_upgrade);
        let trace = std::mem::take(&mut head.trace);
        request.set_request(head, has_body);
        request.request_end = (!has_body).then_some(at.time);
        let is_unpairable = request.is_unpairable;
        signals.push(Signal::Request { serial, trace });
        if is_unpairable {
            return self.queue.end_last(Ending::Lost, at, signals);
        }
        if asks_upgrade {
            self.upgrade = Some(serial);
        }
        if !self.queue.pay_last() {
            self.lose_answers(0, at, signals);
            self.is_hiding = true;
        }
        self.release_early(signals);
        self.release_after_upgrade(signals);
    }

    fn read_request_body<'a>(&mut self, bytes: &'a [u8], at: Stamp, signals: &mut Vec<Signal>) -> &'a [u8] {
        let Position::Body(body) = &mut self.client.position else { return bytes };
        let progress = body.read(bytes);
        if let Some(request) = self.queue.last() {
            // From now on the body is on its way, whatever the server says.
            request.waits_to_continue = false;
        }
        match progress.state {
            State::More => {}
            State::Ended => self.end_request(at),
            State::Broken => self.lose_framing(at, signals),
        }
        bytes.get(progress.consumed..).unwrap_or_default()
    }

    fn end_request(&mut self, at: Stamp) {
        self.client.position = Position::Head { guessed: false };
        if let Some(request) = self.queue.last() {
            request.request_end = Some(at.time);
        }
    }

    /// A chunked body's framing is lost: more requests may follow unseen.
    fn lose_framing(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.client.position = Position::LostBody;
        self.hide_requests(at, signals);
    }

    /// The place in the client's messages is lost: at most one request's beginning was seen, others may follow unseen.
    fn lose_place_in_requests(&mut self, skipped: usize, at: Stamp, signals: &mut Vec<Signal>) {
        if self.queue.last().is_some_and(|request| !request.is_read) {
            self.queue.lose_last(at, signals);
        }
        self.client.search(skipped);
        self.hide_requests(at, signals);
        self.release_early(signals);
    }

    /// From here on the client may have sent requests unseen.
    fn hide_requests(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        signals.push(Signal::RequestsMissed);
        if self.server.position == Position::LostBody {
            // The end to be found may be that of an answer to one of them.
            self.lose_answers(0, at, signals);
        }
        self.is_certain = false;
        self.is_hiding = true;
    }

    /// Looks for the end of a chunked body whose framing is lost.
    fn find_request_end<'a>(&mut self, bytes: &'a [u8], at: Stamp, signals: &mut Vec<Signal>) -> &'a [u8] {
        self.client.skipped += bytes.len() as u64;
        if ends_with_last_chunk(bytes) {
            self.end_request(at);
            report_skipped(&mut self.client.skipped, signals);
        }
        &[]
    }

    /// Looks for a request where a write begins.
    fn find_request<'a>(&mut self, bytes: &'a [u8], begins_write: bool) -> &'a [u8] {
        if begins_write && judge_client(bytes) != Verdict::No {
            self.client.position = Position::Head { guessed: true };
            return bytes;
        }
        self.client.skipped += bytes.len() as u64;
        &[]
    }

    fn hold_after_upgrade(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        if !self.after_upgrade.push_bytes(bytes, at) {
            self.client.skipped += bytes.len() as u64;
            self.drop_after_upgrade(at, signals);
        }
    }

    /// Too much came before the server granted an upgrade: what it was is not known, so later requests are searched for.
    fn drop_after_upgrade(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.client.skipped += self.after_upgrade.drop_all();
        self.upgrade = None;
        self.lose_place_in_requests(0, at, signals);
    }
}
