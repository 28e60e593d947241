//! Which request on the wire a run time means when it says that a request has ended.
//!
//! It names the peer's port, and usually a name and a number: the server's own name of the connection and the request's
//! place on it. The port leads to the connection once; from then on name and number decide alone, whatever overlaps in
//! time. Without a number, the request that had begun last is certain if those before it had been answered by then.

use std::collections::{HashMap, VecDeque};

use crate::{bridge::RequestEnded, correlate::RequestKey, exchange::Nanos};

/// Most requests of one connection that wait to be told of.
const MOST_OPEN: usize = 1024;

/// So many messages must agree on what the numbers of a connection that was met late count from. What was under way then
/// is not known, and may be taken for a request that the client sent before it had the answer.
const AGREEING: u32 = 4;

/// The connections a process serves, and the requests on them it has not told of yet.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    served: HashMap<u64, Served>,
    ports: HashMap<u16, Vec<u64>>,
    names: HashMap<String, u64>,
}

#[derive(Debug)]
struct Served {
    port: u16,
    open: VecDeque<Open>,
    /// The server's number of our request 0, once it is known.
    base: Option<u64>,
    /// What it may be, by the messages so far.
    guess: Option<Guess>,
    name: Option<String>,
    closed: Option<Nanos>,
}

/// A request that has not been told of.
#[derive(Clone, Copy, Debug)]
struct Open {
    serial: u64,
    /// The server's number of it, once it is known.
    number: Option<u64>,
    opened: Nanos,
    /// When the wire saw its answer end.
    answered: Option<Nanos>,
}

impl Open {
    /// It had been read by `time`, and was answered later.
    fn is_around(&self, time: Nanos) -> bool {
        self.opened <= time && self.answered.is_none_or(|answered| answered > time)
    }
}

/// What the numbers of a connection may count from.
#[derive(Debug)]
struct Guess {
    name: String,
    bases: Vec<u64>,
    /// Messages that agree.
    messages: u32,
}

/// A connection on which a request begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    /// Port of the peer.
    pub(super) port: u16,
    /// It was seen from its first byte: request numbers agree.
    pub(super) whole: bool,
}

impl Numbering {
    /// A request began.
    pub(super) fn opened(&mut self, connection: Connection, serial: u64, time: Nanos) {
        let served = self.served.entry(connection.id).or_insert_with(|| {
            self.ports.entry(connection.port).or_default().push(connection.id);
            Served {
                port: connection.port,
                open: VecDeque::new(),
                base: connection.whole.then_some(0),
                guess: None,
                name: None,
                closed: None,
            }
        });
        if served.open.len() == MOST_OPEN {
            served.open.pop_front();
        }
        let number = served.base.map(|base| base.wrapping_add(serial));
        served.open.push_back(Open { serial, number, opened: time, answered: None });
    }

    /// The wire saw a request's answer end.
    pub(super) fn answered(&mut self, key: RequestKey, time: Nanos) {
        let open = self.served.get_mut(&key.connection).map(|served| &mut served.open);
        if let Some(open) = open.into_iter().flatten().find(|open| open.serial == key.serial) {
            open.answered = Some(time);
        }
    }

    /// The run time told of a request: which one it is, if that is certain. Learns the connection's name by it.
    pub(super) fn ended(&mut self, time: Nanos, ended: &RequestEnded) -> Option<RequestKey> {
        self.guess(ended);
        self.again(time, ended)
    }

    /// As [`Numbering::ended`], for a message that was not clear before: it has had its say about what numbers count
    /// from, and has it once.
    pub(super) fn again(&mut self, time: Nanos, ended: &RequestEnded) -> Option<RequestKey> {
        let (connection, serial) = self.locate(time, ended)?;
        let served = self.served.get_mut(&connection)?;
        served.open.retain(|open| open.serial != serial);
        if let (Some((name, _)), None) = (&ended.ordinal, &served.name) {
            served.name = Some(name.clone());
            self.names.insert(name.clone(), connection);
        }
        Some(RequestKey { connection, serial })
    }

    /// A connection to a peer with this port is known: a request on it may be meant.
    pub(super) fn knows_port(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }

    /// Nobody waits for this request any more.
    pub(super) fn given_up(&mut self, key: RequestKey) {
        if let Some(served) = self.served.get_mut(&key.connection) {
            served.open.retain(|open| open.serial != key.serial);
        }
    }

    /// Bytes of the connection were lost: what was learnt of its numbers holds for requests that began before, and no
    /// more for those to come.
    pub(super) fn doubt(&mut self, connection: u64) {
        if let Some(served) = self.served.get_mut(&connection) {
            (served.base, served.guess) = (None, None);
            served.open.retain(|open| open.number.is_some());
        }
    }

