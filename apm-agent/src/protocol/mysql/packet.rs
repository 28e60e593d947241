//! Cuts one side's bytes into packets: parsed straight from the fed slice when a packet is complete in it, else only the
//! part of the body that is wanted is kept and the rest is counted down.
//!
//! Source: MySQL internals manual, "MySQL Packets": three bytes of length (little-endian), a sequence number, the body.
//! A body of 0xffffff bytes goes on in the next packet; such rows of packets are one packet here.

use crate::exchange::Stamp;
use crate::protocol::statement::STATEMENT_BYTES;

/// Length of a packet that goes on in the next one.
const FULL: u32 = 0x00ff_ffff;
const HEADER_BYTES: usize = 4;
/// Most bytes kept of what holds no text: names, errors, the beginning of a row.
const SHORT_BYTES: usize = 2048;
/// Most bytes kept of a statement with its attributes.
const LONG_BYTES: usize = STATEMENT_BYTES + SHORT_BYTES;

/// A packet.
#[derive(Debug, PartialEq)]
pub(super) struct Packet<'a> {
    /// Its sequence number, that of the first of several.
    pub(super) sequence: u8,
    /// The number of the packet that follows it.
    pub(super) next: u8,
    /// First bytes of the body.
    pub(super) body: &'a [u8],
    /// Length of the whole body.
    pub(super) length: u64,
    /// When its first byte passed.
    pub(super) began: Stamp,
}

impl Packet<'_> {
    /// The body's first byte.
    pub(super) fn kind(&self) -> Option<u8> {
        self.body.first().copied()
    }

    /// The body goes on after what was kept.
    pub(super) fn is_cut(&self) -> bool {
        (self.body.len() as u64) < self.length
    }
}

/// Length and sequence number of a header.
pub(super) fn read_header(bytes: &[u8]) -> Option<(u32, u8)> {
    let [a, b, c, sequence] = *bytes.first_chunk()?;
    Some((u32::from_le_bytes([a, b, c, 0]), sequence))
}

/// Follows the packets of one side. Holds at most one packet's kept bytes.
#[derive(Default)]
pub(super) struct Framer {
    header: [u8; HEADER_BYTES],
    filled: usize,
    /// In the body: bytes of it still to pass.
    rest: Option<u32>,
    /// The body goes on in another packet.
    goes_on: bool,
    /// Nothing more is kept: bytes passed unseen, or there is enough.
    full: bool,
    body: Vec<u8>,
    /// Of the packet under way, once its header is known.
    length: Option<u64>,
    sequence: u8,
    next: u8,
    began: Stamp,
}

impl Framer {
    /// The next byte is the first of a packet.
    pub(super) fn at_boundary(&self) -> bool {
        self.filled == 0 && self.rest.is_none() && self.length.is_none()
    }

