//! The protocol of the diagnostics port, `DOTNET_IPC_V1` (dotnet/diagnostics,
//! documentation/design-docs/ipc-protocol.md): one request and one reply a connection.
//!
//! ```text
//! magic "DOTNET_IPC_V1\0" | size u16, of all | command set u8 | command u8 | reserved u16 | payload
//! ```
//!
//! Numbers are little-endian. A text is its length in UTF-16 units, the NUL at its end counted, as u32, and the units.

use std::io::{self, Read, Write};

use super::cursor::Cursor;

const MAGIC: &[u8; 14] = b"DOTNET_IPC_V1\0";
const HEADER: usize = 20;

const EVENT_PIPE: u8 = 2;
const PROCESS: u8 = 4;
const SERVER: u8 = 0xff;

const STOP_TRACING: u8 = 1;
const COLLECT_TRACING_2: u8 = 3;
const COLLECT_TRACING_3: u8 = 4;
const PROCESS_INFO: u8 = 0;
const PROCESS_INFO_2: u8 = 4;
const OK: u8 = 0;

/// The format asked for: `Nettrace` version 4.
const NETTRACE: u32 = 1;

/// Largest buffer asked for, MiB.
const LARGEST_BUFFER: u32 = 1024;
/// Providers asked for at most.
const MOST_PROVIDERS: usize = 256;

/// Characters kept of a text in a reply.
const LONGEST_TEXT: usize = 32 * 1024;

/// Why a request was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// The connection failed.
    #[error("the connection to the diagnostics port failed: {0}")]
    Io(io::Error),
    /// Nothing came, or nothing could be written, in the time given.
    #[error("the run time did not answer in time")]
    TimedOut,
    /// The process closed the connection before the whole reply was there.
    #[error("the run time closed the connection before it had answered")]
    Closed,
    /// It does not speak the protocol.
    #[error("the diagnostics port answered in another protocol than DOTNET_IPC_V1")]
    Foreign,
    /// It speaks the protocol, and the reply makes no sense.
    #[error("the reply of the run time makes no sense")]
    Garbled,
    /// The request does not fit into the 64 KiB of a message.
    #[error("the request has {size} bytes; the diagnostics port takes at most 65,535")]
    TooLong {
        /// Bytes of the message.
        size: usize,
    },
    /// The request was not sent, for it could do harm.
    #[error("the session asked for is not one that every run time takes: {0}")]
    Unsafe(&'static str),
    /// It refused.
    #[error("the run time refused: {0}")]
    Refused(Refusal),
}

impl From<io::Error> for IpcError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// An HRESULT of the run time (dotnet/runtime, src/native/eventpipe/ds-types.h and src/coreclr/inc/corerror.xml).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `CORDIAGIPC_E_BAD_ENCODING`.
    #[error("it could not read the request")]
    BadEncoding,
    /// `CORDIAGIPC_E_UNKNOWN_COMMAND`.
    #[error("it does not know the command")]
    UnknownCommand,
    /// `CORDIAGIPC_E_UNKNOWN_MAGIC`.
    #[error("it speaks another version of the protocol")]
    UnknownMagic,
    /// `CORDIAGIPC_E_UNKNOWN_ERROR`.
    #[error("an unknown error")]
    Unknown,
    /// `COR_E_NOTSUPPORTED`.
    #[error("it does not support the command here")]
    NotSupported,
    /// `E_INVALIDARG`.
    #[error("an argument of the request is invalid")]
    InvalidArgument,
    /// `E_FAIL`: for a new session, too many of them (64) are open, or a provider's arguments are invalid.
    #[error("it failed; 64 sessions may be open already, or an argument is invalid")]
    Failed,
    /// Another one.
    #[error("error 0x{0:08x}")]
    Other(u32),
}

impl From<u32> for Refusal {
    fn from(result: u32) -> Self {
        match result {
            0x8013_1384 => Self::BadEncoding,
            0x8013_1385 => Self::UnknownCommand,
            0x8013_1386 => Self::UnknownMagic,
            0x8013_1387 => Self::Unknown,
            0x8013_1515 => Self::NotSupported,
            0x8007_0057 => Self::InvalidArgument,
            0x8000_4005 => Self::Failed,
            other => Self::Other(other),
        }
    }
}

/// A provider of events that a session asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// Its name, as `System.Runtime`.
    pub name: String,
    /// Bit set of the groups of events asked for; each provider has its own.
    pub keywords: u64,
    /// The most verbose level asked for, 1 (critical) to 5 (verbose).
    pub level: u32,
    /// `key=value` pairs with `;` between them, in quotes where they hold one; may be empty.
    pub arguments: String,
}

