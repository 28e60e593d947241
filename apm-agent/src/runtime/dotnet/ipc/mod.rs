//! The protocol of the diagnostics port, `DOTNET_IPC_V1` (dotnet/diagnostics,
//! documentation/design-docs/ipc-protocol.md): one request and one reply a connection.
//!
//! ```text
//! magic "DOTNET_IPC_V1\0" | size u16, of all | command set u8 | command u8 | reserved u16 | payload
//! ```
//!
//! Numbers are little-endian. A text is its length in UTF-16 units, the NUL at its end counted, as u32, and the units.

use std::io::{Read, Write};

use super::cursor::Cursor;

mod error;

pub use error::{IpcError, Refusal};

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
mod tests;
