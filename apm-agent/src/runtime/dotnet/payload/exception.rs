//! Exceptions that were thrown: `ExceptionThrown_V1` of the run time (dotnet/runtime, ClrEtwAll.man).

use crate::runtime::dotnet::{Utf16, cursor::Cursor, nettrace::Event};

const RUNTIME: &str = "Microsoft-Windows-DotNETRuntime";
const THROWN: u32 = 80;

/// A thrown exception, caught or not. A rethrow is told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception<'a> {
    /// Type with its namespace.
    pub class: Utf16<'a>,
    /// Message.
    pub message: Utf16<'a>,
    /// Address of the instruction that threw; 0 where it is not known.
    pub address: u64,
    /// Its `HResult`.
    pub result: u32,
    flags: u16,
}

impl<'a> Exception<'a> {
    /// Reads one.
    pub fn read(event: &Event<'a>) -> Option<Self> {
        if event.provider != RUNTIME || event.id != THROWN {
            return None;
        }
        let mut cursor = Cursor::new(event.payload);
        let (class, message) = (cursor.text()?, cursor.text()?);
        // The address has the size of a pointer; the fields after it have eight bytes.
        let wide = cursor.rest().len() >= 16;
        let address = if wide { cursor.u64()? } else { cursor.u32()?.into() };
        Some(Self { class, message, address, result: cursor.u32()?, flags: cursor.u16()? })
    }

    /// It has an inner exception.
    pub fn has_inner(&self) -> bool {
        self.flags & 0x01 != 0
    }

    /// It was thrown before, and is now again.
    pub fn is_rethrown(&self) -> bool {
        self.flags & 0x04 != 0
    }
}
