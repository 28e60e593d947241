//! A session with a live process: asked for over its [`Port`], told as a stream of events until it is stopped.
//!
//! No threads and no clock of events: who owns a session calls [`Session::read`] as often as it can, for what is not read
//! stays in the buffer of the process, and what does not fit there is lost. When the connection is closed, by either side
//! and for any reason, the run time ends the session and with it the cost.

use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use super::{
    Absence, CollectTracing, IpcError, Item, NettraceError, Port, Reader,
    ipc::{self, Refusal, Request},
    nettrace::Dropped,
};

/// Bytes read at once at most.
const PIECE: usize = 256 * 1024;

/// Why a session could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no connection.
    #[error(transparent)]
    Absent(#[from] Absence),
    /// The run time did not do as asked.
    #[error(transparent)]
    Ipc(#[from] IpcError),
    /// What it sends cannot be read.
    #[error(transparent)]
    Nettrace(#[from] NettraceError),
    /// The connection failed.
    #[error("the event stream broke off: {0}")]
    Broken(io::Error),
    /// The stream did not come to its end in the time given.
    #[error("the run time did not end the session in time")]
    NotStopped,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Some bytes; there may be more.
    Read(usize),
    /// Nothing in the time given.
    Quiet,
    /// The end: nothing comes any more.
    Ended,
}

/// A session with a live process. Dropped, it ends; what the process still has in its buffer is lost then.
#[derive(Debug)]
pub struct Session {
    port: Port,
    stream: UnixStream,
    id: u64,
    stack_walk: bool,
    timeout: Option<Duration>,
    reader: Reader,
    buffer: Vec<u8>,
}

impl Session {
    /// Asks for a session. The timeout is for each step of it: connecting, writing, reading.
    ///
    /// # Errors
    /// When the process cannot be reached, refuses, or does not answer in time.
    pub fn start(port: Port, asked: &CollectTracing, timeout: Duration) -> Result<Self, SessionError> {
        let mut stream = port.connect(timeout)?;
        let (reply, stack_walk) = match Request::collect_tracing_3(asked).exchange(&mut stream) {
            Err(IpcError::Refused(Refusal::UnknownCommand)) => {
                stream = port.connect(timeout)?;
                (Request::collect_tracing_2(asked).exchange(&mut stream)?, true)
            }
            reply => (reply?, asked.stack_walk),
        };
        let id = ipc::read_session(&reply)?;
        let buffer = vec![0; PIECE];
        Ok(Self { port, stream, id, stack_walk, timeout: None, reader: Reader::new(), buffer })
    }

    /// Id of the session within its process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The run time takes the stack with each event, which makes them dearer: it was asked to, or cannot do otherwise
    /// (.NET 7 and earlier).
    pub fn walks_stacks(&self) -> bool {
        self.stack_walk
    }

    /// What of the stream was not read so far.
    pub fn dropped(&self) -> Dropped {
        self.reader.dropped()
    }

    /// Waits for bytes at most so long, and tells `sink` what they say.
    ///
    /// # Errors
    /// When the connection fails, and once when the stream makes no sense or is cut off; the session is of no use then.
    pub fn read(&mut self, timeout: Duration, sink: impl FnMut(Item<'_>)) -> Result<Progress, SessionError> {
        self.wait_at_most(timeout).map_err(SessionError::Broken)?;
        let count = match self.stream.read(&mut self.buffer) {
            Ok(count) => count,
            Err(error) if is_no_error(&error) => return Ok(Progress::Quiet),
            // A process that was killed leaves what it had not read of ours.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(SessionError::Broken(error)),
        };
        if count == 0 {
            self.reader.finish()?;
            return Ok(Progress::Ended);
        }
        self.reader.feed(self.buffer.get(..count).unwrap_or_default(), sink)?;
        Ok(if self.reader.has_ended() { Progress::Ended } else { Progress::Read(count) })
    }

    /// Ends the session and tells `sink` what the process had in its buffer, in at most so long.
    ///
    /// # Errors
    /// When the process cannot be reached, refuses or does not come to an end, or when the stream makes no sense. The
    /// session has ended in any case, for its connection is closed.
    pub fn stop(mut self, timeout: Duration, mut sink: impl FnMut(Item<'_>)) -> Result<(), SessionError> {
        let deadline = Instant::now() + timeout;
        let mut connection = self.port.connect(timeout)?;
        Request::stop_tracing(self.id).send(&mut connection)?;
        // The reply comes after the stream, which has to be read for the process to get there.
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.read(left, &mut sink)? {
                Progress::Ended => break,
                _ if left.is_zero() => return Err(SessionError::NotStopped),
                Progress::Read(_) | Progress::Quiet => {}
            }
        }
        ipc::receive(&mut connection)?;
        Ok(())
    }

    /// Sets the time-out of reads where it is not set already.
    fn wait_at_most(&mut self, timeout: Duration) -> io::Result<()> {
        // The kernel takes 0 for no time-out at all.
        let timeout = timeout.max(Duration::from_millis(1));
        if self.timeout != Some(timeout) {
            self.stream.set_read_timeout(Some(timeout))?;
            self.timeout = Some(timeout);
        }
        Ok(())
    }
}

/// Nothing came, or a signal did.
fn is_no_error(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
