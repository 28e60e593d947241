//! Where files lie in a process's memory (`/proc/PID/maps`, proc(5)).

use std::os::unix::ffi::OsStrExt as _;

use super::Process;

impl Process {
    /// Address at which the byte at `offset` of the executable's file lies.
    pub fn address_of(&self, offset: u64) -> Option<u64> {
        let executable = std::fs::read_link(self.root.join("exe")).ok()?;
        address(&self.read("maps", 4 * super::LARGE)?, executable.as_os_str().as_bytes(), offset)
    }
}

fn address(maps: &[u8], executable: &[u8], wanted: u64) -> Option<u64> {
    maps.split(|byte| *byte == b'\n').find_map(|line| {
        let path = line.iter().position(|byte| *byte == b'/')?;
        let (head, path) = line.split_at_checked(path)?;
        if path != executable {
            return None;
        }
        let mut words = str::from_utf8(head).ok()?.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let (start, end) = (hexadecimal(start)?, hexadecimal(end)?);
        let offset = hexadecimal(words.nth(1)?)?;
        let inside = wanted.checked_sub(offset)?;
        let address = start.checked_add(inside)?;
        (address < end).then_some(address)
    })
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Proc;

    #[test]
    fn finds_the_mapping_that_has_the_byte() {
        let maps = b"00400000-00500000 r--p 00000000 08:01 7  /app/a\n\
                     00500000-00600000 r-xp 00100000 08:01 7  /app/a b\n\
                     00700000-00800000 r-xp 00100000 08:01 7  /app/a\n\
                     7ff000000000-7ff000001000 rw-p 00000000 00:00 0 \n";
        assert_eq!(address(maps, b"/app/a", 0x10), Some(0x40_0010));
        assert_eq!(address(maps, b"/app/a", 0x10_0010), Some(0x70_0010));
        assert_eq!(address(maps, b"/app/a b", 0x10_0010), Some(0x50_0010));
        assert_eq!(address(maps, b"/app/a", 0x20_0000), None);
        assert_eq!(address(maps, b"/app", 0x10), None);
        assert_eq!(address(b"x /app/a\n/app/a", b"/app/a", 0), None);
    }

    #[test]
    fn finds_our_own_header() {
        let own = Proc::default().process(std::process::id()).expect("ourselves");
        let address = own.address_of(0).expect("mapped");
        assert_eq!(address % 4096, 0);
        assert_eq!(own.address_of(u64::MAX), None);
    }
}
