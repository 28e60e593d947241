//! Which call on the wire a run time means when it says that a thread is about to make one.
//!
//! The run time says so on the thread that then sends the call's first bytes, with nothing else in between: the first
//! call a thread begins after such a message, and before the next one, is the call that was meant. Times are compared
//! only within one thread, where the kernel's and the run time's clock (both `CLOCK_MONOTONIC`) agree about the order.

use std::collections::{HashMap, VecDeque};

use crate::{bridge::CallBegan, exchange::Nanos};

/// Longest time from the message to the first byte; under load a thread may be off the processor in between.
const LONGEST: Nanos = 2_000_000_000;

/// Most messages and calls kept of one thread.
const MOST_KEPT: usize = 256;

/// What the threads of a process were about to do, and did.
#[derive(Debug, Default)]
pub(super) struct Threads {
    threads: HashMap<u32, Thread>,
    /// When connections began of which the first call was seen.
    connected: HashMap<u64, Nanos>,
    /// Announcements that a call followed, and such that none did.
    pub(super) followed: u64,
    pub(super) unfollowed: u64,
}

#[derive(Debug, Default)]
struct Thread {
    /// Calls announced, by time.
    began: VecDeque<(Nanos, CallBegan)>,
    /// Calls begun on the wire: when, and on which connection.
    opened: VecDeque<(Nanos, u64)>,
}

impl Threads {
    /// A thread is about to make a call.
    pub(super) fn began(&mut self, time: Nanos, call: CallBegan) {
        let thread = self.threads.entry(call.tid).or_default();
        if thread.began.len() == MOST_KEPT {
            thread.began.pop_front();
        }
        thread.began.push_back((time, call));
    }

    /// A thread sent the first bytes of a call.
    pub(super) fn opened(&mut self, tid: u32, time: Nanos, connection: u64) {
        let thread = self.threads.entry(tid).or_default();
        if thread.opened.len() == MOST_KEPT {
            thread.opened.pop_front();
        }
        thread.opened.push_back((time, connection));
    }

    /// A connection began with a call. What was announced before is none of its further calls: a driver that announces
    /// that it is about to connect (Npgsql 10) may go on with the new connection's own statements on any thread.
    pub(super) fn connected(&mut self, connection: u64, time: Nanos) {
        self.connected.insert(connection, time);
    }

    /// A connection is closed, and nothing is asked about it any more.
    pub(super) fn forget_connection(&mut self, connection: u64) {
        self.connected.remove(&connection);
    }

    /// What was announced for the call that `tid` began on `connection` at `time`. Everything up to `time` must have
    /// been said.
    pub(super) fn announced(&self, tid: u32, time: Nanos, connection: u64) -> Option<CallBegan> {
        let thread = self.threads.get(&tid)?;
        let (said, call) = thread.began.iter().rev().find(|(said, _)| *said <= time)?;
        if self.connected.get(&connection).is_some_and(|connected| said < connected && *connected < time) {
            return None;
        }
        // Several statements sent at once are one call of the program.
        let other = |(opened, on): &&(Nanos, u64)| {
            *opened >= *said && (*opened < time || (*opened == time && *on != connection))
        };
        let undisturbed = !thread.opened.iter().any(|opened| other(&opened));
        (undisturbed && time - said <= LONGEST).then_some(*call)
    }

    /// Several calls began on `connection` with one write.
    pub(super) fn is_shared(&self, tid: u32, time: Nanos, connection: u64) -> bool {
        let of_thread = self.threads.get(&tid).map(|thread| &thread.opened);
        of_thread.into_iter().flatten().filter(|opened| **opened == (time, connection)).count() > 1
    }

    /// Forgets what lies before `time`, when every call begun before has its answer.
    pub(super) fn forget_before(&mut self, time: Nanos) {
        let before = time.saturating_sub(LONGEST);
        let (followed, unfollowed) = (&mut self.followed, &mut self.unfollowed);
        self.threads.retain(|_, thread| {
            while let Some((said, _)) = thread.began.pop_front_if(|(said, _)| *said < before) {
                let next = thread.began.front().map_or(Nanos::MAX, |(next, _)| *next);
                let call = thread.opened.iter().any(|(opened, _)| (said..next).contains(opened));
                *(if call { &mut *followed } else { &mut *unfollowed }) += 1;
            }
            while thread.opened.front().is_some_and(|(opened, _)| *opened < before) {
                thread.opened.pop_front();
            }
            !thread.began.is_empty() || !thread.opened.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bridge::Context,
        correlate::{SpanId, TraceId},
    };

    fn call(tid: u32, parent: u64) -> CallBegan {
        CallBegan {
            tid,
            within: Some(Context { trace: TraceId(1), span: SpanId(parent), parent: None, sampled: true }),
        }
    }

    fn parent(threads: &Threads, tid: u32, time: Nanos, connection: u64) -> Option<u64> {
        threads.announced(tid, time, connection).and_then(|call| call.within).map(|within| within.span.0)
    }

    #[test]
    fn the_first_call_after_the_message_is_meant() {
        let mut threads = Threads::default();
        threads.began(10, call(7, 1));
        threads.opened(7, 12, 100);
        threads.opened(7, 15, 101);
        threads.began(20, call(7, 2));
        threads.opened(7, 22, 100);
        assert_eq!(parent(&threads, 7, 12, 100), Some(1));
        assert_eq!(parent(&threads, 7, 15, 101), None, "nothing was said of it");
        assert_eq!(parent(&threads, 7, 22, 100), Some(2));
        assert_eq!(parent(&threads, 8, 22, 100), None);
    }

    #[test]
    fn statements_sent_at_once_are_one_call() {
        let mut threads = Threads::default();
        threads.began(10, call(7, 1));
        threads.opened(7, 12, 100);
        threads.opened(7, 12, 100);
        assert_eq!(parent(&threads, 7, 12, 100), Some(1));
        threads.opened(7, 12, 101);
        assert_eq!(parent(&threads, 7, 12, 100), None);
    }

    #[test]
    fn what_was_announced_before_the_connection_is_none_of_its_calls() {
        let mut threads = Threads::default();
        threads.began(10, call(7, 1));
        threads.connected(100, 12);
        threads.opened(8, 12, 100);
        threads.opened(7, 15, 100);
        assert_eq!(parent(&threads, 7, 15, 100), None, "the driver's own");
        threads.began(20, call(7, 2));
        threads.opened(7, 21, 100);
        assert_eq!(parent(&threads, 7, 21, 100), Some(2));
    }

    #[test]
    fn what_is_old_is_not_believed() {
        let mut threads = Threads::default();
        threads.began(10, call(7, 1));
        assert_eq!(parent(&threads, 7, 10 + LONGEST + 1, 100), None);
        threads.forget_before(11 + LONGEST);
        assert!(threads.threads.is_empty());
    }
}
