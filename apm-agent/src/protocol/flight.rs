//! What was asked on a connection and is not yet answered, in order.

use std::collections::VecDeque;

use crate::exchange::{Ending, Exchange, Nanos, Payload, Signal, Stamp};

/// Something that was asked.
#[derive(Debug)]
pub(super) struct Pending<A> {
    /// Number of its exchange; `None`: it is followed, and is none.
    serial: Option<u64>,
    opened: Stamp,
    request_end: Nanos,
    /// First byte of its answer.
    pub(super) response_start: Option<Nanos>,
    bytes: usize,
    /// What was asked, and what is known of the answer.
    pub(super) asked: A,
}

impl<A> Pending<A> {
    /// Ends its exchange, if it is one.
    pub(super) fn finish(
        self,
        ending: Ending,
        closed: Stamp,
        signals: &mut Vec<Signal>,
        payload: impl FnOnce(A) -> Payload,
    ) {
        let Some(serial) = self.serial else { return };
        signals.push(Signal::Done(Box::new(Exchange {
            serial,
            opened: self.opened,
            request_end: Some(self.request_end),
            response_start: self.response_start,
            closed,
            ending,
            payload: payload(self.asked),
        })));
    }
}

/// Questions in the order in which they were asked. The owner bounds their number and bytes.
#[derive(Debug)]
pub(super) struct Flight<A> {
    queue: VecDeque<Pending<A>>,
    bytes: usize,
    serial: u64,
}

impl<A> Default for Flight<A> {
    fn default() -> Self {
        Flight { queue: VecDeque::new(), bytes: 0, serial: 0 }
    }
}

impl<A> Flight<A> {
    /// Nothing awaits its answer.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many await their answers.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes they hold, by their own account.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Begins an exchange; `bytes`: what `asked` holds.
    pub(super) fn open(&mut self, opened: Stamp, end: Nanos, bytes: usize, asked: A, signals: &mut Vec<Signal>) {
        let serial = self.serial;
        self.serial += 1;
        signals.push(Signal::Opened { serial, at: opened });
        self.push(Some(serial), opened, end, bytes, asked);
    }

    /// Awaits an answer that ends no exchange.
    pub(super) fn open_silent(&mut self, opened: Stamp, asked: A) {
        self.push(None, opened, opened.time, 0, asked);
    }

    fn push(&mut self, serial: Option<u64>, opened: Stamp, request_end: Nanos, bytes: usize, asked: A) {
        self.bytes += bytes;
        self.queue.push_back(Pending { serial, opened, request_end, response_start: None, bytes, asked });
    }

    /// The one whose answer is due.
    pub(super) fn front(&self) -> Option<&Pending<A>> {
        self.queue.front()
    }

    /// As [`Flight::front`], to change it.
    pub(super) fn front_mut(&mut self) -> Option<&mut Pending<A>> {
        self.queue.front_mut()
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending<A>> {
        self.queue.iter()
    }

    /// Takes off the first that is meant.
    pub(super) fn take(&mut self, is_meant: impl Fn(&A) -> bool) -> Option<Pending<A>> {
        let place = self.queue.iter().position(|pending| is_meant(&pending.asked))?;
        let pending = self.queue.remove(place)?;
        self.bytes = self.bytes.saturating_sub(pending.bytes);
        Some(pending)
    }

    /// Takes off the one whose answer is due.
    pub(super) fn pop(&mut self) -> Option<Pending<A>> {
        let pending = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(pending.bytes);
        Some(pending)
    }
}
