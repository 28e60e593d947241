//! The line from a run time's bridge, on a thread of its own, to the engine.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    time::Duration,
};

use crate::{
    bridge::{Detail, Message, Said},
    clock,
    exchange::Nanos,
};

/// What is older than this has been said, even if the run time has been silent or has not stopped talking since.
const LONGEST_DELAY: Nanos = 3_000_000_000;

/// Bits of what is wanted beyond the least.
const WANT_REQUESTS: u8 = 1;
const WANT_STATEMENTS: u8 = 2;

/// What is wanted, in one number for two threads.
pub fn pack(detail: Detail) -> u8 {
    let requests = if detail.requests { WANT_REQUESTS } else { 0 };
    let statements = if detail.statements { WANT_STATEMENTS } else { 0 };
    requests | statements
}

/// Most messages kept back.
const MOST_HELD: usize = 1 << 18;

/// How long to wait when the engine does not keep up.
const PAUSE: Duration = Duration::from_millis(2);

/// Puts the messages of one process in order and hands them on.
pub struct Line {
    /// The process.
    pub pid: u32,
    asked_to_stop: Arc<AtomicBool>,
    wanted: Arc<AtomicU8>,
    abandoned: Arc<AtomicBool>,
    engine: SyncSender<Vec<Message>>,
    held: BTreeMap<Nanos, Vec<Said>>,
    count: usize,
    lost: u64,
    /// Time of the newest message.
    newest: Nanos,
    /// The same, when the run time last paused.
    newest_at_pause: Nanos,
    /// Everything up to here has been said.
    heard: Nanos,
}

impl Line {
    /// A line for `pid`. `asked_to_stop`: the talk should end; `wanted`: how much is to be told; `abandoned`: nobody listens any more.
    pub fn new(
        pid: u32,
        asked_to_stop: Arc<AtomicBool>,
        wanted: Arc<AtomicU8>,
        abandoned: Arc<AtomicBool>,
        engine: SyncSender<Vec<Message>>,
    ) -> Self {
        Self {
            pid,
            asked_to_stop,
            wanted,
            abandoned,
            engine,
            held: BTreeMap::new(),
            count: 0,
            lost: 0,
            newest: 0,
            newest_at_pause: 0,
            heard: 0,
        }
    }

    /// The talk should end.
    pub fn is_ending(&self) -> bool {
        self.asked_to_stop.load(Ordering::Relaxed)
    }

    /// How much the run time is to tell: the more it has to, the more it costs.
    pub fn wanted(&self) -> Detail {
        let wanted = self.wanted.load(Ordering::Relaxed);
        Detail { requests: wanted & WANT_REQUESTS != 0, statements: wanted & WANT_STATEMENTS != 0, ..Detail::default() }
    }

    /// The run time speaks from now on.
    pub fn began(&self, detail: Detail) {
        self.send(vec![self.message(clock::monotonic(), Said::Began(detail))]);
    }

    /// Something was said.
    pub fn say(&mut self, time: Nanos, said: Said) {
        if self.count >= MOST_HELD {
            self.lost += 1;
            return;
        }
        self.count += 1;
        self.newest = self.newest.max(time);
        self.held.entry(time).or_default().push(said);
    }

    /// Messages were lost on the way to us.
    pub fn lost(&mut self, messages: u64) {
        self.lost += messages;
    }

    /// Hands on what can no longer be out of order. `paused`: the run time has just made a pause.
    ///
    /// It hands messages over in batches (.NET: every 100 ms, later when the processor is busy), thread by thread, so
    /// that the order holds only from batch to batch. A pause ends a batch; but it may be a busy processor that stopped
    /// it, so that only what was there at the pause before is taken for complete.
    pub fn pass_on(&mut self, paused: bool) {
        if paused {
            self.heard = self.heard.max(self.newest_at_pause);
            self.newest_at_pause = self.newest;
        }
        self.heard = self.heard.max(clock::monotonic().saturating_sub(LONGEST_DELAY));
        self.pass_on_until(self.heard);
    }

    /// Everything up to `time` has been said: the run time tells in order.
    pub fn heard(&mut self, time: Nanos) {
        self.heard = self.heard.max(time);
    }

    /// The run time says no more: everything is handed on.
    pub fn ended(mut self) {
        self.pass_on_until(Nanos::MAX);
        self.send(vec![self.message(clock::monotonic(), Said::Ended)]);
    }

    fn pass_on_until(&mut self, time: Nanos) {
        let later = match time.checked_add(1) {
            Some(next) => self.held.split_off(&next),
            None => BTreeMap::new(),
        };
        let ready = std::mem::replace(&mut self.held, later);
        let mut batch = Vec::new();
        if self.lost > 0 {
            let messages = std::mem::take(&mut self.lost);
            batch.push(self.message(time, Said::Lost { messages }));
        }
        for (at, said) in ready {
            self.count -= said.len();
            batch.extend(said.into_iter().map(|said| self.message(at, said)));
        }
        if time != Nanos::MAX {
            batch.push(self.message(time, Said::Heard));
        }
        self.send(batch);
    }

    fn message(&self, time: Nanos, said: Said) -> Message {
        Message { pid: self.pid, time, said }
    }

    /// Waits while the engine is behind; the process has a buffer of its own, and counts what does not fit there.
    fn send(&self, batch: Vec<Message>) {
        let mut batch = batch;
        while let Err(TrySendError::Full(back)) = self.engine.try_send(batch) {
            if self.abandoned.load(Ordering::Relaxed) {
                return;
            }
            batch = back;
            std::thread::sleep(PAUSE);
        }
    }
}
