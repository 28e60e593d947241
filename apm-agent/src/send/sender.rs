//! The thread that sends to APM Server.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    backoff::Backoff,
    batch::{Batch, Batches},
    http::Client,
    queue::{Queue, Taken},
    server::{Counts, Haste, Message},
    trouble::{Failure, Told, Trouble},
};
use crate::intake::Gates;

/// No limit beside the client's own.
const UNLIMITED: Duration = Duration::MAX;

/// State of the thread.
pub(super) struct Sender {
    pub queue: Arc<Queue<Message>>,
    pub counts: Arc<Counts>,
    pub client: Client,
    pub batches: Batches,
    pub backoff: Backoff,
    pub told: Told,
    /// What the server understands; `None`: it has not been asked, or has been absent since.
    pub gates: Option<Gates>,
    pub retry_at: Option<Instant>,
}

impl Sender {
    /// Runs until the queue is closed and what it held is sent.
    ///
    /// While the server is absent events stay in the queue, which drops what does not fit: a request is risked only
    /// after the server has answered a question.
    pub fn run(mut self) {
        while self.step() {}
        self.finish();
    }

    /// `false`: the queue is closed.
    fn step(&mut self) -> bool {
        if let Some(until) = self.retry_at.take() {
            return self.queue.pause(until);
        }
        let Some(gates) = self.gates else {
            if self.batches.next_due().is_none() && !self.queue.wait_for_item() {
                return false;
            }
            self.ask(UNLIMITED);
            return true;
        };
        match self.queue.take(self.batches.next_due()) {
            Taken::Item(message) => self.accept(message, gates),
            Taken::Nothing => {}
            Taken::Closed => return false,
        }
        for batch in self.batches.due(Instant::now()) {
            self.send(batch, UNLIMITED);
        }
        true
    }

    /// Asks for the server's version, which also shows whether it is there.
    fn ask(&mut self, at_most: Duration) {
        match self.client.version(at_most) {
            Ok(version) => {
                self.gates = Some(Gates::new(version.as_deref()));
                let version = version.as_deref().unwrap_or("it does not tell");
                tracing::debug!("APM Server at {} answers (version: {version}).", self.client.url());
            }
            Err(failure) => self.fail(&failure),
        }
    }

    fn accept(&mut self, message: Message, gates: Gates) {
        let ready = match message {
            Message::Event { haste: Haste::Log, .. } if gates.no_logs => {
                self.counts.dropped_logs.fetch_add(1, Relaxed);
                return;
            }
            Message::Event { instance, line, haste } => {
                match self.batches.add(&instance, &line, haste == Haste::Urgent, gates) {
                    Ok(ready) => ready,
                    Err(error) => {
                        tracing::debug!("An event of {} cannot be batched: {error}.", instance.name);
                        self.counts.dropped_size.fetch_add(1, Relaxed);
                        return;
                    }
                }
            }
            Message::Retire(instance) => self.batches.remove(&instance).into_iter().collect(),
        };
        let at_most = self.time_left();
        for batch in ready {
            self.send(batch, at_most);
        }
    }

    fn time_left(&self) -> Duration {
        match self.queue.deadline() {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => UNLIMITED,
        }
    }

    fn send(&mut self, batch: Batch, at_most: Duration) {
        let Batch { instance, body, events, .. } = batch;
        if at_most.is_zero() {
            self.counts.dropped_end.fetch_add(events, Relaxed);
            return;
        }
        let encoding = body.encoding();
        let result = match body.finish() {
            Ok(bytes) => {
                self.counts.bytes.fetch_add(bytes.len() as u64, Relaxed);
                self.client.post(&bytes, encoding, &instance, at_most)
            }
            Err(error) => {
                tracing::debug!("A request of {} cannot be compressed: {error}.", instance.name);
                self.counts.dropped_request.fetch_add(events, Relaxed);
                return;
            }
        };
        match result {
            Ok(()) => self.succeed(events),
            Err(failure) => {
                self.count_failure(&failure, events);
                self.fail(&failure);
            }
        }
    }

    /// What the server says it took is sent; the rest was refused one by one (400), or went with the request.
    fn count_failure(&self, failure: &Failure, events: u64) {
        let accepted = failure.accepted.min(events);
        let lost = match failure.trouble {
            Trouble::Invalid => &self.counts.refused,
            _ => &self.counts.dropped_request,
        };
        self.counts.sent.fetch_add(accepted, Relaxed);
        lost.fetch_add(events - accepted, Relaxed);
        self.counts.requests_failed.fetch_add(1, Relaxed);
    }

    fn succeed(&mut self, events: u64) {
        self.counts.sent.fetch_add(events, Relaxed);
        self.counts.requests.fetch_add(1, Relaxed);
        self.backoff.succeed();
        if self.told.recover() {
            tracing::info!("APM Server at {} takes events again.", self.client.url());
        }
    }

    fn fail(&mut self, failure: &Failure) {
        if failure.trouble.is_absence() {
            self.gates = None;
        }
        self.retry_at = Some(Instant::now() + self.backoff.fail());
        let sentence = failure.sentence(self.client.url());
        match self.told.is_new(failure.trouble) {
            true => tracing::warn!("{sentence}"),
            false => tracing::debug!("{sentence}"),
        }
    }

    /// Sends what is left, as far as the time goes; a pause after failures does not count any more.
    fn finish(mut self) {
        if self.gates.is_none() && (self.batches.next_due().is_some() || !self.queue.is_empty()) {
            self.ask(self.time_left());
        }
        let gates = self.gates;
        while let Some(message) = self.queue.take_left() {
            match (message, gates) {
                (message, Some(gates)) => self.accept(message, gates),
                (Message::Event { .. }, None) => {
                    self.counts.dropped_end.fetch_add(1, Relaxed);
                }
                (Message::Retire(_), None) => {}
            }
        }
        for batch in self.batches.drain() {
            let at_most = if gates.is_some() { self.time_left() } else { Duration::ZERO };
            self.send(batch, at_most);
        }
    }
}
