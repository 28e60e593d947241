//! The place in the trace that goes along with a call to the next service: how it is written, and whose ids they are.
//!
//! A request's trace is decided on in the kernel, as a call may be sent before user space has heard of the request. Where
//! the caller named no trace, the ids are a function of what [`HandleBody`](crate::event::HandleBody) or
//! [`AskedBody`](crate::event::AskedBody) say and a secret of this run, which both sides know: see [`begun`].

/// A value of [`Propagation::continuation`], as the next two: the caller's trace goes on.
pub const CONTINUE: u32 = 0;
/// A new one begins always.
pub const RESTART: u32 = 1;
/// That hangs on what the kernel programs do not read.
pub const UNDECIDED: u32 = 2;

/// Characters of a `traceparent` of version 00 (W3C Trace Context, section 3.2).
pub const TRACEPARENT_BYTES: usize = 55;

/// Where in [`Propagation::block`] the values of `traceparent` and `elastic-apm-traceparent` begin.
pub const VALUES: [usize; 2] = [TRACEPARENT.len(), TRACEPARENT.len() + TRACEPARENT_BYTES + 2 + ELASTIC.len()];
/// Where the line of `tracestate` begins.
pub const STATE_LINE: usize = VALUES[1] + TRACEPARENT_BYTES + 2;
/// Where its value begins.
pub const STATE_VALUE: usize = STATE_LINE + STATE.len();

const TRACEPARENT: &[u8] = b"traceparent: ";
const ELASTIC: &[u8] = b"elastic-apm-traceparent: ";
const STATE: &[u8] = b"tracestate: ";

/// Room for the three lines, or fields, the last as it is written for a trace that begins here.
pub const BLOCK_BYTES: usize = 192;

/// As [`VALUES`], in [`Propagation::fields`].
pub const FIELD_VALUES: [usize; 2] = [2 + FIELD_NAMES[0].len() + 1, FIELD_VALUES_END + 2 + FIELD_NAMES[1].len() + 1];
/// Where the field `tracestate` begins.
pub const STATE_FIELD: usize = FIELD_VALUES[1] + TRACEPARENT_BYTES;
/// Where the length of its value begins, and behind that the value.
pub const STATE_FIELD_LENGTH: usize = STATE_FIELD + 2 + FIELD_NAMES[2].len();

const FIELD_VALUES_END: usize = 2 + FIELD_NAMES[0].len() + 1 + TRACEPARENT_BYTES;
const FIELD_NAMES: [&[u8]; 3] = [b"traceparent", b"elastic-apm-traceparent", b"tracestate"];

/// A value of [`Propagation::ways`]: into plain HTTP/1 calls, at the socket.
pub const AT_SOCKETS: u32 = 1;
/// Into calls that the wire does not show, in the program's own memory.
pub const IN_MEMORY: u32 = 2;

/// Most bytes of a caller's `tracestate` that go on; with a longer one it is left out.
pub const STATE_BYTES: usize = 512;

/// What the kernel programs write, and by which rule.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation {
    /// Secret of this run.
    pub seed: [u64; 2],
    /// Traces are recorded whose [`Begun::lot`] is less than this.
    pub sampled_below: u64,
    /// One of [`CONTINUE`], [`RESTART`], [`UNDECIDED`].
    pub continuation: u32,
    /// [`AT_SOCKETS`] and [`IN_MEMORY`]; 0: nothing is written into calls.
    pub ways: u32,
    /// Bytes of `block`.
    pub block_len: u32,
    /// Bytes of `fields`.
    pub fields_len: u32,
    /// Header lines with ids of zeros.
    pub block: [u8; BLOCK_BYTES],
    /// The same as fields of HTTP/2: literals without indexing, with new names, not in Huffman's code (RFC 7541, section
    /// 6.2.2). They change no table, so the program's own encoder need not know of them.
    pub fields: [u8; BLOCK_BYTES],
}

impl Propagation {
    /// Nothing is written.
    pub const OFF: Propagation = Propagation {
        seed: [0; 2],
        sampled_below: 0,
        continuation: UNDECIDED,
        ways: 0,
        block_len: 0,
        fields_len: 0,
        block: [0; BLOCK_BYTES],
        fields: [0; BLOCK_BYTES],
    };

