//! A connection's two directions and what joins them: which answer belongs to which question, and how exchanges end.
//! `request` follows the client's direction, `reply` the server's.

use super::body::Body;
use super::direction::{Direction, Position};
use super::held::{Held, Passed};
use super::pending::Queue;
use crate::exchange::{Ending, Side, Signal, Stamp};
use crate::protocol::{Conversation, Join, report_skipped};

/// One connection's conversation.
pub struct Http1Conversation {
    pub(super) client: Direction,
    pub(super) server: Direction,
    pub(super) queue: Queue,
    /// Answers whose question has not come yet.
    pub(super) early: Held,
    /// What the client sent after it asked for another protocol.
    pub(super) after_upgrade: Held,
    /// Serial of the request that asks for another protocol, until it is answered.
    pub(super) upgrade: Option<u64>,
    /// Every byte was seen and understood, so the i-th answer belongs to the i-th question.
    pub(super) is_certain: bool,
    /// The client sent an unknown number of requests unseen, and the server nothing since.
    pub(super) is_hiding: bool,
    /// Nothing more will be said: upgraded, closed, or finished.
    pub(super) is_over: bool,
}

impl Http1Conversation {
    pub fn new(join: Join) -> Self {
        let position = || match join {
            Join::Start => Position::Head { guessed: false },
            Join::Late => Position::Searching,
        };
        Http1Conversation {
            client: Direction::new(position()),
            server: Direction::new(position()),
            queue: Queue::default(),
            early: Held::default(),
            after_upgrade: Held::default(),
            upgrade: None,
            is_certain: join == Join::Start,
            is_hiding: false,
            is_over: false,
        }
    }

    /// Bytes held beside the structures themselves.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let heads = self.client.head.length() + self.server.head.length();
        heads + self.queue.cost() + self.early.cost() + self.after_upgrade.cost()
    }

    /// Gives up all requests whose answer may have come, and the place in the server's messages.
    pub(super) fn lose_answers(&mut self, skipped: usize, at: Stamp, signals: &mut Vec<Signal>) {
        // With one request, the bytes that were missed are its answer's. With more, answers may follow for those lost.
        self.is_hiding |= self.queue.count_answerable() > 1;
        self.queue.lose_answerable(at, signals);
        self.server.search(skipped);
        self.is_certain = false;
    }

    /// Plays the early answers again, now that a question has come.
    pub(super) fn release_early(&mut self, signals: &mut Vec<Signal>) {
        for (at, passed) in self.early.take() {
            match passed {
                Passed::Bytes(bytes) => self.feed_server(&bytes, at, signals),
                Passed::Gap(length) => self.gap_server(length, at, signals),
            }
        }
    }

    /// Plays what the client sent after a request to upgrade that was not granted.
    pub(super) fn release_after_upgrade(&mut self, signals: &mut Vec<Signal>) {
        let Some(serial) = self.upgrade else { return };
        if self.is_over || self.queue.contains(serial) {
            return;
        }
        self.upgrade = None;
        for (at, passed) in self.after_upgrade.take() {
            match passed {
                Passed::Bytes(bytes) => self.feed_client(&bytes, at, signals),
                Passed::Gap(length) => self.gap_client(length, at, signals),
            }
        }
    }

    /// Ends the conversation; `ending` is that of exchanges still open.
    pub(super) fn end(&mut self, ending: Ending, at: Stamp, signals: &mut Vec<Signal>) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        self.client.skipped += self.after_upgrade.drop_all();
        self.server.skipped += self.early.drop_all();
        self.queue.end_all(ending, at, signals);
        self.client.search(0);
        self.server.search(0);
        report_skipped(&mut self.client.skipped, signals);
        report_skipped(&mut self.server.skipped, signals);
    }

    /// The server sends no more: that ends a body without length, and aborts all else.
    fn close_server(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        if self.server.position == Position::Body(Body::UntilClose)
            && let Some(last) = self.queue.front().map(|request| request.last)
            // A client that closed first, and was sent nothing since, has not waited for the end.
            && self.client.closed.is_none_or(|closed| closed.time < last.time)
        {
            self.queue.end_front(Ending::Complete, last, signals);
        }
        self.abort(Some(Side::Server), at, signals);
    }

    /// The connection is over: by the client if it closed before, else by `by`.
    fn abort(&mut self, by: Option<Side>, at: Stamp, signals: &mut Vec<Signal>) {
        match self.client.closed {
            Some(closed) => self.end(Ending::Aborted { by: Some(Side::Client) }, closed, signals),
            None => self.end(Ending::Aborted { by }, at, signals),
        }
    }
}

impl Conversation for Http1Conversation {
    fn feed(&mut self, from: Side, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) {
        match from {
            Side::Client => self.feed_client(bytes, at, signals),
            Side::Server => {
                self.feed_server(bytes, at, signals);
                self.release_after_upgrade(signals);
            }
        }
    }

    fn gap(&mut self, from: Side, length: u64, at: Stamp, signals: &mut Vec<Signal>) {
        match from {
            Side::Client => self.gap_client(length, at, signals),
            Side::Server => {
                self.gap_server(length, at, signals);
                self.release_after_upgrade(signals);
            }
        }
    }

    fn close(&mut self, by: Option<Side>, at: Stamp, signals: &mut Vec<Signal>) {
        match by {
            Some(Side::Client) => {
                self.client.closed.get_or_insert(at);
            }
            Some(Side::Server) => self.close_server(at, signals),
            None => self.abort(None, at, signals),
        }
    }

    fn finish(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        match self.client.closed {
            Some(closed) => self.end(Ending::Aborted { by: Some(Side::Client) }, closed, signals),
            None => self.end(Ending::Unfinished, at, signals),
        }
    }
}
