//! Why the diagnostics port does not do as asked.

use std::io;

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