    /// The connection is closed; it is remembered until what was said of it has arrived.
    pub(super) fn closed(&mut self, connection: u64, time: Nanos) {
        if let Some(served) = self.served.get_mut(&connection) {
            served.closed = Some(time);
        }
    }

    /// Forgets connections closed before `time`.
    pub(super) fn forget_closed(&mut self, time: Nanos) {
        let (names, ports) = (&mut self.names, &mut self.ports);
        self.served.retain(|id, served| {
            let stays = served.closed.is_none_or(|closed| closed >= time);
            if !stays {
                if let Some(name) = &served.name {
                    names.remove(name);
                }
                if let Some(ids) = ports.get_mut(&served.port) {
                    ids.retain(|other| other != id);
                    if ids.is_empty() {
                        ports.remove(&served.port);
                    }
                }
            }
            stays
        });
    }

    /// Narrows down what the numbers of a connection count from, when it was met late or bytes of it were lost.
    fn guess(&mut self, ended: &RequestEnded) {
        let (Some((name, ordinal)), Some(began)) = (&ended.ordinal, ended.began) else { return };
        let connection = match (self.names.get(name), self.ports.get(&ended.remote_port).map(Vec::as_slice)) {
            (Some(connection), _) => connection,
            (None, Some([connection])) => connection,
            // With several peers of one port nothing is learnt.
            _ => return,
        };
        if let Some(served) = self.served.get_mut(connection).filter(|served| served.base.is_none()) {
            served.narrow(name, *ordinal, began);
        }
    }

    fn locate(&self, time: Nanos, ended: &RequestEnded) -> Option<(u64, u64)> {
        if let Some((name, ordinal)) = &ended.ordinal
            && let Some(&connection) = self.names.get(name)
        {
            // The program may have taken over another service's name for it.
            let served = self.served.get(&connection).filter(|served| served.port == ended.remote_port)?;
            return Some((connection, served.numbered(*ordinal, time)?));
        }
        let ids = self.ports.get(&ended.remote_port)?;
        let mut fitting = ids.iter().filter_map(|id| Some((*id, self.served.get(id)?.fits(ended, time)?)));
        let only = fitting.next()?;
        fitting.next().is_none().then_some(only)
    }
}

impl Served {
    /// The request with this number.
    fn numbered(&self, number: u64, time: Nanos) -> Option<u64> {
        let meant = self.open.iter().find(|open| open.number == Some(number) && open.opened <= time);
        meant.map(|open| open.serial)
    }

    /// A message of the request with this number came, with which the program began at `began`.
    ///
    /// Meant is one that had been read by then and was answered later. Requests one after the other leave one choice:
    /// its end may be told when the next has been read already, but not its beginning.
    fn narrow(&mut self, name: &str, ordinal: u64, began: Nanos) {
        let around = self.open.iter().filter(|open| open.number.is_none() && open.is_around(began));
        let possible: Vec<u64> = around.filter_map(|open| ordinal.checked_sub(open.serial)).collect();
        let before = self.guess.take().filter(|guess| guess.name == name);
        let agreeing = before.and_then(|guess| {
            let both: Vec<u64> = guess.bases.into_iter().filter(|base| possible.contains(base)).collect();
            (!both.is_empty()).then_some((both, guess.messages + 1))
        });
        let (bases, messages) = agreeing.unwrap_or((possible, 1));
        match bases.as_slice() {
            [] => {}
            [base] if messages >= AGREEING => self.learn(*base),
            _ => self.guess = Some(Guess { name: name.to_owned(), bases, messages }),
        }
    }

    fn learn(&mut self, base: u64) {
        self.base = Some(base);
        for open in self.open.iter_mut().filter(|open| open.number.is_none()) {
            open.number = Some(base.wrapping_add(open.serial));
        }
    }

