//! What parsers carry for us with each chunk of bytes.

/// Bits of a thread's number: the kernel gives none above 4,194,304 (`PID_MAX_LIMIT`).
const THREAD_BITS: u32 = 22;

/// The thread that moved a chunk, whether an event loop watches its socket, and for which request it went out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The thread.
    pub tid: u32,
    /// The socket is registered with an epoll instance.
    pub polled: bool,
    /// The request, by the run time's word, less than 2⁴¹; 0: it said nothing.
    pub owner: u64,
}

impl Mark {
    /// As a parser carries it.
    pub fn pack(self) -> u64 {
        u64::from(self.tid) | u64::from(self.polled) << THREAD_BITS | self.owner << (THREAD_BITS + 1)
    }

    /// From what a parser carried.
    pub fn unpack(mark: u64) -> Self {
        Self {
            tid: (mark & ((1 << THREAD_BITS) - 1)) as u32,
            polled: mark >> THREAD_BITS & 1 != 0,
            owner: mark >> (THREAD_BITS + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_as_they_were() {
        for mark in [
            Mark::default(),
            Mark { tid: 4_194_303, polled: true, owner: (1 << 41) - 1 },
            Mark { tid: 1, polled: false, owner: 1 },
        ] {
            assert_eq!(Mark::unpack(mark.pack()), mark);
        }
    }
}
