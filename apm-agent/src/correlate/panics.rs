//! Goroutines that panic: what it was is told at once, who recovered it later, or nobody does.

use std::collections::HashMap;

use crate::{bridge::Panicked, exchange::Nanos};

/// Most panics under way at once; beyond, none is reported, and it is counted.
const MOST: usize = 1024;

/// A panic, and when it was.
pub type Panic = (Nanos, Panicked);

/// Panics under way, by process and goroutine, the oldest first: a deferred function may panic anew.
#[derive(Debug, Default)]
pub struct Panics {
    open: HashMap<(u32, u64), Vec<Panic>>,
    count: usize,
}

impl Panics {
    /// A goroutine panics; false: there are too many.
    pub fn began(&mut self, pid: u32, panic: Panic) -> bool {
        if self.count >= MOST {
            return false;
        }
        self.count += 1;
        self.open.entry((pid, panic.1.goroutine)).or_default().push(panic);
        true
    }

    /// A goroutine's last panic was recovered.
    pub fn recovered(&mut self, pid: u32, goroutine: u64) -> Option<Panic> {
        let open = self.open.get_mut(&(pid, goroutine))?;
        let last = open.pop()?;
        self.count -= 1;
        if open.is_empty() {
            self.open.remove(&(pid, goroutine));
        }
        Some(last)
    }

    /// A request ended: the panics it met that are still under way.
    pub fn of_request(&mut self, pid: u32, name: u64) -> Vec<Panic> {
        let is_of_it = |open: &[Panic]| name != 0 && open.iter().any(|(_, panic)| panic.request == name);
        self.take(|other, open| other == pid && is_of_it(open))
    }

    /// A process ended: what nobody recovered, by time.
    pub fn ended(&mut self, pid: u32) -> Vec<Panic> {
        self.take(|other, _| other == pid)
    }

    fn take(&mut self, wanted: impl Fn(u32, &[Panic]) -> bool) -> Vec<Panic> {
        let taken = self.open.extract_if(|(pid, _), open| wanted(*pid, open));
        let mut left: Vec<Panic> = taken.flat_map(|(_, open)| open).collect();
        self.count -= left.len();
        left.sort_by_key(|(time, _)| *time);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::Thrown;

    fn panic(time: Nanos, goroutine: u64) -> Panic {
        (time, Panicked { goroutine, request: 0, thrown: Thrown::default() })
    }

    #[test]
    fn the_last_panic_of_a_goroutine_is_recovered_first() {
        let mut panics = Panics::default();
        for one in [panic(1, 5), panic(2, 5), panic(3, 6)] {
            assert!(panics.began(7, one));
        }
        assert_eq!(panics.recovered(8, 5), None);
        assert_eq!(panics.recovered(7, 5).map(|(time, _)| time), Some(2));
        assert_eq!(panics.recovered(7, 5).map(|(time, _)| time), Some(1));
        assert_eq!(panics.recovered(7, 5), None);
        assert_eq!(panics.of_request(7, 0), [], "of none");
        assert!(panics.began(7, (4, Panicked { request: 9, ..panic(4, 8).1 })));
        assert_eq!((panics.of_request(8, 9).len(), panics.of_request(7, 9).len()), (0, 1));
        assert_eq!(panics.ended(8), []);
        assert_eq!(panics.ended(7).len(), 1);
        assert_eq!((panics.count, panics.open.len()), (0, 0));
    }

    #[test]
    fn too_many_are_refused() {
        let mut panics = Panics::default();
        let kept = (0..2 * MOST as u64).filter(|number| panics.began(7, panic(*number, *number))).count();
        assert_eq!(kept, MOST);
    }
}