/// A session asked for. [`Self::check`] says what it must not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectTracing {
    /// Largest buffer in the process, 1 to 1024 MiB. When it is full, events are lost; it is taken only as it fills.
    pub buffer_mib: u32,
    /// At the end, the run time tells all methods and modules it has loaded. Can be tens of megabytes.
    pub rundown: bool,
    /// With each event, the stack of its thread. .NET 8 and earlier do so in any case.
    pub stack_walk: bool,
    /// What is asked for.
    pub providers: Vec<Provider>,
}

/// What a process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Process id in its own pid namespace.
    pub pid: u64,
    /// Random number of this run, the same for every connection to it.
    pub cookie: [u8; 16],
    /// Command line, words with spaces between them.
    pub command_line: String,
    /// `linux`.
    pub os: String,
    /// `x64`, `arm64` …
    pub architecture: String,
    /// Name of the entry assembly. .NET 6 and later.
    pub entry_assembly: Option<String>,
    /// Version of the run time, as `10.0.12`; may have `+` and a commit after it. .NET 6 and later.
    pub runtime_version: Option<String>,
}

/// A request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    set: u8,
    command: u8,
    payload: Vec<u8>,
}

impl Request {
    /// `CollectTracing3`. .NET 10 knows it, .NET 8 does not.
    ///
    /// # Errors
    /// [`CollectTracing::check`].
    pub fn collect_tracing_3(asked: &CollectTracing) -> Result<Self, IpcError> {
        asked.check()?;
        Ok(Self { set: EVENT_PIPE, command: COLLECT_TRACING_3, payload: asked.payload(true) })
    }

    /// `CollectTracing2`, which cannot leave the stack walk out.
    ///
    /// # Errors
    /// [`CollectTracing::check`].
    pub fn collect_tracing_2(asked: &CollectTracing) -> Result<Self, IpcError> {
        asked.check()?;
        Ok(Self { set: EVENT_PIPE, command: COLLECT_TRACING_2, payload: asked.payload(false) })
    }

    /// `StopTracing`.
    pub fn stop_tracing(session: u64) -> Self {
        Self { set: EVENT_PIPE, command: STOP_TRACING, payload: session.to_le_bytes().to_vec() }
    }

    /// `ProcessInfo2` (.NET 6 and later).
    pub fn process_info_2() -> Self {
        Self { set: PROCESS, command: PROCESS_INFO_2, payload: Vec::new() }
    }

    /// `ProcessInfo`.
    pub fn process_info() -> Self {
        Self { set: PROCESS, command: PROCESS_INFO, payload: Vec::new() }
    }

    /// The message.
    ///
    /// # Errors
    /// [`IpcError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, IpcError> {
        let size = HEADER + self.payload.len();
        let written = u16::try_from(size).map_err(|_| IpcError::TooLong { size })?;
        let mut message = Vec::with_capacity(size);
        message.extend(MAGIC);
        message.extend(written.to_le_bytes());
        message.extend([self.set, self.command, 0, 0]);
        message.extend(&self.payload);
        Ok(message)
    }

    /// Sends it on a new connection and reads the reply's payload. What follows the reply stays unread.
    ///
    /// # Errors
    /// When it cannot be sent, or the reply is not there in the time-outs of the connection, or is a refusal.
    pub fn exchange(&self, connection: &mut (impl Read + Write)) -> Result<Vec<u8>, IpcError> {
        self.send(connection)?;
        receive(connection)
    }

    /// The first half of [`Self::exchange`]; [`receive`] is the other.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send(&self, connection: &mut impl Write) -> Result<(), IpcError> {
        Ok(connection.write_all(&self.encode()?)?)
    }
}

impl CollectTracing {
    /// It harms no process. .NET 8 ends with a segmentation fault when it is asked for a session without a buffer; what
    /// else a run time would refuse is not tried on it either.
    ///
    /// # Errors
    /// [`IpcError::Unsafe`].
    pub fn check(&self) -> Result<(), IpcError> {
        let refuse = |reason| Err(IpcError::Unsafe(reason));
        if !(1..=LARGEST_BUFFER).contains(&self.buffer_mib) {
            return refuse("its buffer has to have 1 to 1024 MiB");
        }
        if !(1..=MOST_PROVIDERS).contains(&self.providers.len()) {
            return refuse("it has to have 1 to 256 providers");
        }
        for provider in &self.providers {
            if provider.name.is_empty() || provider.level > 5 {
                return refuse("each provider has to have a name and a level of 0 to 5");
            }
            if provider.name.contains('\0') || provider.arguments.contains('\0') {
                return refuse("texts must not have NUL in them");
            }
        }
        Ok(())
    }

