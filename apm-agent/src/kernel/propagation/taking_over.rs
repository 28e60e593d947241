//! Connections that are older than we: entered into the map of sockets from here, by a copy of their descriptor.
//!
//! Only those on which a run time's own code has just made a call: of a process' other sockets nobody knows who asks them
//! what. The kernel enters a socket while it has it locked, as it does with those that are opened; what waits to be read or
//! to be sent stays where it is.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::{
    fs::fstat,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::{Carriers, Kernel};

/// Connections of which is kept that they were tried.
const MOST_TRIED: usize = 1 << 16;

impl Carriers {
    fn take_over(&mut self, pid: u32, connection: u64, descriptor: u64) -> Option<()> {
        let is_one = self.is_on() && self.takes_over && self.processes.get(&pid, 0).is_ok();
        if !is_one || self.tried.len() >= MOST_TRIED || !self.tried.insert(connection) {
            return None;
        }
        let socket = copy(pid, descriptor)?;
        // The descriptor may be another's by now.
        if fstat(socket.as_fd()).ok()?.st_ino != connection {
            self.tried.remove(&connection);
            return None;
        }
        self.sockets.insert(connection, socket.as_fd(), 0).ok()?;
        self.taken_over += 1;
        Some(())
    }

    /// Nobody holds this connection any more.
    pub(in super::super) fn forget(&mut self, connection: u64) {
        self.tried.remove(&connection);
    }
}

/// A copy of another process' descriptor. It is held for as long as it takes to enter it.
fn copy(pid: u32, descriptor: u64) -> Option<OwnedFd> {
    let process = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
    pidfd_getfd(process, i32::try_from(descriptor).ok()?, PidfdGetfdFlags::empty()).ok()
}

impl Kernel {
    /// The place in the trace goes along with the next calls on this connection of a process, too, which has it open under
    /// this descriptor. Tried once.
    pub fn carry_on(&mut self, pid: u32, connection: u64, descriptor: u64) {
        let _ = self.carriers.take_over(pid, connection, descriptor);
    }

    /// How many connections were taken over that are older than we.
    pub fn taken_over(&self) -> u64 {
        self.carriers.taken_over
    }
}
