//! `/proc/PID/stat` and `/proc/PID/status` (proc_pid_stat(5), proc_pid_status(5)).

/// What `stat` says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Command name, at most 15 bytes; a process may change it.
    pub name: String,
    /// One letter; `Z` is a zombie.
    pub state: char,
    /// Parent's process id.
    pub parent: u32,
    /// `PF_…` flags of the kernel.
    pub flags: u32,
    /// CPU time of all its threads in user mode, also of those that have ended, clock ticks.
    pub user_ticks: u64,
    /// The same in the kernel.
    pub system_ticks: u64,
    /// Start time in clock ticks since boot: with the process id it identifies the process.
    pub start_ticks: u64,
}

/// `PF_KTHREAD` of include/linux/sched.h.
const KERNEL_THREAD: u32 = 0x0020_0000;

impl Stat {
    /// Reads the file. The name stands in parentheses and may itself hold parentheses, so the last one counts.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, rest) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Field 3 (state) is the first after the name.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            name: name.to_string(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
            flags: field(9)?.parse().ok()?,
            user_ticks: field(14)?.parse().ok()?,
            system_ticks: field(15)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
        })
    }

    /// The process is a thread of the kernel.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// Ended, and not yet waited for.
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

/// What `status` says of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Process id in the process's own, innermost pid namespace.
    pub pid_inside: Option<u32>,
    /// Effective user.
    pub user: Option<u32>,
    /// Effective capabilities, bit by number.
    pub capabilities: u64,
    /// Signals with a handler, bit by number from 1 on.
    pub caught: u64,
    /// Signals the first thread blocks.
    pub blocked: u64,
    /// Virtual memory, bytes. A zombie has none.
    pub size: Option<u64>,
    /// Resident memory, bytes. More exact than field 24 of `stat`, which lags behind by some pages on each CPU.
    pub resident: Option<u64>,
}

impl Status {
    /// Reads the file; what is missing stays unknown.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let word = |name, index| field(name)?.split_ascii_whitespace().nth(index);
        let bits = |name| word(name, 0).and_then(|bits| u64::from_str_radix(bits, 16).ok()).unwrap_or_default();
        let bytes = |name| word(name, 0)?.parse::<u64>().ok()?.checked_mul(1024);
        Self {
            pid_inside: field("NSpid").and_then(|ids| ids.split_ascii_whitespace().last()?.parse().ok()),
            user: word("Uid", 1).and_then(|id| id.parse().ok()),
            capabilities: bits("CapEff"),
            caught: bits("SigCgt"),
            blocked: bits("SigBlk"),
            size: bytes("VmSize"),
            resident: bytes("VmRSS"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_may_hold_anything() {
        let line = b"42 (x) S 1 (y) R 7 1 1 0 -1 2097216 0 0 0 0 11 12 0 0 20 0 1 0 123456 0 0 18446744073709551615\n";
        let stat = Stat::parse(line).expect("valid");
        assert_eq!((stat.name.as_str(), stat.state, stat.parent, stat.start_ticks), ("x) S 1 (y", 'R', 7, 123_456));
        assert!(stat.is_kernel_thread());
        assert_eq!((stat.user_ticks, stat.system_ticks), (11, 12));
        for wrong in [&b""[..], b"1 (", b"1 (x) S", b"1 (x) S 1 1 1 1 1 x", b"\xff\xff)"] {
            assert_eq!(Stat::parse(wrong), None);
        }
    }

    #[test]
    fn status_has_the_innermost_pid() {
        let text = b"Name:\tx\nUid:\t1000\t1001\t1000\t1000\nNSpid:\t4711\t12\t1\nSigBlk:\t0000000000000200\nSigCgt:\t0000000180004002\nCapEff:\t000001fffeffffff\n";
        let expected = Status {
            pid_inside: Some(1),
            user: Some(1001),
            capabilities: 0x1ff_feff_ffff,
            caught: 0x1_8000_4002,
            blocked: 0x200,
            ..Status::default()
        };
        assert_eq!(Status::parse(text), expected);
        let memory = Status::parse(b"VmSize:\t    3000 kB\nVmRSS:\t2 kB\n");
        assert_eq!((memory.size, memory.resident), (Some(3_072_000), Some(2048)));
        assert_eq!(Status::parse(b"VmSize:\t18446744073709551615 kB\nVmRSS: -1 kB\n"), Status::default());
        assert_eq!(Status::parse(b"\xff\nUid\nNSpid:\n"), Status::default());
    }

    proptest::proptest! {
        /// Every reader of this folder takes any bytes.
        #[test]
        fn readers_take_anything(bytes: Vec<u8>, text in "[ :0-9A-F/a-z()\\n=,%-]{0,400}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let _ = (Stat::parse(bytes), Status::parse(bytes));
                let _ = crate::process::Environ::parse(bytes).resource_attribute("a");
                let lossy = String::from_utf8_lossy(bytes);
                let _ = crate::process::ListenTable::parse(bytes, bytes);
                let _ = crate::metadata::container::discover(&lossy, &lossy);
            }
        }
    }
}
