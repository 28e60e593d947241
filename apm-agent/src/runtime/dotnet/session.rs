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
    /// Asks for a session. The timeout is for each of the one or two connections it takes.
    ///
    /// # Errors
    /// When the process cannot be reached, refuses, or does not answer in time.
    pub fn start(port: Port, asked: &CollectTracing, timeout: Duration) -> Result<Self, SessionError> {
        let (newer, older) = (Request::collect_tracing_3(asked)?, Request::collect_tracing_2(asked)?);
        let mut connection = port.connect(timeout)?;
        let (reply, stack_walk) = match newer.exchange(&mut connection) {
            Err(IpcError::Refused(Refusal::UnknownCommand)) => {
                connection = port.connect(timeout)?;
                (older.exchange(&mut connection)?, true)
            }
            reply => (reply?, asked.stack_walk),
        };
        let id = ipc::read_session(&reply)?;
        let (stream, buffer) = (connection.into_stream(), vec![0; PIECE]);
        Ok(Self { port, stream, id, stack_walk, timeout: None, reader: Reader::new(), buffer })
    }

    /// Id of the session within its process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The run time takes the stack with each event, which makes them dearer: it was asked to, or cannot do otherwise
    /// (.NET 8 and earlier).
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

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::net::UnixListener, thread};

    use super::*;
    use crate::runtime::dotnet::{Provider, nettrace::tests::recorded, port::tests::Pretended};

    const SOON: Duration = Duration::from_millis(300);
    const SESSION: u64 = 0x1234;

    /// The next connection, and the command it brings.
    fn accept(listener: &UnixListener) -> (UnixStream, [u8; 2], Vec<u8>) {
        let (mut connection, _) = listener.accept().expect("a client");
        let mut header = [0; 20];
        connection.read_exact(&mut header).expect("a header");
        assert_eq!(header[..14], *b"DOTNET_IPC_V1\0");
        let mut payload = vec![0; usize::from(u16::from_le_bytes([header[14], header[15]])) - 20];
        connection.read_exact(&mut payload).expect("a payload");
        (connection, [header[16], header[17]], payload)
    }

    fn reply(connection: &mut UnixStream, result: u8, payload: &[u8]) {
        let header = [b"DOTNET_IPC_V1\0".as_slice(), &[20 + payload.len() as u8, 0, 0xff, result, 0, 0]].concat();
        connection.write_all(&[&header, payload].concat()).expect("written");
    }

    /// A run time of .NET 8 that plays a recorded stream, its last bytes when it is stopped.
    fn pretend(listener: UnixListener, stream: Vec<u8>) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            let (mut first, command, _) = accept(&listener);
            assert_eq!(command, [2, 4]);
            reply(&mut first, 0xff, &0x8013_1385_u32.to_le_bytes());
            let (mut events, command, _) = accept(&listener);
            assert_eq!(command, [2, 3]);
            reply(&mut events, 0, &SESSION.to_le_bytes());
            let (now, later) = stream.split_at(stream.len() / 2);
            events.write_all(now).expect("written");
            let (mut stop, command, session) = accept(&listener);
            assert_eq!((command, session), ([2, 1], SESSION.to_le_bytes().to_vec()));
            events.write_all(later).expect("written");
            reply(&mut stop, 0, &SESSION.to_le_bytes());
        })
    }

    fn start(process: &Pretended) -> Result<Session, SessionError> {
        let provider = Provider { name: "System.Runtime".into(), ..Provider::default() };
        let asked = CollectTracing { buffer_mib: 1, providers: vec![provider], ..CollectTracing::default() };
        Session::start(process.find()?, &asked, SOON)
    }

    #[test]
    fn a_session_of_an_older_run_time_from_start_to_stop() {
        let process = Pretended::new("", "tmp");
        let stream = recorded("dotnet8.nettrace");
        let runtime = pretend(process.listen("dotnet-diagnostic-7-5000-socket"), stream.clone());
        let mut session = start(&process).expect("started");
        assert_eq!((session.id(), session.walks_stacks()), (SESSION, true));
        let mut told = Vec::new();
        let mut bytes = 0;
        while let Progress::Read(count) = session.read(SOON, |item| told.push(format!("{item:?}"))).expect("readable") {
            bytes += count;
        }
        assert_eq!((bytes, session.dropped()), (stream.len() / 2, Dropped::default()));
        session.stop(SOON, |item| told.push(format!("{item:?}"))).expect("stopped");
        runtime.join().expect("as asked");
        let mut whole = Vec::new();
        Reader::new().feed(&stream, |item| whole.push(format!("{item:?}"))).expect("readable");
        assert!(told == whole, "{} and {} items", told.len(), whole.len());
    }

    #[test]
    fn a_process_that_is_silent_or_ends_does_not_hold_us_up() {
        let process = Pretended::new("", "tmp");
        let listener = process.listen("dotnet-diagnostic-7-5000-socket");
        assert!(matches!(start(&process), Err(SessionError::Ipc(IpcError::TimedOut))));
        drop(listener.accept().expect("the client"));
        let runtime = thread::spawn(move || {
            let (mut events, ..) = accept(&listener);
            reply(&mut events, 0, &SESSION.to_le_bytes());
            events.write_all(b"Nettrace").expect("written");
            events
        });
        let mut session = start(&process).expect("started");
        assert_eq!(session.read(SOON, |_| {}).expect("readable"), Progress::Read(8));
        assert_eq!(session.read(Duration::ZERO, |_| {}).expect("readable"), Progress::Quiet);
        drop(runtime.join().expect("as asked"));
        let cut = SessionError::Nettrace(NettraceError::Truncated { at: 8 });
        assert_eq!(session.read(SOON, |_| {}).expect_err("cut off").to_string(), cut.to_string());
        assert_eq!(session.read(SOON, |_| {}).expect("told once"), Progress::Ended);
    }

    #[test]
    fn a_run_time_that_does_not_stop_is_left() {
        let process = Pretended::new("", "tmp");
        let listener = process.listen("dotnet-diagnostic-7-5000-socket");
        let runtime = thread::spawn(move || {
            let (mut events, ..) = accept(&listener);
            reply(&mut events, 0, &SESSION.to_le_bytes());
            (events, accept(&listener))
        });
        let session = start(&process).expect("started");
        assert!(matches!(session.stop(SOON, |_| {}), Err(SessionError::NotStopped)));
        let (mut events, _) = runtime.join().expect("as asked");
        assert!(events.write_all(b"x").is_err(), "our end is closed");
    }
}
