//! What was logged in spans whose transaction is not known yet.

use super::tree::Tree;
use crate::{build::ErrorEvent, correlate::SpanId, exchange::Nanos};

/// Most errors that wait, for one process.
const MOST: usize = 1024;

/// How long a transaction is waited for.
const PATIENCE: Nanos = 60_000_000_000;

/// Errors of one process, in the order in which they were logged.
#[derive(Debug, Default)]
pub struct Logs {
    waiting: Vec<(Nanos, SpanId, ErrorEvent)>,
}

impl Logs {
    /// Keeps an error logged in `span`, and gives back the oldest when too many wait.
    pub fn keep(&mut self, time: Nanos, span: SpanId, error: ErrorEvent) -> Option<ErrorEvent> {
        self.waiting.push((time, span, error));
        (self.waiting.len() > MOST).then(|| self.waiting.remove(0).2)
    }

    /// What was logged in a transaction and in the spans that are known to be below it.
    pub fn take(&mut self, root: SpanId, tree: &Tree) -> Vec<(SpanId, ErrorEvent)> {
        let below = self.waiting.extract_if(.., |(_, span, _)| tree.outermost(*span) == root);
        below.map(|(_, span, error)| (span, error)).collect()
    }

    /// What has waited too long.
    pub fn give_up(&mut self, now: Nanos) -> Vec<ErrorEvent> {
        let before = now.saturating_sub(PATIENCE);
        self.waiting.extract_if(.., |(time, ..)| *time < before).map(|(.., error)| error).collect()
    }

    /// Errors that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::sample;

    #[test]
    fn errors_go_with_the_outermost_span_known() {
        let (mut logs, mut tree) = (Logs::default(), Tree::default());
        for (time, span) in [(1, 10), (2, 11), (3, 12)] {
            assert_eq!(logs.keep(time, SpanId(span), sample::error()), None);
        }
        // 11 is below 10; of 12 nothing is known.
        tree.below(SpanId(11), SpanId(10), 4);
        let spans = |taken: Vec<(SpanId, _)>| taken.into_iter().map(|(span, _)| span.0).collect::<Vec<_>>();
        assert_eq!(spans(logs.take(SpanId(10), &tree)), [10, 11]);
        assert_eq!((logs.take(SpanId(10), &tree).len(), logs.len()), (0, 1));
        assert_eq!(logs.give_up(PATIENCE).len(), 0);
        assert_eq!((logs.give_up(PATIENCE + 4).len(), logs.len()), (1, 0));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut logs = Logs::default();
        let given_back = (0..2 * MOST as u64).filter_map(|at| logs.keep(at, SpanId(at + 1), sample::error())).count();
        assert_eq!((given_back, logs.len()), (MOST, MOST));
    }
}
