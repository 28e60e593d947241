//! A connection: its ends, its role, and the conversation on it.

use std::sync::Arc;

use apm_common::event::{ROLE_CLIENT, ROLE_SERVER, SEALED};

use super::{
    EVIDENCE_BYTES,
    direction::{Arrival, Direction},
};
use crate::{
    build::destination::{Addresses, Endpoint},
    correlate::Carried,
    event,
    exchange::{Nanos, Side, Signal, Stamp},
    metadata::ServiceInstance,
    protocol::{Conversation, Join, PROTOCOLS, Protocol, Verdict},
};

/// Name of the protocol of which calls can carry a place in a trace.
const HTTP: &str = "http1";

/// Which end the watched process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It connected.
    Client,
    /// It accepted.
    Server,
}

impl Role {
    /// The side the watched process speaks for.
    pub fn side(self) -> Side {
        match self {
            Role::Client => Side::Client,
            Role::Server => Side::Server,
        }
    }
}

/// What became of bytes handed to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// They were followed, or are kept as evidence.
    Followed,
    /// Nothing we know is spoken here: the kernel need send no more.
    GivenUp,
    /// They lie before what has passed.
    Old,
}

/// Bytes kept while the protocol is not known.
struct Kept {
    outgoing: bool,
    bytes: Vec<u8>,
    at: Stamp,
}

enum State {
    /// Collecting evidence.
    Unknown(Vec<Kept>),
    /// Following a conversation.
    Speaking(Box<dyn Conversation>),
    /// Nothing we know.
    GivenUp,
}

/// One connection of a watched process.
pub struct Connection {
    /// Service it belongs to.
    pub instance: Arc<ServiceInstance>,
    /// Processes seen to use it.
    pub holders: Vec<u32>,
    /// Both ends.
    pub addresses: Addresses,
    /// Which end we are, once that is known.
    pub role: Option<Role>,
    /// Thread that opened it.
    pub opener: u32,
    /// The place in the trace that was written into a call on it, and when that was sent: of the last one.
    pub carried: Option<(Nanos, Carried)>,
    join: Join,
    /// Every request was seen.
    whole: bool,
    /// It has been found to speak something else than HTTP, and nobody was told.
    is_other_than_http: bool,
    outgoing: Direction,
    incoming: Direction,
    state: State,
}

impl Connection {
    /// A connection just announced by the kernel. `adopted`: bytes have passed before.
    pub fn new(open: &event::Connection, adopted: bool, pid: u32, tid: u32, instance: Arc<ServiceInstance>) -> Self {
        Self {
            instance,
            holders: vec![pid],
            addresses: Addresses {
                local: open.local.clone(),
                remote: open.remote.clone(),
                encrypted: open.id & SEALED != 0,
            },
            role: match open.role {
                ROLE_CLIENT => Some(Role::Client),
                ROLE_SERVER => Some(Role::Server),
                _ => None,
            },
            opener: tid,
            carried: None,
            join: if adopted { Join::Late } else { Join::Start },
            whole: !adopted,
            is_other_than_http: false,
            outgoing: Direction::default(),
            incoming: Direction::default(),
            state: State::Unknown(Vec::new()),
        }
    }

    /// A connection whose announcement was lost: it has got to `position` in the direction of its first known bytes.
    pub fn unannounced(id: u64, outgoing: bool, position: u64, pid: u32, instance: Arc<ServiceInstance>) -> Self {
        let open = event::Connection {
            id,
            started: None,
            role: 0,
            local: Endpoint::Unknown,
            remote: Endpoint::Unknown,
            error: 0,
        };
        let mut connection = Self::new(&open, true, pid, 0, instance);
        let direction = if outgoing { &mut connection.outgoing } else { &mut connection.incoming };
        *direction = Direction::joined_at(position);
        connection
    }

    /// Remembers that `pid` uses the connection.
    pub fn held_by(&mut self, pid: u32) {
        if !self.holders.contains(&pid) {
            self.holders.push(pid);
        }
    }