    fn payload(&self, chooses_stack_walk: bool) -> Vec<u8> {
        let mut payload = Vec::new();
        payload.extend(self.buffer_mib.to_le_bytes());
        payload.extend(NETTRACE.to_le_bytes());
        payload.push(self.rundown.into());
        if chooses_stack_walk {
            payload.push(self.stack_walk.into());
        }
        payload.extend(u32::try_from(self.providers.len()).unwrap_or(u32::MAX).to_le_bytes());
        for provider in &self.providers {
            payload.extend(provider.keywords.to_le_bytes());
            payload.extend(provider.level.to_le_bytes());
            write_text(&mut payload, &provider.name);
            write_text(&mut payload, &provider.arguments);
        }
        payload
    }
}

fn write_text(payload: &mut Vec<u8>, text: &str) {
    if text.is_empty() {
        payload.extend(0_u32.to_le_bytes());
        return;
    }
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    payload.extend(u32::try_from(units.len()).unwrap_or(u32::MAX).to_le_bytes());
    payload.extend(units.into_iter().flat_map(u16::to_le_bytes));
}

/// Reads a reply: its payload, at most 64 KiB.
///
/// # Errors
/// When none comes in the time-outs of the connection, it makes no sense, or is a refusal.
pub fn receive(connection: &mut impl Read) -> Result<Vec<u8>, IpcError> {
    let mut header = [0; HEADER];
    connection.read_exact(&mut header)?;
    let mut cursor = Cursor::new(&header);
    if cursor.array() != Some(*MAGIC) {
        return Err(IpcError::Foreign);
    }
    let (size, set, command) = (cursor.u16(), cursor.u8(), cursor.u8());
    let length = size.and_then(|size| usize::from(size).checked_sub(HEADER)).ok_or(IpcError::Garbled)?;
    let mut payload = vec![0; length];
    connection.read_exact(&mut payload)?;
    match (set, command) {
        (Some(SERVER), Some(OK)) => Ok(payload),
        (Some(SERVER), Some(_)) => {
            let result = Cursor::new(&payload).u32().ok_or(IpcError::Garbled)?;
            Err(IpcError::Refused(result.into()))
        }
        _ => Err(IpcError::Garbled),
    }
}

/// The session's id, from the reply to `CollectTracing` and `StopTracing`.
///
/// # Errors
/// [`IpcError::Garbled`].
pub fn read_session(payload: &[u8]) -> Result<u64, IpcError> {
    Cursor::new(payload).u64().ok_or(IpcError::Garbled)
}

impl ProcessInfo {
    /// Reads the reply to `ProcessInfo` or `ProcessInfo2`.
    ///
    /// # Errors
    /// [`IpcError::Garbled`].
    pub fn read(payload: &[u8]) -> Result<Self, IpcError> {
        let mut cursor = Cursor::new(payload);
        Self::read_fields(&mut cursor).ok_or(IpcError::Garbled)
    }

