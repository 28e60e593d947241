//! Requests whose exchange is not over, in order.

use super::head::{RequestHead, ResponseHead};
use crate::exchange::{Ending, Exchange, Http, Nanos, Payload, Signal, Stamp};
use std::collections::VecDeque;

/// Most requests without answer at once.
const REQUESTS: usize = 256;

/// Most bytes of their heads together.
const HEADS_BYTES: usize = 1024 * 1024;

/// A request, and its answer as far as it came.
#[derive(Default)]
pub struct Pending {
    pub serial: u64,
    opened: Stamp,
    /// Opened while bytes of the connection were missing: another, unseen request may precede it.
    pub is_assumed: bool,
    /// Opened where unseen requests certainly precede it whose number is unknown: its answer cannot be told.
    pub is_unpairable: bool,
    /// The head is complete, so that its answer can be read.
    pub is_read: bool,
    /// `Done` was said; only its answer is still to be passed over.
    pub is_over: bool,
    /// Waits for `100 Continue`, which has not come.
    pub waits_to_continue: bool,
    pub request_end: Option<Nanos>,
    pub response_start: Option<Nanos>,
    /// Content of the response so far; `None`: it was not followed.
    pub content: Option<u64>,
    /// Chunk that held the last byte of the response so far.
    pub last: Stamp,
    pub http: Http,
    cost: usize,
}

impl Pending {
    /// Takes over a request's head.
    pub fn set_request(&mut self, head: RequestHead, has_body: bool) {
        self.is_read = true;
        self.waits_to_continue = head.expects_continue && has_body;
        self.http.method = head.method;
        self.http.target = head.target;
        self.http.version = head.version;
        self.http.headers = head.headers;
        self.http.has_request_body = has_body;
    }

    /// Takes over the head of the final response.
    pub fn set_response(&mut self, head: ResponseHead, began: Stamp, at: Stamp) {
        self.http.status = Some(head.status);
        self.http.response_headers = head.headers;
        self.response_start = Some(began.time);
        self.content = Some(0);
        self.last = at;
    }

    /// Its exchange, over.
    fn into_exchange(self, ending: Ending, closed: Stamp) -> Exchange {
        let mut http = self.http;
        http.response_body_bytes = if ending == Ending::Complete { self.content } else { None };
        Exchange {
            serial: self.serial,
            opened: self.opened,
            request_end: self.request_end,
            response_start: self.response_start,
            closed,
            ending,
            payload: Payload::Http(http),
        }
    }
}

/// The requests of a connection whose exchanges are not over.
#[derive(Default)]
pub struct Queue {
    requests: VecDeque<Pending>,
    next_serial: u64,
    cost: usize,
}

impl Queue {
    /// Opens a request at the end of the queue. The caller has made room.
    pub fn open(&mut self, at: Stamp, is_assumed: bool, is_unpairable: bool, signals: &mut Vec<Signal>) {
        let serial = self.next_serial;
        self.next_serial += 1;
        signals.push(Signal::Opened { serial, at });
        self.requests.push_back(Pending { serial, opened: at, is_assumed, is_unpairable, ..Pending::default() });
    }

    pub fn front(&mut self) -> Option<&mut Pending> {
        self.requests.front_mut()
    }

    /// The first request, if its answer can be read: its head is complete, or will never be.
    pub fn answerable(&mut self) -> Option<&mut Pending> {
        self.requests.front_mut().filter(|request| request.is_read)
    }

    /// Number of requests whose answer may come.
    pub fn count_answerable(&self) -> usize {
        self.requests.iter().take_while(|request| request.is_read).count()
    }

    /// The request opened last, if its exchange is still open.
    pub fn last(&mut self) -> Option<&mut Pending> {
        let serial = self.next_serial.checked_sub(1)?;
        self.requests.back_mut().filter(|request| request.serial == serial && !request.is_over)
    }

    /// Whether a request is waiting for its answer.
    pub fn contains(&self, serial: u64) -> bool {
        self.requests.iter().any(|request| request.serial == serial && !request.is_over)
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Adds what the last request's head costs; false: the queue is over its caps.
    pub fn pay_last(&mut self) -> bool {
        if let Some(request) = self.requests.back_mut() {
            request.cost = size(&request.http);
            self.cost += request.cost;
        }
        self.cost <= HEADS_BYTES && self.requests.len() <= REQUESTS
    }

    /// Bytes of all heads, as counted against the cap.
    #[cfg(test)]
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// There is no room for another request.
    pub fn is_full(&self) -> bool {
        self.requests.len() >= REQUESTS
    }

    /// Ends the first request's exchange.
    pub fn end_front(&mut self, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
        if let Some(request) = self.requests.pop_front() {
            self.cost = self.cost.saturating_sub(request.cost);
            end(request, ending, closed, signals);
        }
    }

    /// Ends the exchange of the request opened last.
    pub fn end_last(&mut self, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
        if let Some(request) = self.requests.pop_back() {
            self.cost = self.cost.saturating_sub(request.cost);
            end(request, ending, closed, signals);
        }
    }

    /// Gives up the request opened last, whose head will never be known, but keeps its place: its answer comes.
    pub fn lose_last(&mut self, closed: Stamp, signals: &mut Vec<Signal>) {
        if let Some(request) = self.last() {
            let keeper = Pending { serial: request.serial, is_read: true, is_over: true, ..Pending::default() };
            end(std::mem::replace(request, keeper), Ending::Lost, closed, signals);
        }
    }

    /// Gives up all requests whose answer may have come.
    pub fn lose_answerable(&mut self, closed: Stamp, signals: &mut Vec<Signal>) {
        while self.answerable().is_some() {
            self.end_front(Ending::Lost, closed, signals);
        }
    }

    /// Ends all exchanges.
    pub fn end_all(&mut self, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
        while !self.is_empty() {
            self.end_front(ending, closed, signals);
        }
    }
}

/// Bytes a request's head takes: its text, and two strings' own size for each header.
fn size(http: &Http) -> usize {
    let headers: usize = http.headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
    headers + http.method.len() + http.target.len()
}

fn end(request: Pending, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
    if !request.is_over {
        signals.push(Signal::Done(Box::new(request.into_exchange(ending, closed))));
    }
}
