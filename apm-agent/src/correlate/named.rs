//! Requests that their run time names: it says on which connection it handles which, and for which it makes a call.
//!
//! A name means a request from the beginning of its handling until its answer is complete on the wire.

use std::collections::{HashMap, VecDeque};

use super::{
    parent::{CallSite, Evidence, ParentSource, Rank},
    request::{RequestKey, Requests},
};

/// A request's name in its process.
pub type Name = (u32, u64);

/// Names of open requests.
#[derive(Debug, Default)]
pub struct Names {
    keys: HashMap<Name, RequestKey>,
    /// The open requests of each connection whose process names its requests, oldest first: serial and name, if it has
    /// one yet.
    waiting: HashMap<u64, VecDeque<(u64, Option<Name>)>>,
}

impl Names {
    /// A request that will get a name.
    pub fn opened(&mut self, key: RequestKey) {
        self.waiting.entry(key.connection).or_default().push_back((key.serial, None));
    }

    /// A request has ended.
    pub fn ended(&mut self, key: RequestKey) {
        let Some(line) = self.waiting.get_mut(&key.connection) else { return };
        let Some(place) = line.iter().position(|(serial, _)| *serial == key.serial) else { return };
        if let Some((_, Some(name))) = line.remove(place) {
            self.keys.remove(&name);
        }
        if line.is_empty() {
            self.waiting.remove(&key.connection);
        }
    }

    /// The run time handles the next request of a connection. Requests of a connection are handled in the order in which
    /// they came. `None`: no request of it is open that has no name yet.
    pub fn handled(&mut self, name: Name, connection: u64) -> Option<RequestKey> {
        let (serial, place) = self.waiting.get_mut(&connection)?.iter_mut().find(|(_, name)| name.is_none())?;
        let key = RequestKey { connection, serial: *serial };
        *place = Some(name);
        self.keys.insert(name, key);
        Some(key)
    }

    /// The request of this name.
    pub fn get(&self, name: Name) -> Option<RequestKey> {
        self.keys.get(&name).copied()
    }
}

/// The run time said for which request the call's bytes went out.
pub struct ByName;

impl ParentSource for ByName {
    fn rank(&self) -> Rank {
        Rank::Explicit
    }

    fn parent(&self, call: &CallSite, requests: &Requests) -> Evidence {
        match requests.names.get((call.pid, call.owner)) {
            Some(key) => Evidence::Certain(key),
            None => Evidence::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(connection: u64, serial: u64) -> RequestKey {
        RequestKey { connection, serial }
    }

    #[test]
    fn names_go_to_requests_in_their_order() {
        let mut names = Names::default();
        names.opened(key(1, 0));
        names.opened(key(1, 1));
        assert_eq!(names.handled((7, 100), 2), None, "another connection");
        assert_eq!(names.handled((7, 100), 1), Some(key(1, 0)));
        assert_eq!(names.handled((7, 101), 1), Some(key(1, 1)));
        assert_eq!(names.handled((7, 102), 1), None, "no request is left");
        assert_eq!(names.get((7, 100)), Some(key(1, 0)));
        assert_eq!(names.get((8, 100)), None, "another process");
        names.ended(key(1, 0));
        assert_eq!((names.get((7, 100)), names.get((7, 101))), (None, Some(key(1, 1))));
        names.ended(key(1, 1));
        names.ended(key(1, 1));
        assert!(names.keys.is_empty() && names.waiting.is_empty());
    }

    #[test]
    fn a_request_that_ends_without_a_name_leaves_the_next_one_its_place() {
        let mut names = Names::default();
        names.opened(key(1, 0));
        names.ended(key(1, 0));
        names.opened(key(1, 1));
        assert_eq!(names.handled((7, 100), 1), Some(key(1, 1)));
    }
}