    fn read_fields(cursor: &mut Cursor<'_>) -> Option<Self> {
        let text = |cursor: &mut Cursor<'_>| Some(cursor.counted_text()?.to_capped_string(LONGEST_TEXT));
        Some(Self {
            pid: cursor.u64()?,
            cookie: cursor.array()?,
            command_line: text(cursor)?,
            os: text(cursor)?,
            architecture: text(cursor)?,
            entry_assembly: text(cursor).filter(|text| !text.is_empty()),
            runtime_version: text(cursor).filter(|text| !text.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that has its answer ready.
    struct Answering(Vec<u8>, io::Cursor<Vec<u8>>);

    impl Read for Answering {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1.read(buffer)
        }
    }

    impl Write for Answering {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn reply(command: u8, payload: &[u8]) -> Vec<u8> {
        Request { set: SERVER, command, payload: payload.to_vec() }.encode().expect("short")
    }

    fn ask(answer: &[u8]) -> Result<Vec<u8>, IpcError> {
        Request::process_info().exchange(&mut Answering(Vec::new(), io::Cursor::new(answer.to_vec())))
    }

    #[test]
    fn requests_are_laid_out_as_the_protocol_says() {
        let provider = Provider { name: "A".into(), keywords: 0x803, level: 5, arguments: "k=é".into() };
        let asked = CollectTracing { buffer_mib: 64, rundown: true, stack_walk: false, providers: vec![provider] };
        let three = Request::collect_tracing_3(&asked).and_then(|request| request.encode()).expect("short");
        let expected: &[&[u8]] = &[
            b"DOTNET_IPC_V1\0\x3e\0\x02\x04\0\0",
            b"\x40\0\0\0\x01\0\0\0\x01\0\x01\0\0\0",
            b"\x03\x08\0\0\0\0\0\0\x05\0\0\0",
            b"\x02\0\0\0A\0\0\0",
            b"\x04\0\0\0k\0=\0\xe9\0\0\0",
        ];
        let expected = expected.concat();
        assert_eq!(three[20..], expected[20..]);
        assert_eq!(usize::from(three[14]), three.len());
        assert_eq!((&three[..14], &three[16..20]), (&MAGIC[..], &[2, 4, 0, 0][..]));
        let two = Request::collect_tracing_2(&asked).and_then(|request| request.encode()).expect("short");
        assert_eq!((two.len(), two[17], &two[20..29]), (three.len() - 1, 3, &three[20..29]));
        assert_eq!(two[29..], three[30..]);
        assert_eq!(
            Request::stop_tracing(7).encode().expect("short"),
            b"DOTNET_IPC_V1\0\x1c\0\x02\x01\0\0\x07\0\0\0\0\0\0\0"
        );
    }

    #[test]
    fn a_request_that_does_not_fit_is_not_sent() {
        let provider = Provider { name: "A".into(), arguments: "x".repeat(40_000), ..Provider::default() };
        let asked = CollectTracing { buffer_mib: 1, providers: vec![provider], ..CollectTracing::default() };
        let sent = Request::collect_tracing_3(&asked).and_then(|request| request.encode());
        assert!(matches!(sent, Err(IpcError::TooLong { size }) if size > 80_000));
    }

    #[test]
    fn what_could_do_harm_is_not_sent() {
        let provider = Provider { name: "A".into(), ..Provider::default() };
        let named = |name: &str| vec![Provider { name: name.into(), ..Provider::default() }];
        let asked = |buffer_mib, providers| CollectTracing { buffer_mib, providers, ..CollectTracing::default() };
        asked(1, vec![provider.clone()]).check().expect("fine");
        for harmful in [
            asked(0, vec![provider.clone()]),
            asked(2000, vec![provider.clone()]),
            asked(1, vec![]),
            asked(1, named("")),
            asked(1, named("a\0b")),
            asked(1, vec![Provider { level: 6, ..provider.clone() }]),
            asked(1, vec![Provider { arguments: "\0".into(), ..provider }]),
        ] {
            assert!(matches!(Request::collect_tracing_3(&harmful), Err(IpcError::Unsafe(_))), "{harmful:?}");
            assert!(matches!(Request::collect_tracing_2(&harmful), Err(IpcError::Unsafe(_))), "{harmful:?}");
        }
    }

    #[test]
    fn replies_are_read_and_refusals_named() {
        assert_eq!(ask(&reply(OK, b"abc")).expect("a reply"), b"abc");
        let refused = ask(&reply(0xff, &0x8013_1385_u32.to_le_bytes())).expect_err("refused");
        assert_eq!(refused.to_string(), "the run time refused: it does not know the command");
        let other = ask(&reply(0xff, &1_u32.to_le_bytes())).expect_err("refused");
        assert_eq!(other.to_string(), "the run time refused: error 0x00000001");
        assert!(matches!(ask(b"HTTP/1.1 400 Bad Request\r\n"), Err(IpcError::Foreign)));
        assert!(matches!(ask(&reply(0xff, b"abc")), Err(IpcError::Garbled)));
        let mut small = reply(OK, b"");
        small[14] = 3;
        assert!(matches!(ask(&small), Err(IpcError::Garbled)));
        let whole = reply(OK, b"abc");
        for length in 0..whole.len() {
            assert!(matches!(ask(&whole[..length]), Err(IpcError::Closed)), "cut at {length}");
        }
    }

    #[test]
    fn process_information_with_and_without_the_newer_fields() {
        let mut payload = 7_u64.to_le_bytes().to_vec();
        payload.extend([9; 16]);
        for text in ["dotnet a.dll", "linux", "x64"] {
            write_text(&mut payload, text);
        }
        let old = ProcessInfo::read(&payload).expect("whole");
        assert_eq!((old.pid, old.command_line.as_str(), old.runtime_version), (7, "dotnet a.dll", None));
        for text in ["a", "10.0.12"] {
            write_text(&mut payload, text);
        }
        let new = ProcessInfo::read(&payload).expect("whole");
        assert_eq!((new.entry_assembly.as_deref(), new.runtime_version.as_deref()), (Some("a"), Some("10.0.12")));
        assert!(matches!(ProcessInfo::read(&payload[..40]), Err(IpcError::Garbled)));
    }
}