    /// The request that is meant, if it can only be one.
    fn fits(&self, ended: &RequestEnded, time: Nanos) -> Option<u64> {
        match (&ended.ordinal, ended.began) {
            // It has another name.
            (Some(_), _) if self.name.is_some() => None,
            (Some((_, ordinal)), _) => self.numbered(*ordinal, time),
            // The next may have been read by the time its end is told, but not when the program began with it.
            (None, Some(began)) => {
                let mut around = self.open.iter().filter(|open| open.is_around(began));
                let only = around.next()?;
                around.next().is_none().then_some(only.serial)
            }
            (None, None) => {
                // The last that had begun, if those before it were over by then: one request after the other.
                let mut begun = self.open.iter().rev().filter(|open| open.opened <= time);
                let last = begun.next()?;
                let over = |open: &Open| open.answered.is_some_and(|answered| answered <= last.opened);
                begun.all(over).then_some(last.serial)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: u64, port: u16, whole: bool) -> Connection {
        Connection { id, port, whole }
    }

    fn ended(port: u16, ordinal: Option<(&str, u64)>) -> RequestEnded {
        RequestEnded {
            context: None,
            remote_port: port,
            began: None,
            ordinal: ordinal.map(|(name, number)| (name.to_owned(), number)),
            route: None,
            exception: None,
            facts: None,
        }
    }

    fn key(connection: u64, serial: u64) -> Option<RequestKey> {
        Some(RequestKey { connection, serial })
    }

    #[test]
    fn numbers_decide_whatever_overlaps() {
        let mut numbering = Numbering::default();
        numbering.opened(connection(1, 40_000, true), 0, 10);
        // The next request was read before the end of the first was told.
        numbering.opened(connection(1, 40_000, true), 1, 20);
        assert_eq!(numbering.ended(25, &ended(40_000, Some(("A", 0)))), key(1, 0));
        assert_eq!(numbering.ended(30, &ended(40_000, Some(("A", 1)))), key(1, 1));
        assert_eq!(numbering.ended(31, &ended(40_000, Some(("A", 1)))), None, "told twice");
    }

    /// The end of a request with which the program began at `began`.
    fn begun(began: Nanos, number: u64) -> RequestEnded {
        RequestEnded { began: Some(began), ..ended(40_000, Some(("A", number))) }
    }

    /// A request, its message, and then the rest of its answer.
    fn pass(numbering: &mut Numbering, serial: u64, time: Nanos, number: u64) -> Option<RequestKey> {
        numbering.opened(connection(1, 40_000, false), serial, time);
        let meant = numbering.ended(time + 5, &begun(time + 1, number));
        numbering.answered(RequestKey { connection: 1, serial }, time + 7);
        meant
    }

    #[test]
    fn a_connection_met_late_is_learnt_when_several_messages_agree() {
        let mut numbering = Numbering::default();
        for serial in 0..3 {
            assert_eq!(pass(&mut numbering, serial, 10 * serial, 57 + serial), None, "too few agree");
        }
        assert_eq!(pass(&mut numbering, 3, 30, 60), key(1, 3));
        assert_eq!(numbering.again(5, &begun(1, 57)), key(1, 0), "it is known now");
    }

    #[test]
    fn nothing_is_learnt_where_the_beginning_is_not_told() {
        let mut numbering = Numbering::default();
        for serial in 0..2 * u64::from(AGREEING) {
            numbering.opened(connection(1, 40_000, false), serial, 10 * serial);
            assert_eq!(numbering.ended(10 * serial + 5, &ended(40_000, Some(("A", 57 + serial)))), None);
        }
    }

    #[test]
    fn the_next_request_is_not_taken_for_one_that_passed_unseen() {
        let mut numbering = Numbering::default();
        // Each time the next has been read when the end is told of the one before, the first of which nobody saw.
        for serial in 0..2 * u64::from(AGREEING) {
            let read = 10 + 10 * serial;
            numbering.opened(connection(1, 40_000, false), serial, read);
            let told = numbering.ended(read + 3, &begun(read - 8, 57 + serial));
            assert!(told.is_none_or(|told| told.serial + 1 == serial), "{told:?}");
            numbering.answered(RequestKey { connection: 1, serial }, read + 9);
        }
        assert_eq!(numbering.served[&1].base, Some(58));
    }

    #[test]
    fn what_was_never_told_of_does_not_stand_in_the_way() {
        let mut numbering = Numbering::default();
        numbering.opened(connection(1, 40_000, false), 0, 1);
        numbering.answered(RequestKey { connection: 1, serial: 0 }, 9);
        for serial in 1..4 {
            assert_eq!(pass(&mut numbering, serial, 10 * serial, 57 + serial), None);
        }
        assert_eq!(pass(&mut numbering, 4, 40, 61), key(1, 4));
    }

    #[test]
    fn a_message_looked_at_again_agrees_with_nobody() {
        let mut numbering = Numbering::default();
        numbering.opened(connection(1, 40_000, false), 0, 10);
        assert_eq!(numbering.ended(15, &begun(11, 57)), None);
        for _ in 0..2 * AGREEING {
            assert_eq!(numbering.again(15, &begun(11, 57)), None);
        }
    }

    #[test]
    fn a_pipelining_connection_met_late_is_learnt_by_what_remains() {
        let mut numbering = Numbering::default();
        for serial in 0..5 {
            numbering.opened(connection(1, 40_000, false), serial, 10);
        }
        for number in 0..4 {
            assert_eq!(numbering.ended(20 + number, &begun(15 + number, 57 + number)), None);
        }
        assert_eq!(numbering.ended(25, &begun(20, 61)), key(1, 4));
    }

    #[test]
    fn two_peers_with_one_port_are_told_apart_or_left() {
        let mut numbering = Numbering::default();
        numbering.opened(connection(1, 40_000, true), 0, 10);
        numbering.opened(connection(2, 40_000, true), 0, 11);
        assert_eq!(numbering.ended(20, &ended(40_000, Some(("A", 0)))), None);
        numbering.given_up(RequestKey { connection: 1, serial: 0 });
        assert_eq!(numbering.ended(21, &ended(40_000, Some(("B", 0)))), key(2, 0));
        numbering.opened(connection(1, 40_000, true), 1, 30);
        numbering.opened(connection(2, 40_000, true), 1, 31);
        assert_eq!(numbering.ended(40, &ended(40_000, Some(("B", 1)))), key(2, 1));
        assert_eq!(numbering.ended(41, &ended(40_000, Some(("A", 1)))), key(1, 1));
    }

    #[test]
    fn without_a_number_one_request_after_the_other_is_certain() {
        let mut numbering = Numbering::default();
        numbering.opened(connection(1, 40_000, true), 0, 10);
        assert_eq!(numbering.ended(5, &ended(40_000, None)), None, "it had not begun");
        assert_eq!(numbering.ended(12, &ended(40_001, None)), None, "another port");
        assert_eq!(numbering.ended(12, &ended(40_000, None)), key(1, 0));
        numbering.opened(connection(1, 40_000, true), 1, 20);
        numbering.opened(connection(1, 40_000, true), 2, 21);
        assert_eq!(numbering.ended(30, &ended(40_000, None)), None, "both are under way");
        numbering.answered(RequestKey { connection: 1, serial: 1 }, 21);
        assert_eq!(numbering.ended(30, &ended(40_000, None)), key(1, 2), "nobody told of the one before");
    }

    #[test]
    fn without_a_number_the_beginning_tells_which_of_two_is_meant() {
        let mut numbering = Numbering::default();
        let nameless = |began| RequestEnded { began: Some(began), ..ended(40_000, None) };
        numbering.opened(connection(1, 40_000, true), 0, 10);
        numbering.answered(RequestKey { connection: 1, serial: 0 }, 18);
        numbering.opened(connection(1, 40_000, true), 1, 20);
        assert_eq!(numbering.ended(25, &nameless(11)), key(1, 0), "the next has been read");
        assert_eq!(numbering.ended(26, &nameless(19)), None, "one that the wire did not show");
        numbering.opened(connection(1, 40_000, true), 2, 21);
        assert_eq!(numbering.ended(27, &nameless(22)), None, "both are under way");
    }

    #[test]
    fn a_name_taken_over_from_another_connection_leads_nowhere() {
        let mut numbering = Numbering::default();
        numbering.opened(connection(1, 40_000, true), 0, 10);
        assert_eq!(numbering.ended(11, &ended(40_000, Some(("A", 0)))), key(1, 0));
        numbering.opened(connection(1, 40_000, true), 1, 20);
        numbering.opened(connection(2, 40_001, true), 0, 20);
        assert_eq!(numbering.ended(22, &ended(40_001, Some(("A", 1)))), None);
    }

    #[test]
    fn a_doubted_connection_is_learnt_anew() {
        let mut numbering = Numbering::default();
        numbering.opened(connection(1, 40_000, true), 0, 10);
        assert_eq!(numbering.ended(11, &ended(40_000, Some(("A", 0)))), key(1, 0));
        numbering.opened(connection(1, 40_000, true), 1, 12);
        numbering.doubt(1);
        assert_eq!(numbering.ended(14, &ended(40_000, Some(("A", 1)))), key(1, 1), "it began before");
        // One request was lost on the wire.
        for serial in 2..5 {
            assert_eq!(pass(&mut numbering, serial, 10 * serial, serial + 1), None);
        }
        assert_eq!(pass(&mut numbering, 5, 60, 6), key(1, 5));
        numbering.closed(1, 70);
        numbering.forget_closed(70);
        assert_eq!(numbering.served.len(), 1);
        numbering.forget_closed(71);
        assert!(numbering.served.is_empty() && numbering.ports.is_empty() && numbering.names.is_empty());
    }
}
