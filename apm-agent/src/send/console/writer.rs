//! Writes text from a thread of its own.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use super::super::{
    OutputError,
    queue::{Queue, Taken, Weight},
};

/// Most texts and bytes that wait for the terminal.
const MAX_TEXTS: usize = 4096;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Time for the rest at the end.
const FINISH_TIME: Duration = Duration::from_secs(1);

impl Weight for String {
    fn bytes(&self) -> usize {
        self.capacity()
    }
}

/// Never blocks its caller.
pub(super) struct Writer {
    queue: Arc<Queue<String>>,
    dropped: Arc<AtomicU64>,
    /// Disconnects when the thread has ended.
    ended: Receiver<()>,
}

impl Writer {
    pub fn new(target: impl Write + Send + 'static) -> Result<Self, OutputError> {
        let queue = Arc::new(Queue::new(MAX_TEXTS, MAX_BYTES));
        let dropped = Arc::new(AtomicU64::new(0));
        let (end, ended) = mpsc::channel();
        let (texts, lost) = (Arc::clone(&queue), Arc::clone(&dropped));
        let run = move || {
            write_all(&texts, &lost, target);
            drop(end);
        };
        thread::Builder::new().name("send-console".to_owned()).spawn(run).map_err(OutputError::Thread)?;
        Ok(Self { queue, dropped, ended })
    }

    pub fn write(&self, text: String) {
        if !text.is_empty() && !self.queue.push(text) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    pub fn finish(&self) {
        self.queue.close(Instant::now() + FINISH_TIME);
        // Whether it ended or not: there is no more to do.
        let _ = self.ended.recv_timeout(FINISH_TIME);
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close(Instant::now());
    }
}

fn write_all(queue: &Queue<String>, lost: &AtomicU64, mut target: impl Write) {
    let mut works = true;
    let mut write = |text: String| {
        works = works && target.write_all(text.as_bytes()).is_ok() && target.flush().is_ok();
        if !works {
            lost.fetch_add(1, Relaxed);
        }
    };
    while let Taken::Item(text) = queue.take(None) {
        write(text);
    }
    while let Some(text) = queue.take_left() {
        write(text);
    }
}