    /// Takes the next packet off `input`; `None`: the input is used up.
    pub(super) fn step<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8], at: Stamp) -> Option<Packet<'a>> {
        if self.at_boundary() {
            self.began = at;
            if let Some((length, sequence)) = read_header(input)
                && length < FULL
                && let Some((body, rest)) = input.get(HEADER_BYTES..)?.split_at_checked(length as usize)
            {
                *input = rest;
                let next = sequence.wrapping_add(1);
                return Some(Packet { sequence, next, body, length: length.into(), began: at });
            }
        }
        self.step_slowly(input)
    }

    /// A packet in pieces.
    fn step_slowly(&mut self, input: &mut &[u8]) -> Option<Packet<'_>> {
        loop {
            if self.rest.is_none() {
                self.pass_header(input)?;
            }
            self.pass_body(input);
            if self.rest != Some(0) {
                return None;
            }
            self.rest = None;
            if !std::mem::take(&mut self.goes_on) {
                break;
            }
        }
        self.full = false;
        let (sequence, next, began) = (self.sequence, self.next, self.began);
        Some(Packet { sequence, next, body: &self.body, length: self.length.take()?, began })
    }

    fn pass_header(&mut self, input: &mut &[u8]) -> Option<()> {
        while self.filled < HEADER_BYTES {
            let (byte, rest) = input.split_first()?;
            *input = rest;
            if let Some(slot) = self.header.get_mut(self.filled) {
                *slot = *byte;
            }
            self.filled += 1;
        }
        self.filled = 0;
        let (length, sequence) = read_header(&self.header)?;
        if self.length.is_none() {
            self.body.clear();
            self.sequence = sequence;
        }
        self.length = Some(self.length.unwrap_or(0).saturating_add(length.into()));
        self.next = sequence.wrapping_add(1);
        self.goes_on = length == FULL;
        self.rest = Some(length);
        Some(())
    }

    fn pass_body(&mut self, input: &mut &[u8]) {
        let Some(rest) = &mut self.rest else { return };
        let passed = input.len().min(*rest as usize);
        let (bytes, after) = input.split_at_checked(passed).unwrap_or((input, &[]));
        *rest -= passed as u32;
        *input = after;
        if self.full {
            return;
        }
        let most = match self.body.first().or(bytes.first()) {
            // COM_QUERY, COM_STMT_PREPARE.
            Some(0x03 | 0x16) => LONG_BYTES,
            _ => SHORT_BYTES,
        };
        let room = most.saturating_sub(self.body.len());
        self.body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.full = bytes.len() > room;
    }

    /// Bytes passed unseen. True: they lie inside the packet, and its end is still known (it may be complete now: take a
    /// step with no input).
    pub(super) fn skip(&mut self, length: u64) -> bool {
        match &mut self.rest {
            Some(rest) if length <= u64::from(*rest) => {
                *rest -= length as u32;
                self.full = true;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32).to_le_bytes();
        [&length[..3], &[sequence], body].concat()
    }

    /// Sequence, next, kept bytes and length of each.
    fn all(framer: &mut Framer, mut input: &[u8]) -> Vec<(u8, u8, Vec<u8>, u64)> {
        let mut packets = Vec::new();
        while let Some(packet) = framer.step(&mut input, Stamp::default()) {
            packets.push((packet.sequence, packet.next, packet.body.to_vec(), packet.length));
        }
        packets
    }

    #[test]
    fn frames_alike_whole_and_in_pieces() {
        let bytes = [packet(0, b"\x03SELECT 1"), packet(1, b""), packet(255, b"x")].concat();
        let whole = all(&mut Framer::default(), &bytes);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0], (0, 1, b"\x03SELECT 1".to_vec(), 9));
        assert_eq!(whole[2].1, 0, "numbers wrap");
        for size in 1..bytes.len() {
            let mut framer = Framer::default();
            let pieces: Vec<_> = bytes.chunks(size).flat_map(|piece| all(&mut framer, piece)).collect();
            assert_eq!(pieces, whole, "pieces of {size}");
        }
    }

    #[test]
    fn joins_packets_that_go_on() {
        let mut framer = Framer::default();
        let mut long = vec![b'x'; FULL as usize];
        long[0] = 0x03;
        assert_eq!(all(&mut framer, &packet(0, &long)), []);
        assert!(!framer.at_boundary());
        let found = all(&mut framer, &packet(1, b"yz"));
        assert_eq!(found.len(), 1);
        let (sequence, next, body, length) = &found[0];
        assert_eq!((*sequence, *next, body.len(), *length), (0, 2, LONG_BYTES, u64::from(FULL) + 2));
        assert!(framer.at_boundary());
    }

    #[test]
    fn counts_down_a_gap_inside_a_packet() {
        let mut framer = Framer::default();
        assert_eq!(all(&mut framer, b"\x09\0\0\0\x03SEL"), []);
        assert!(framer.skip(5));
        assert_eq!(all(&mut framer, b""), [(0, 1, b"\x03SEL".to_vec(), 9)]);
        assert!(!framer.skip(1), "a gap at a boundary loses the place");
        assert_eq!(all(&mut framer, b"\x09\0\0\0\x03S"), []);
        assert!(framer.skip(2));
        assert_eq!(all(&mut framer, b"T * 1"), [(0, 1, b"\x03S".to_vec(), 9)], "no hole in what is kept");
    }

    #[test]
    fn keeps_little_of_rows() {
        let mut framer = Framer::default();
        assert_eq!(all(&mut framer, b"\x00\x00\x10\x03\xfd"), []);
        assert_eq!(all(&mut framer, &vec![7; 0x10_0000])[0].2.len(), SHORT_BYTES);
        assert!(framer.body.capacity() <= 2 * LONG_BYTES);
    }
}