    /// As yet in no way. `state`: the `tracestate` of a trace that begins here, at most 24 bytes.
    pub fn new(seed: [u64; 2], sample_rate: f64, continuation: u32, state: &str) -> Self {
        let (mut block, mut fields) = ([0; BLOCK_BYTES], [0; BLOCK_BYTES]);
        let (zeros, end) = (b"00-00000000000000000000000000000000-0000000000000000-00", b"\r\n");
        let lines = [TRACEPARENT, zeros, end, ELASTIC, zeros, end, STATE, state.as_bytes(), end];
        let block_len = filled(&mut block, lines.into_iter());
        let fields_len = filled(
            &mut fields,
            FIELD_NAMES.into_iter().zip([zeros, zeros, state.as_bytes()]).flat_map(|(name, value)| {
                [&[0], LENGTHS.get(name.len()..=name.len()).unwrap_or_default(), name]
                    .into_iter()
                    .chain([LENGTHS.get(value.len()..=value.len()).unwrap_or_default(), value])
            }),
        );
        Self {
            seed,
            sampled_below: sampled_below(sample_rate),
            continuation,
            ways: 0,
            block_len,
            fields_len,
            block,
            fields,
        }
    }
}

/// Short lengths as HPACK writes them (RFC 7541, section 5.1): one byte below 127.
const LENGTHS: [u8; 127] = {
    let mut lengths = [0; 127];
    let mut length = 0;
    while length < 127 {
        lengths[length] = length as u8;
        length += 1;
    }
    lengths
};

/// Fills a block with parts; gives back how long they are.
fn filled<'a>(block: &mut [u8; BLOCK_BYTES], parts: impl Iterator<Item = &'a [u8]>) -> u32 {
    block.iter_mut().zip(parts.flatten()).map(|(to, from)| *to = *from).count() as u32
}

/// A call that was to carry the place in the trace went out on a connection whose bytes do not come by: it is older than we.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreachedBody {
    /// The connection.
    pub connection: u64,
    /// First argument of the system call that sent it: its descriptor, if it is what it seems.
    pub descriptor: u64,
}

/// [`Propagation::sampled_below`] of a part of all traces.
pub fn sampled_below(rate: f64) -> u64 {
    (rate.clamp(0.0, 1.0) * (1_u64 << 32) as f64) as u64
}

/// A trace that begins with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its id, the upper half first. Not zero.
    pub trace: [u64; 2],
    /// Decides whether it is recorded: any number below 2³².
    pub lot: u64,
}

/// The trace of a request that was begun to be handled at `time` (of the event that told of it) in a process.
pub const fn begun(seed: [u64; 2], time: u64, pid: u32, request: u64) -> Begun {
    let one = mix(seed[0] ^ time);
    // A request's number has 41 bits.
    let two = mix(one ^ request ^ (pid as u64) << 41);
    let high = mix(two ^ seed[1]);
    let low = mix(high.wrapping_add(two)) | 1;
    Begun { trace: [high, low], lot: mix(low ^ one) >> 32 }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the input changes half of the output's.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// One in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Eight hexadecimal digits in lower case, the first in the highest byte. All at once and without a branch: the verifier
/// would walk both ways of each.
pub const fn digits(number: u32) -> u64 {
    let mut nibbles = number as u64;
    nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles << 4) & (15 * ONES);
    // From ten on come the letters, 39 behind where they would be.
    nibbles + b'0' as u64 * ONES + 39 * ((nibbles + 6 * ONES) >> 4 & ONES)
}

/// The number that eight such digits are; `None`: they are none.
pub const fn number(digits: u64) -> Option<u32> {
    // Letters have the bit of 64.
    let mut nibbles = ((digits & (15 * ONES)) + 9 * (digits >> 6 & ONES)) & (15 * ONES);
    nibbles = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles >> 8) & 0x0000_ffff_0000_ffff;
    let number = (nibbles | nibbles >> 16) as u32;
    if self::digits(number) == digits { Some(number) } else { None }
}

const _: () = {
    assert!(core::mem::size_of::<Propagation>() == 424);
    assert!(STATE_VALUE + 24 + 2 <= BLOCK_BYTES);
    assert!(STATE_FIELD_LENGTH + 1 + 24 <= BLOCK_BYTES);
    assert!(digits(0x0123_89af) == u64::from_be_bytes(*b"012389af"));
    let mut byte = 0_u8;
    loop {
        let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        assert!(number(u64::from_be_bytes(*b"0123456\0") | byte as u64).is_some() == is_digit);
        assert!(number((byte as u64) << 56 | 0x30_3061_6263_6465).is_some() == is_digit);
        if byte == 255 {
            break;
        }
        byte += 1;
    }
};
