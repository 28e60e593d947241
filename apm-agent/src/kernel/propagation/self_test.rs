//! Shows that what is put into calls arrives, and nothing else changes: with a connection of our own.
//!
//! Sockets in such a map are served by other functions of the kernel, which had mistakes in several releases.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    time::Duration,
};

use apm_common::{counter::Counter, propagation::STATE_LINE};

use super::{Kernel, KernelFailure};

/// Longest time for bytes on the way through loopback.
const PATIENCE: Duration = Duration::from_secs(2);

const CALL: &[u8] = b"POST /self-test HTTP/1.1\r\nHost: apm-agent\r\nContent-Length: 4\r\n\r\nbody";
const PLACED: &[u8] = b"GET / HTTP/1.1\r\nHost: apm-agent\r\nTraceParent: 00-1-2-3\r\n\r\n";
const CUT: &[u8] = b"GET / HTTP/1.1\r\nHost: apm-";
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// What the test makes the programs count.
const COUNTED: [Counter; 3] = [Counter::CallsCarrying, Counter::CallsPlaced, Counter::CallsNotWhole];

/// Two ends of a connection.
struct Pair {
    ours: TcpStream,
    theirs: TcpStream,
    /// Inode of our end.
    inode: u64,
}

impl Pair {
    fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let ours = TcpStream::connect(listener.local_addr()?)?;
        let (theirs, _) = listener.accept()?;
        for end in [&ours, &theirs] {
            end.set_read_timeout(Some(PATIENCE))?;
            end.set_write_timeout(Some(PATIENCE))?;
        }
        let inode = rustix::fs::fstat(&ours)?.st_ino;
        Ok(Self { ours, theirs, inode })
    }

    /// Sends a call and gives back what arrives, `more` bytes more than were sent.
    fn send(&mut self, call: &[u8], more: usize) -> std::io::Result<Vec<u8>> {
        self.ours.write_all(call)?;
        let mut arrived = vec![0; call.len() + more];
        self.theirs.read_exact(&mut arrived)?;
        Ok(arrived)
    }

    /// Sends much and gives back what arrives.
    fn send_much(&mut self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let Self { ours, theirs, .. } = self;
        let mut arrived = vec![0; bytes.len()];
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| ours.write_all(bytes));
            theirs.read_exact(&mut arrived)?;
            sent.join().map_err(|_| std::io::ErrorKind::Other)?
        })?;
        Ok(arrived)
    }

    /// The other end answers; gives back what arrives, and how much there was said to be.
    fn answer(&mut self) -> std::io::Result<(Vec<u8>, u64)> {
        self.theirs.write_all(ANSWER)?;
        // Waits until it is there.
        self.ours.peek(&mut [0])?;
        let waiting = rustix::io::ioctl_fionread(self.ours.as_fd())?;
        let mut arrived = vec![0; ANSWER.len()];
        self.ours.read_exact(&mut arrived)?;
        Ok((arrived, waiting))
    }
}

/// Shows that a connection which stands can be taken over: what waits to be read on it is not lost, and the next call
/// carries what it should. Afterwards nothing of it is left in the maps.
pub fn takes_over(kernel: &mut Kernel) -> bool {
    let Ok(mut pair) = Pair::open() else { return false };
    let tried = take_over(kernel, &mut pair);
    let _ = kernel.carriers.sockets.remove(&pair.inode);
    kernel.forget_connection(pair.inode);
    kernel.uncount(&COUNTED);
    tried.is_some()
}

fn take_over(kernel: &mut Kernel, pair: &mut Pair) -> Option<()> {
    pair.theirs.write_all(ANSWER).ok()?;
    pair.ours.peek(&mut [0]).ok()?;
    kernel.carriers.sockets.insert(pair.inode, pair.ours.as_fd(), 0).ok()?;
    kernel.expect_call(pair.inode).ok()?;
    let arrived = pair.send(CALL, STATE_LINE).ok()?;
    let mut waiting = vec![0; ANSWER.len()];
    pair.ours.read_exact(&mut waiting).ok()?;
    (waiting == ANSWER && arrived.starts_with(b"POST /self-test HTTP/1.1\r\ntraceparent: ")).then_some(())
}

/// Runs the test; afterwards nothing of it is left in the maps.
///
/// # Errors
/// What is not as it should be.
pub fn run(kernel: &mut Kernel) -> Result<(), KernelFailure> {
    let pid = std::process::id();
    let entered = kernel.carriers.processes.insert(pid, [0, u64::MAX], 0).is_ok();
    let pair = Pair::open();
    kernel.carry_no_more_for(pid);
    let mut pair = pair.map_err(|_| KernelFailure::SelfTest("a connection of our own could not be made"))?;
    let tried = if entered { converse(kernel, &mut pair) } else { Err("no room for a process") };
    kernel.forget_connection(pair.inode);
    kernel.uncount(&COUNTED);
    tried.map_err(KernelFailure::SelfTest)
}

fn converse(kernel: &mut Kernel, pair: &mut Pair) -> Result<(), &'static str> {
    let rules = kernel.carriers.rules.get(&0, 0).map_err(|_| "the rules cannot be read")?.0;
    // Of a call whose trace did not begin here and whose caller sent no `tracestate`: two lines.
    let template = rules.block.get(..STATE_LINE).ok_or("there are no lines")?;
    let mut call = |text: &[u8], more| {
        kernel.expect_call(pair.inode).map_err(|_| "no room for a connection")?;
        pair.send(text, more).map_err(|_| "what was sent did not arrive")
    };
    let arrived = call(CALL, STATE_LINE)?;
    let second = CALL.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (line, rest) = CALL.split_at(second);
    if arrived != [line, template, rest].concat() {
        return Err("a call did not arrive with the place in the trace, and else as it was sent");
    }
    for untouched in [PLACED, CUT] {
        if call(untouched, 0)? != untouched {
            return Err("a call that is to be left alone arrived otherwise");
        }
    }
    let large: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
    if pair.send_much(&large).map_err(|_| "a body did not arrive")? != large {
        return Err("a body arrived otherwise than it was sent");
    }
    let (arrived, waiting) = pair.answer().map_err(|_| "an answer did not arrive")?;
    if arrived != ANSWER {
        return Err("an answer arrived otherwise than it was sent");
    }
    // Linux 6.18.14 and others say none (929e30f93125). Go never asks, as it reads what there is.
    if waiting != ANSWER.len() as u64 {
        tracing::info!("this kernel does not say right how much can be read on sockets that calls are written into");
    }
    Ok(())
}
