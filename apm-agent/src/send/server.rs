//! APM Server as output. The pipeline encodes and queues; one thread batches, compresses and sends.
//!
//! What was sent is never sent again: a server that fails may have stored it. Every event ends as sent, refused or
//! dropped for a reason, and is counted so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Output, OutputError,
    backoff::Backoff,
    batch::{BatchLimits, Batches},
    http::Client,
    queue::{Queue, Weight},
    sender::Sender,
    trouble::Told,
};
use crate::{build::Document, config::Outputs, intake, metadata::ServiceInstance};

/// Most bytes of lines queued.
const QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// Time to send what is queued at the end.
const FINISH_TIME: Duration = Duration::from_secs(3);

/// What the pipeline hands to the sending thread.
pub(super) enum Message {
    /// A line of an instance.
    Event { instance: Arc<ServiceInstance>, line: Vec<u8>, haste: Haste },
    /// The instance will publish no more.
    Retire(Arc<ServiceInstance>),
}

/// How an event is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// As others.
    Common,
    /// Does not wait for company.
    Urgent,
    /// Metrics: have room of their own in the queue.
    Metrics,
    /// A record of a log, which old servers refuse.
    Log,
}

impl Haste {
    fn of(document: &Document) -> Self {
        match document {
            Document::Error(error) if !error.handled => Self::Urgent,
            Document::Metrics(_) => Self::Metrics,
            Document::Log(_) => Self::Log,
            Document::Transaction(_) | Document::Span(_) | Document::Error(_) => Self::Common,
        }
    }
}

impl Weight for Message {
    fn bytes(&self) -> usize {
        match self {
            Message::Event { line, .. } => size_of::<Self>() + line.capacity(),
            Message::Retire(_) => size_of::<Self>(),
        }
    }

    fn is_metrics(&self) -> bool {
        matches!(self, Message::Event { haste: Haste::Metrics, .. })
    }
}

/// What became of events and requests.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub published: AtomicU64,
    pub sent: AtomicU64,
    pub refused: AtomicU64,
    pub dropped_queue: AtomicU64,
    pub dropped_metrics: AtomicU64,
    pub dropped_size: AtomicU64,
    pub dropped_logs: AtomicU64,
    pub dropped_request: AtomicU64,
    pub dropped_end: AtomicU64,
    pub requests: AtomicU64,
    pub requests_failed: AtomicU64,
    pub bytes: AtomicU64,
}

impl Counts {
    fn list(&self) -> Vec<(&'static str, u64)> {
        let fates = [
            ("send.server.events.sent", &self.sent),
            ("send.server.events.refused", &self.refused),
            ("send.server.events.dropped.queue_full", &self.dropped_queue),
            ("send.server.events.dropped.metrics_queue_full", &self.dropped_metrics),
            ("send.server.events.dropped.too_large", &self.dropped_size),
            ("send.server.events.dropped.no_logs", &self.dropped_logs),
            ("send.server.events.dropped.request_failed", &self.dropped_request),
            ("send.server.events.dropped.at_end", &self.dropped_end),
        ]
        .map(|(name, counter)| (name, counter.load(Relaxed)));
        let settled: u64 = fates.iter().map(|(_, value)| value).sum();
        let published = self.published.load(Relaxed);
        let mut list = vec![("send.server.events.published", published)];
        list.extend(fates);
        list.push(("send.server.events.under_way", published.saturating_sub(settled)));
        list.push(("send.server.requests.ok", self.requests.load(Relaxed)));
        list.push(("send.server.requests.failed", self.requests_failed.load(Relaxed)));
        list.push(("send.server.bytes", self.bytes.load(Relaxed)));
        list
    }
}

/// What tests need otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    /// One second of back-off.
    pub second: Duration,
    /// Compress; `None`: unless the server is on this machine.
    pub compress: Option<bool>,
    /// Time to send what is queued at the end.
    pub finish: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { second: Duration::from_secs(1), compress: None, finish: FINISH_TIME }
    }
}

/// Sends to APM Server.
pub struct ServerOutput {
    queue: Arc<Queue<Message>>,
    counts: Arc<Counts>,
    finish: Duration,
    /// Disconnects when the thread has ended.
    ended: Receiver<()>,
}

impl ServerOutput {
    /// Starts the sending thread; nothing is sent before there is an event.
    ///
    /// # Errors
    /// When the settings cannot work: an address that is none, certificates that cannot be read.
    pub fn new(url: &str, outputs: &Outputs) -> Result<Self, OutputError> {
        Self::tuned(url, outputs, Tuning::default())
    }

    pub(super) fn tuned(url: &str, outputs: &Outputs, tuning: Tuning) -> Result<Self, OutputError> {
        let client = Client::new(url, outputs)?;
        let queue = Arc::new(Queue::new(outputs.max_queue_size, QUEUE_BYTES));
        let counts = Arc::new(Counts::default());
        let (end, ended) = mpsc::channel();
        let limits = BatchLimits {
            size: outputs.api_request_size,
            time: outputs.api_request_time,
            compress: tuning.compress.unwrap_or(!client.is_loopback()),
        };
        let sender = Sender {
            queue: Arc::clone(&queue),
            counts: Arc::clone(&counts),
            client,
            batches: Batches::new(limits),
            backoff: Backoff::new(tuning.second),
            told: Told::default(),
            gates: None,
            retry_at: None,
        };
        let run = move || {
            sender.run();
            drop(end);
        };
        thread::Builder::new().name("send-server".to_owned()).spawn(run).map_err(OutputError::Thread)?;
        Ok(Self { queue, counts, finish: tuning.finish, ended })
    }
}

impl Output for ServerOutput {
    fn publish(&mut self, instance: &Arc<ServiceInstance>, document: &Document) {
        self.counts.published.fetch_add(1, Relaxed);
        let mut line = Vec::with_capacity(1024);
        if intake::write_document(document, &mut line).is_err() {
            self.counts.dropped_size.fetch_add(1, Relaxed);
            return;
        }
        let haste = Haste::of(document);
        if !self.queue.push(Message::Event { instance: Arc::clone(instance), line, haste }) {
            let lost = if haste == Haste::Metrics { &self.counts.dropped_metrics } else { &self.counts.dropped_queue };
            lost.fetch_add(1, Relaxed);
        }
    }

    fn retire(&mut self, instance: &Arc<ServiceInstance>) {
        // Lost when the queue is full: then the instance's last request waits for its time.
        self.queue.push(Message::Retire(Arc::clone(instance)));
    }

    fn finish(&mut self) {
        self.queue.close(Instant::now() + self.finish);
        // A request under way keeps its own time limit: wait a little longer than the deadline, and no more.
        let _ = self.ended.recv_timeout(self.finish + Duration::from_millis(250));
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counts.list()
    }
}

impl Drop for ServerOutput {
    /// The thread ends by itself; nobody waits for it.
    fn drop(&mut self) {
        self.queue.close(Instant::now());
    }
}

#[cfg(test)]
mod tests;
