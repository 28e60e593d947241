//! Packets ([MS-TDS] 2.2.3) and the messages they make up.

use std::io::{self, Read};

/// Packet types of a client (2.2.3.1.1).
pub const BATCH: u8 = 1;
pub const RPC: u8 = 3;
pub const ATTENTION: u8 = 6;
pub const TRANSACTION: u8 = 14;
pub const LOGIN: u8 = 16;
pub const PRELOGIN: u8 = 18;

/// Packet type of everything a server sends.
const TABULAR_RESULT: u8 = 4;

/// Status bits of a packet (2.2.3.1.2).
const END_OF_MESSAGE: u8 = 0x01;
const RESET_CONNECTION: u8 = 0x18;

const HEADER_BYTES: usize = 8;

/// Packet size until the server names another (2.2.6.4), which this one does not.
const PACKET_BYTES: usize = 4096;

/// Longest message accepted.
const MESSAGE_BYTES: usize = 1 << 20;

/// What a client sent in one or more packets.
#[derive(Debug)]
pub struct Message {
    /// Packet type.
    pub kind: u8,
    /// True when the client asks for a session as new: its pool gave the connection out again.
    pub resets: bool,
    /// Payloads of the packets, one after the other.
    pub payload: Vec<u8>,
}

/// Reads a whole message. `None`: the client has closed, or sent what is too long or not a packet.
pub fn read(stream: &mut impl Read) -> io::Result<Option<Message>> {
    let mut message = Message { kind: 0, resets: false, payload: Vec::new() };
    loop {
        let mut header = [0; HEADER_BYTES];
        match stream.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let [kind, status, high, low, ..] = header;
        let Some(length) = usize::from(u16::from_be_bytes([high, low])).checked_sub(HEADER_BYTES) else {
            return Ok(None);
        };
        if message.payload.len() + length > MESSAGE_BYTES {
            return Ok(None);
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        message.kind = kind;
        message.resets |= status & RESET_CONNECTION != 0;
        message.payload.append(&mut payload);
        if status & END_OF_MESSAGE != 0 {
            return Ok(Some(message));
        }
    }
}

/// The packets of an answer.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let room = PACKET_BYTES - HEADER_BYTES;
    let count = payload.len().div_ceil(room);
    let mut bytes = Vec::with_capacity(payload.len() + count * HEADER_BYTES);
    for (number, part) in payload.chunks(room).enumerate() {
        let status = if number + 1 == count { END_OF_MESSAGE } else { 0 };
        let length = u16::try_from(part.len() + HEADER_BYTES).unwrap_or_default().to_be_bytes();
        let id = u8::try_from(number % 256).unwrap_or_default();
        bytes.extend([TABULAR_RESULT, status]);
        bytes.extend(length);
        bytes.extend([0, 0, id, 0]);
        bytes.extend(part);
    }
    bytes
}
