//! Node's inspector: opening it by signal, finding where it listens, closing it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal};

use super::{
    guard,
    session::{Session, SessionError},
};
use crate::{process::Process, runtime::own::OwnConnections};

/// Where it listens if nobody says otherwise.
pub const USUAL_PORT: u16 = 9229;

/// Time for one conversation.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time for the inspector to go after it was told to.
const CLOSING: Duration = Duration::from_secs(2);

/// Pauses between two looks for its socket.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Time after which any new socket on the loopback device may be the inspector's: it opens where it was opened last, if
/// somebody opened it before.
const ANYWHERE: Duration = Duration::from_secs(3);

/// An inspector that we opened shuts by itself after 15 s, should we be killed meanwhile.
/// Timers are lists that an interrupted program may be changing: they are set in a turn of their own.
const LIMIT: &str = "setImmediate(() => { \
     globalThis[Symbol.for('apm-agent.inspector')] = setTimeout(() => process._debugEnd(), 15000).unref() \
     }); 0";

/// An open inspector.
pub struct Inspector<'a> {
    process: &'a Process,
    own: &'a Arc<OwnConnections>,
    /// Inode number of the socket it listens on.
    inode: u64,
    address: SocketAddr,
    /// We opened it, and have to close it.
    is_ours: bool,
    /// Where it would have listened without us; it remembers where it did.
    port: u16,
}

impl<'a> Inspector<'a> {
    /// The one the user opened by the process's arguments.
    pub fn of_user(process: &'a Process, own: &'a Arc<OwnConnections>) -> Option<Self> {
        let port = guard::named_port(process)?;
        Self::on_port(process, own, port)
    }

    /// One that listens on `port` already.
    pub fn on_port(process: &'a Process, own: &'a Arc<OwnConnections>, port: u16) -> Option<Self> {
        let (table, held) = (process.listen_table(), process.sockets());
        let inode = table.inodes_on(&[port]).into_iter().find(|inode| held.contains(inode))?;
        Some(Self { process, own, inode, address: reachable(table.address_of(inode)?), is_ours: false, port })
    }

    /// Sends the signal, once: it may be answered much later, when the program is blocked in a call of its own.
    /// `diverted`: the address at which the inspector will listen then.
    ///
    /// # Errors
    /// When the process has ended, or we may not.
    pub fn signal(process: &'a Process, diverted: Option<Ipv4Addr>) -> Result<Signalled, rustix::io::Errno> {
        let signalled = Signalled::before(process, diverted);
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        // The number may be another process's by now.
        let now = crate::process::Proc::default().process(process.pid).map_err(|_| rustix::io::Errno::SRCH)?;
        if now.stat().start_ticks != process.stat().start_ticks {
            return Err(rustix::io::Errno::SRCH);
        }
        rustix::process::pidfd_send_signal(handle, Signal::USR1)?;
        Ok(signalled)
    }

    /// A conversation with it.
    ///
    /// # Errors
    /// When it cannot be reached or does not answer.
    pub fn converse(&self) -> Result<Session, SessionError> {
        Session::begin(self.address, self.process.pid, self.own, Instant::now() + PATIENCE)
    }

    /// Sees to it that it does not outlive us.
    ///
    /// # Errors
    /// When the process does not answer.
    pub fn limit(&self, session: &mut Session) -> Result<(), SessionError> {
        if self.is_ours { session.evaluate(LIMIT).map(|_| ()) } else { Ok(()) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// It listens.
    pub fn is_open(&self) -> bool {
        self.process.sockets().contains(&self.inode)
    }

    /// Closes it, if we opened it; true when it is closed.
    pub fn close(&self, session: Option<Session>) -> bool {
        if !self.is_ours {
            return true;
        }
        // A moment later, when we have hung up: it waits for whoever is connected, and the program with it. And behind
        // the event loop's polling: node handles the signal a second time there, which in a program that was busy would
        // open the inspector again.
        let shut = format!(
            "setImmediate(() => {{ \
             clearTimeout(globalThis[Symbol.for('apm-agent.inspector')]); \
             delete globalThis[Symbol.for('apm-agent.inspector')]; \
             setTimeout(() => setImmediate(() => {{ process._debugEnd(); process.debugPort = {} }}), 25) }}); 0",
            self.port
        );
        let told = session.is_some_and(|mut session| session.evaluate(&shut).is_ok())
            || self.is_open() && self.converse().and_then(|mut session| session.evaluate(&shut)).is_ok();
        let until = Instant::now() + if told { CLOSING } else { Duration::ZERO };
        let mut pause = SHORTEST_PAUSE;
        while self.is_open() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        true
    }
}

/// The signal has been sent or is about to be, the inspector is not there yet.
pub struct Signalled {
    before: Vec<u64>,
    diverted: Option<Ipv4Addr>,
    port: u16,
    sent: Instant,
    pause: Duration,
}

impl Signalled {
    /// A process that is about to get the signal, from us or from somebody else.
    pub fn before(process: &Process, diverted: Option<Ipv4Addr>) -> Self {
        let port = guard::named_port(process).unwrap_or(USUAL_PORT);
        Self { before: process.sockets(), diverted, port, sent: Instant::now(), pause: SHORTEST_PAUSE }
    }

    /// Looks once, after a pause.
    pub fn look<'a>(&mut self, process: &'a Process, own: &'a Arc<OwnConnections>) -> Option<Inspector<'a>> {
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let new: Vec<u64> = process.sockets().into_iter().filter(|inode| !self.before.contains(inode)).collect();
        if new.is_empty() {
            return None;
        }
        let table = process.listen_table();
        // A server of the program's own may begin to listen at the same moment: the inspector is where it was sent to.
        let found = new.into_iter().find_map(|inode| Some((inode, self.expected(table.address_of(inode)?)?)));
        found.map(|(inode, address)| Inspector { process, own, inode, address, is_ours: true, port: self.port })
    }

    fn expected(&self, address: SocketAddr) -> Option<SocketAddr> {
        let diverted = self.diverted.is_some_and(|diverted| address.ip() == IpAddr::V4(diverted));
        let anywhere = self.sent.elapsed() > ANYWHERE && address.ip().is_loopback();
        (diverted || address.port() == self.port || anywhere).then(|| reachable(address))
    }
}

/// Where to connect to for a socket that listens there.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
