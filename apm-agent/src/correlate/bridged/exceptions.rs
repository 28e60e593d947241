//! Exceptions that wait for the request, or the call, they hit: its end is told later, and its name with it.

use std::collections::{HashMap, VecDeque};

use crate::{build::ErrorEvent, correlate::SpanId, exchange::Nanos};

/// Most that wait, for one process.
const MOST: usize = 4096;

/// The exceptions of one process.
#[derive(Debug, Default)]
pub(in crate::correlate) struct Exceptions {
    waiting: HashMap<SpanId, Vec<ErrorEvent>>,
    order: VecDeque<(Nanos, SpanId)>,
}

impl Exceptions {
    /// One was thrown in `span`. Gives back the oldest when too many wait.
    pub fn put(&mut self, span: SpanId, event: ErrorEvent, time: Nanos) -> Vec<ErrorEvent> {
        self.waiting.entry(span).or_default().push(event);
        self.order.push_back((time, span));
        let too_many = self.order.len() > MOST;
        let oldest = self.order.pop_front_if(|_| too_many);
        oldest.map(|(_, span)| self.take(span)).unwrap_or_default()
    }

    /// Those thrown in `span`, which ended.
    pub fn take(&mut self, span: SpanId) -> Vec<ErrorEvent> {
        self.waiting.remove(&span).unwrap_or_default()
    }

    /// Those thrown before `time`.
    pub fn overdue(&mut self, time: Nanos) -> Vec<ErrorEvent> {
        let mut overdue = Vec::new();
        while let Some((_, span)) = self.order.pop_front_if(|(thrown, _)| *thrown < time) {
            overdue.extend(self.take(span));
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::sample, correlate::TraceId};

    fn event(id: u128) -> ErrorEvent {
        ErrorEvent { id: TraceId(id), ..sample::error() }
    }

    #[test]
    fn waits_for_its_span_or_for_long_enough() {
        let mut exceptions = Exceptions::default();
        assert!(exceptions.put(SpanId(1), event(1), 10).is_empty());
        assert!(exceptions.put(SpanId(2), event(2), 20).is_empty());
        assert!(exceptions.put(SpanId(1), event(3), 30).is_empty());
        let ids = |events: Vec<ErrorEvent>| events.iter().map(|event| event.id.0).collect::<Vec<_>>();
        assert_eq!(ids(exceptions.take(SpanId(1))), [1, 3]);
        assert_eq!(ids(exceptions.overdue(20)), [0; 0]);
        assert_eq!(ids(exceptions.overdue(31)), [2]);
        assert!(exceptions.waiting.is_empty() && exceptions.order.is_empty());
    }

    #[test]
    fn the_oldest_goes_when_too_many_wait() {
        let mut exceptions = Exceptions::default();
        for number in 1..=MOST as u64 {
            assert!(exceptions.put(SpanId(number), event(number.into()), number).is_empty());
        }
        let oldest = exceptions.put(SpanId(9999), event(9999), 9999);
        assert_eq!(oldest.first().map(|event| event.id.0), Some(1));
        assert_eq!(exceptions.waiting.len(), MOST);
    }
}
