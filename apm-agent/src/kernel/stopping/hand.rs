//! The process that writes. It lives a little longer than the agent.

use std::{
    fs,
    os::fd::{FromRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use apm_common::stopping::{ORDER_BYTES, StopOrder};
use aya::maps::{HashMap, Map, MapData, RingBuf};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{go_on, release};
use crate::{clock, process::Stat};

/// Longest wait for a process to have stopped.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long it sees to what is stopped, once the agent is gone: by then the kernel has taken its programs out.
const LINGER: Duration = Duration::from_secs(1);

/// How often it looks for what is stopped then.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// What it has.
struct Hand {
    stopped: HashMap<MapData, u32, u64>,
    ending: HashMap<MapData, u32, u64>,
    written: HashMap<MapData, u64, u8>,
}

/// Runs the hand, with the descriptors it was started with. Ends when the agent does.
pub fn run(descriptors: &[String]) -> Option<()> {
    let mut inherited = descriptors.iter().map(|number| {
        let number = number.parse::<i32>().ok().filter(|number| *number > 2)?;
        // SAFETY: those that the agent started us with, each once; a wrong number is refused by the kernel at first use.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    });
    let mut map = || MapData::from_fd(inherited.next()??).ok();
    let mut orders = RingBuf::try_from(Map::RingBuf(map()?)).ok()?;
    let stopped = HashMap::try_from(Map::HashMap(map()?)).ok()?;
    let ending = HashMap::try_from(Map::HashMap(map()?)).ok()?;
    let written = HashMap::try_from(Map::LruHashMap(map()?)).ok()?;
    let agent = inherited.next()??;
    let mut hand = Hand { stopped, ending, written };
    let mut ends = None;
    while ends.is_none_or(|end| Instant::now() < end) {
        let longest = ends.map(|_| GLANCE);
        let is_gone = {
            let mut events = vec![PollFd::new(&orders, PollFlags::IN), PollFd::new(&agent, PollFlags::empty())];
            // Of an agent that is gone nothing more is waited for.
            events.truncate(if ends.is_some() { 1 } else { 2 });
            match poll(&mut events, longest.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return None,
            }
            events.get(1).is_some_and(|event| event.revents().intersects(PollFlags::HUP | PollFlags::ERR))
        };
        while let Some(order) = orders.next() {
            hand.carry_out(&order);
        }
        if is_gone {
            ends = Some(Instant::now() + LINGER);
        }
        if ends.is_some() {
            release(&mut hand.stopped);
        }
    }
    Some(())
}

impl Hand {
    /// Writes what is wanted, if the thread stands still; has the process go on in any case.
    fn carry_out(&mut self, record: &[u8]) {
        let Some(order) = order(record) else { return };
        if stands_still(&order) && write(&order) {
            let _ = self.written.insert(order.span, 1, 0);
        }
        // It may be stopped for another call as soon as it goes on; until it has, one of the two says so.
        let _ = self.ending.insert(order.pid, clock::monotonic(), 0);
        let _ = self.stopped.remove(&order.pid);
        go_on(order.pid);
        let _ = self.ending.remove(&order.pid);
    }
}

fn order(record: &[u8]) -> Option<StopOrder> {
    let bytes = record.get(..size_of::<StopOrder>())?;
    // SAFETY: as many bytes as it has, and any bytes make one: it is made of integers only.
    let order = unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast::<StopOrder>()) };
    (order.length <= ORDER_BYTES as u64).then_some(order)
}

/// Waits until the thread is stopped; false: it is not.
fn stands_still(order: &StopOrder) -> bool {
    let (path, end) = (format!("/proc/{}/task/{}/stat", order.pid, order.tid), Instant::now() + PATIENCE);
    while Instant::now() < end {
        match fs::read(&path).ok().and_then(|bytes| Stat::parse(&bytes)) {
            Some(stat) if stat.state == 'T' => return true,
            Some(_) => std::thread::yield_now(),
            None => return false,
        }
    }
    false
}

/// Writes all of it; false: not all was written.
fn write(order: &StopOrder) -> bool {
    let used = order.used.to_ne_bytes();
    let parts = [
        (order.bytes.as_slice(), order.text_at, order.length as usize),
        (order.frame_length.as_slice(), order.frame_at, if order.frame_at == 0 { 0 } else { 3 }),
        (used.as_slice(), order.used_at, used.len()),
    ];
    let parts = parts.map(|(bytes, at, length)| (bytes.get(..length).unwrap_or_default(), at));
    let ours = parts.map(|(bytes, _)| libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() });
    let theirs = parts.map(|(bytes, at)| libc::iovec { iov_base: at as *mut _, iov_len: bytes.len() });
    let wanted: usize = parts.iter().map(|(bytes, _)| bytes.len()).sum();
    // SAFETY: our side is only read, and lives until the call is over; the other side is checked by the kernel.
    let written = unsafe { libc::process_vm_writev(order.pid as i32, ours.as_ptr(), 3, theirs.as_ptr(), 3, 0) };
    usize::try_from(written) == Ok(wanted)
}
