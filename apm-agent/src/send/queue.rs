//! The bounded queue between the pipeline and a thread that sends: the pipeline never waits, what does not fit is its
//! caller's to count.
//!
//! Metrics have room of their own, and go first: they are few, and a busy service's events would leave no place for
//! them just when they matter.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// What a [`Queue`] holds: something that takes memory.
pub(super) trait Weight {
    /// Bytes of memory, about.
    fn bytes(&self) -> usize;

    /// It goes into the room kept for metrics.
    fn is_metrics(&self) -> bool {
        false
    }
}

/// Most metrics queued, and their bytes: several reports of some hundred instances.
const METRICS: Limits = Limits { items: 1024, bytes: 2 * 1024 * 1024 };

/// What [`Queue::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    /// The oldest item.
    Item(T),
    /// Nothing came in time.
    Nothing,
    /// The queue is closed; items may be left.
    Closed,
}

/// A queue bounded by items and by bytes.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    events: Room<T>,
    metrics: Room<T>,
    /// Set when the queue closes: the time by which everything should be sent.
    deadline: Option<Instant>,
}

/// Bounds of a room.
#[derive(Clone, Copy)]
struct Limits {
    items: usize,
    bytes: usize,
}

/// Items in order, within bounds.
struct Room<T> {
    items: VecDeque<T>,
    bytes: usize,
    limits: Limits,
}

impl<T: Weight> Room<T> {
    fn new(limits: Limits) -> Self {
        Self { items: VecDeque::new(), bytes: 0, limits }
    }

    /// `false`: it does not fit.
    fn push(&mut self, item: T) -> bool {
        let bytes = item.bytes();
        let fits = self.items.len() < self.limits.items && self.bytes + bytes <= self.limits.bytes;
        if fits {
            self.bytes += bytes;
            self.items.push_back(item);
        }
        fits
    }

    fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(item.bytes());
        Some(item)
    }
}

impl<T: Weight> State<T> {
    fn pop(&mut self) -> Option<T> {
        self.metrics.pop().or_else(|| self.events.pop())
    }

    fn is_empty(&self) -> bool {
        self.events.items.is_empty() && self.metrics.items.is_empty()
    }
}

impl<T: Weight> Queue<T> {
    /// A queue for so many items and bytes, metrics not counted.
    pub fn new(max_items: usize, max_bytes: usize) -> Self {
        let events = Room::new(Limits { items: max_items, bytes: max_bytes });
        let state = State { events, metrics: Room::new(METRICS), deadline: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds an item; `false` when it does not fit or the queue is closed.
    pub fn push(&self, item: T) -> bool {
        let mut state = self.lock();
        if state.deadline.is_some() {
            return false;
        }
        let room = if item.is_metrics() { &mut state.metrics } else { &mut state.events };
        let fits = room.push(item);
        drop(state);
        if fits {
            self.changed.notify_one();
        }
        fits
    }

    /// Waits for an item until `until`, without end if there is none.
    pub fn take(&self, until: Option<Instant>) -> Taken<T> {
        let mut state = self.lock();
        loop {
            if state.deadline.is_some() {
                return Taken::Closed;
            }
            if let Some(item) = state.pop() {
                return Taken::Item(item);
            }
            match self.wait(state, until) {
                Some(guard) => state = guard,
                None => return Taken::Nothing,
            }
        }
    }

    /// Takes an item without waiting, also of a closed queue.
    pub fn take_left(&self) -> Option<T> {
        self.lock().pop()
    }

    /// Waits until there is an item, leaving it where it is. `false`: the queue was closed.
    pub fn wait_for_item(&self) -> bool {
        let mut state = self.lock();
        while state.deadline.is_none() && state.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.deadline.is_none()
    }

    /// Waits until `until`, whatever comes. `false`: the queue was closed.
    pub fn pause(&self, until: Instant) -> bool {
        let mut state = self.lock();
        while state.deadline.is_none() {
            match self.wait(state, Some(until)) {
                Some(guard) => state = guard,
                None => return true,
            }
        }
        false
    }

    /// Takes no more. What is left should be sent by `deadline`.
    pub fn close(&self, deadline: Instant) {
        self.lock().deadline.get_or_insert(deadline);
        self.changed.notify_all();
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// When everything should be sent, once the queue is closed.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: the time is over.
    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>, until: Option<Instant>) -> Option<MutexGuard<'a, State<T>>> {
        let Some(until) = until else {
            return Some(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;

    impl Weight for &str {
        fn bytes(&self) -> usize {
            self.len()
        }

        fn is_metrics(&self) -> bool {
            self.starts_with('m')
        }
    }

    #[test]
    fn metrics_have_their_own_room_and_go_first() {
        let queue = Queue::new(1, 5);
        assert!(queue.push("abc") && !queue.push("d"));
        assert_eq!((0..METRICS.items + 3).filter(|_| queue.push("m")).count(), METRICS.items);
        assert_eq!(queue.take_left(), Some("m"));
        assert_eq!(std::iter::from_fn(|| queue.take_left()).last(), Some("abc"));
        assert!(queue.is_empty());
        queue.push("m");
        assert!(!queue.is_empty() && queue.wait_for_item());
    }

    #[test]
    fn is_bounded_by_items_and_bytes() {
        let queue = Queue::new(2, 5);
        assert!(queue.push("abc"));
        assert!(!queue.push("def"), "six bytes");
        assert!(queue.push("d"));
        assert!(!queue.push("e"), "three items");
        assert_eq!(queue.take_left(), Some("abc"));
        assert!(queue.push("efgh"));
    }

    #[test]
    fn gives_back_in_order_and_in_time() {
        let queue = Queue::new(9, 99);
        queue.push("a");
        queue.push("b");
        assert_eq!(queue.take(None), Taken::Item("a"));
        assert_eq!(queue.take(None), Taken::Item("b"));
        assert_eq!(queue.take(Some(Instant::now())), Taken::Nothing);
        assert!(queue.pause(Instant::now()));
    }

    #[test]
    fn wakes_a_waiting_thread() {
        let queue = Arc::new(Queue::new(9, 99));
        let waiting = Arc::clone(&queue);
        let thread = thread::spawn(move || (waiting.wait_for_item(), waiting.take(None)));
        queue.push("a");
        assert_eq!(thread.join().unwrap(), (true, Taken::Item("a")));
        let waiting = Arc::clone(&queue);
        let thread = thread::spawn(move || waiting.pause(Instant::now() + Duration::from_secs(3600)));
        queue.close(Instant::now());
        assert!(!thread.join().unwrap());
    }

    #[test]
    fn closes_with_items_left() {
        let queue = Queue::new(9, 99);
        queue.push("a");
        queue.close(Instant::now());
        assert!(!queue.push("b"));
        assert!(!queue.wait_for_item());
        assert_eq!(queue.take(None), Taken::Closed);
        assert_eq!((queue.take_left(), queue.take_left()), (Some("a"), None));
    }
}