    /// Bytes passed.
    pub fn feed(&mut self, outgoing: bool, position: u64, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) -> Told {
        let direction = if outgoing { &mut self.outgoing } else { &mut self.incoming };
        let (gap, bytes) = match direction.arrive(position, bytes) {
            Arrival::Old => return Told::Old,
            Arrival::Next(bytes) => (0, bytes),
            Arrival::AfterGap(gap, bytes) => (gap, bytes),
        };
        let side = self.side(outgoing);
        match (&mut self.state, side) {
            (State::GivenUp, _) => Told::GivenUp,
            (State::Speaking(conversation), Some(side)) => {
                if gap > 0 {
                    conversation.gap(side, gap, at, signals);
                }
                if !bytes.is_empty() {
                    conversation.feed(side, bytes, at, signals);
                }
                Told::Followed
            }
            (State::Unknown(kept), _) => {
                if gap > 0 {
                    // Evidence with a hole is none: what comes after it is met as a conversation joined late.
                    kept.clear();
                    (self.join, self.whole) = (Join::Late, false);
                }
                if bytes.is_empty() { Told::Followed } else { self.weigh(outgoing, bytes, at, signals) }
            }
            (State::Speaking(_), None) => Told::Followed,
        }
    }

    /// Is it a call's connection, and has just been found to speak anything else than HTTP? Once.
    pub fn is_found_other_than_http(&mut self) -> bool {
        std::mem::take(&mut self.is_other_than_http)
    }

    /// Was every request seen, so that their serials are their places on the connection?
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Requests passed unseen.
    pub fn miss_requests(&mut self) {
        self.whole = false;
    }

    /// Has anything passed on it?
    pub fn has_spoken(&self) -> bool {
        self.outgoing != Direction::default() || self.incoming != Direction::default()
    }

    /// One side will send no more; `None`: the connection failed.
    pub fn close(&mut self, by: Option<Side>, at: Stamp, signals: &mut Vec<Signal>) {
        if let State::Speaking(conversation) = &mut self.state {
            conversation.close(by, at, signals);
        }
    }

    /// Watching ends while the connection goes on.
    pub fn finish(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        if let State::Speaking(conversation) = &mut self.state {
            conversation.finish(at, signals);
        }
    }

    /// The conversation turned into something nobody follows.
    pub fn give_up(&mut self) {
        self.state = State::GivenUp;
    }

    /// Who sent bytes of a direction, once the role is known.
    pub fn side(&self, outgoing: bool) -> Option<Side> {
        let own = self.role?.side();
        Some(if outgoing { own } else { own.peer() })
    }

    /// Adds to the evidence and asks every protocol; starts the conversation with all that was kept.
    fn weigh(&mut self, outgoing: bool, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) -> Told {
        let State::Unknown(kept) = &mut self.state else {
            return Told::Followed;
        };
        kept.push(Kept { outgoing, bytes: bytes.to_vec(), at });
        let (sent, received) = (joined(kept, true), joined(kept, false));
        let (protocol, role) = match judge(self.role, &sent, &received, self.join) {
            Judgement::Is(protocol, role) => (protocol, role),
            Judgement::Open if sent.len() + received.len() < EVIDENCE_BYTES => return Told::Followed,
            Judgement::Open | Judgement::None => {
                self.state = State::GivenUp;
                return Told::GivenUp;
            }
        };
        self.role = Some(role);
        self.is_other_than_http = role == Role::Client && protocol.name() != HTTP;
        let own = role.side();
        let mut conversation = protocol.conversation(self.join);
        for chunk in kept.drain(..) {
            let side = if chunk.outgoing { own } else { own.peer() };
            conversation.feed(side, &chunk.bytes, chunk.at, signals);
        }
        self.state = State::Speaking(conversation);
        Told::Followed
    }
}

fn joined(kept: &[Kept], outgoing: bool) -> Vec<u8> {
    kept.iter().filter(|chunk| chunk.outgoing == outgoing).flat_map(|chunk| chunk.bytes.iter().copied()).collect()
}

enum Judgement {
    Is(&'static dyn Protocol, Role),
    Open,
    None,
}

/// The first protocol that is sure wins; with the role unknown, both are tried.
fn judge(role: Option<Role>, sent: &[u8], received: &[u8], join: Join) -> Judgement {
    let roles: &[Role] = match role {
        Some(Role::Client) => &[Role::Client],
        Some(Role::Server) => &[Role::Server],
        None => &[Role::Server, Role::Client],
    };
    let mut open = false;
    for protocol in PROTOCOLS {
        for &role in roles {
            let (client, server) = if role == Role::Client { (sent, received) } else { (received, sent) };
            match protocol.recognise(client, server, join) {
                Verdict::Yes => return Judgement::Is(*protocol, role),
                Verdict::Maybe => open = true,
                Verdict::No => {}
            }
        }
    }
    if open { Judgement::Open } else { Judgement::None }
}
