//! Offsets of structure members from BTF (Documentation/bpf/btf.rst in the kernel's sources).
//!
//! Own code because aya-obj keeps members to itself, and general BTF crates copy all 100,000 types of a kernel onto the
//! heap: this one looks up a few dozen members in place.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use super::KernelFailure;

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_FORWARD: u32 = 7;
/// Kind of the types of tracepoints.
pub const KIND_TYPEDEF: u32 = 8;
/// Kind of the functions of iterators.
pub const KIND_FUNCTION: u32 = 12;
/// Anonymous members nest a few levels; more is a malformed file.
const DEEPEST: u32 = 8;
/// Members looked at in one search, at most: a malformed file may nest a thousand members in each of a thousand.
const MOST_MEMBERS: u32 = 1 << 16;

/// A BTF file and where each of its types starts.
pub struct Btf {
    bytes: Vec<u8>,
    types: Vec<u32>,
    strings: usize,
}

/// A type's fixed part.
struct Type {
    kind: u32,
    members: usize,
    /// Member offsets share their word with a bit-field size.
    bit_fields: bool,
    first_member: usize,
    name: u32,
}

impl Btf {
    /// Indexes the types of a BTF file.
    ///
    /// # Errors
    /// When the file is not BTF of this machine's byte order, or ends early.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, KernelFailure> {
        let bad = |reason| KernelFailure::BadBtf { reason };
        let short = || bad("it ends early");
        if u16_at(&bytes, 0).ok_or_else(short)? != MAGIC {
            return Err(bad("it does not begin with BTF's magic number"));
        }
        let word = |at| u32_at(&bytes, at).map(|value| value as usize).ok_or_else(short);
        let header = word(4)?;
        let (types_start, types_length, strings) = (header + word(8)?, word(12)?, header + word(16)?);
        let mut types = vec![0];
        let mut at = types_start;
        while at < types_start + types_length {
            types.push(u32::try_from(at).map_err(|_| short())?);
            at += 12 + trailing_bytes(u32_at(&bytes, at + 4).ok_or_else(short)?).ok_or(bad("unknown kind of type"))?;
        }
        Ok(Self { bytes, types, strings })
    }

    /// Byte offset of `member` in the structure `name`, looking into anonymous members too.
    pub fn offset(&self, name: &str, member: &str) -> Option<u32> {
        self.bits(name, member).map(|bits| bits / 8)
    }

    /// Bytes of the structure `name`.
    pub fn size(&self, name: &str) -> Option<u32> {
        (1..self.types.len()).find_map(|id| {
            let found = self.read(id)?;
            let is_it = found.kind == KIND_STRUCT && found.members > 0 && self.is_named(found.name, name);
            is_it.then(|| u32_at(&self.bytes, *self.types.get(id)? as usize + 8)).flatten()
        })
    }

    /// Where a member of one bit lies in the structure `name`: byte offset, and the bit's value in that byte.
    pub fn bit(&self, name: &str, member: &str) -> Option<(u32, u32)> {
        self.bits(name, member).map(|bits| (bits / 8, 1 << (bits % 8)))
    }

    /// Offset of `member` in bits.
    fn bits(&self, name: &str, member: &str) -> Option<u32> {
        let mut left = MOST_MEMBERS;
        (1..self.types.len()).find_map(|id| {
            let found = self.read(id)?;
            let is_aggregate = found.kind == KIND_STRUCT || found.kind == KIND_UNION;
            (is_aggregate && found.members > 0 && self.is_named(found.name, name))
                .then(|| self.member(&found, member, 0, &mut left))
                .flatten()
        })
    }

    fn member(&self, aggregate: &Type, wanted: &str, depth: u32, left: &mut u32) -> Option<u32> {
        if depth > DEEPEST {
            return None;
        }
        (0..aggregate.members).find_map(|index| {
            *left = left.checked_sub(1)?;
            let at = aggregate.first_member + index * 12;
            let name = u32_at(&self.bytes, at)?;
            let bits = u32_at(&self.bytes, at + 8)?;
            let offset = if aggregate.bit_fields { bits & 0x00ff_ffff } else { bits };
            if name != 0 {
                return self.is_named(name, wanted).then_some(offset);
            }
            let inner = self.read(usize::try_from(u32_at(&self.bytes, at + 4)?).ok()?)?;
            let is_aggregate = inner.kind == KIND_STRUCT || inner.kind == KIND_UNION;
            is_aggregate.then(|| self.member(&inner, wanted, depth + 1, left)).flatten()?.checked_add(offset)
        })
    }

    /// A BTF file in which nothing has a name but the types `wanted` of `kind`, which have their number: for aya, which
    /// looks up the numbers of tracepoints and iterators in it and would take tens of megabytes for the whole. `None`
    /// when one is missing.
    pub fn only(&self, wanted_kind: u32, wanted: &[&str]) -> Option<Vec<u8>> {
        let word = |value: usize| u32::try_from(value).ok().map(u32::to_ne_bytes);
        let mut strings = vec![0];
        let mut named = Vec::new();
        for &name in wanted {
            let is_it = |found: &Type| found.kind == wanted_kind && self.is_named(found.name, name);
            let id = (1..self.types.len()).find(|&id| self.read(id).as_ref().is_some_and(is_it))?;
            named.push((id, strings.len()));
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        let mut types = Vec::new();
        for id in 1..=named.iter().map(|(id, _)| *id).max()? {
            let name = named.iter().find(|(known, _)| *known == id).map(|(_, name)| *name);
            let kind = if name.is_some() { wanted_kind } else { KIND_FORWARD };
            types.extend([word(name.unwrap_or(0))?, (kind << 24).to_ne_bytes(), [0; 4]].concat());
        }
        let lengths = [word(24)?, word(0)?, word(types.len())?, word(types.len())?, word(strings.len())?];
        Some([self.bytes.get(..4)?, &lengths.concat()[..], &types, &strings].concat())
    }

    fn read(&self, id: usize) -> Option<Type> {
        let at = *self.types.get(id)? as usize;
        let info = u32_at(&self.bytes, at + 4)?;
        Some(Type {
            kind: (info >> 24) & 0x1f,
            members: (info & 0xffff) as usize,
            bit_fields: info >> 31 == 1,
            first_member: at + 12,
            name: u32_at(&self.bytes, at)?,
        })
    }

    fn is_named(&self, name: u32, wanted: &str) -> bool {
        self.bytes
            .get(self.strings + name as usize..)
            .and_then(|rest| rest.strip_prefix(wanted.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Bytes after a type's fixed 12, by kind.
fn trailing_bytes(info: u32) -> Option<usize> {
    let members = (info & 0xffff) as usize;
    Some(match (info >> 24) & 0x1f {
        2 | 7..=12 | 16 | 18 => 0, // pointer, forward, typedef, qualifiers, function, float, type tag
        1 | 14 | 17 => 4,          // integer, variable, declaration tag
        3 => 12,                   // array
        4 | 5 | 15 | 19 => members * 12, // struct, union, data section, 64-bit enumeration
        6 | 13 => members * 8,     // enumeration, function prototype
        _ => return None,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_refused() {
        assert!(Btf::parse(vec![1, 2, 3]).is_err());
        assert!(
            Btf::parse(vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err()
        );
    }

    #[test]
    fn offsets_that_add_up_to_too_much_are_none() {
        // Structure `a` has two members as far away as can be: one without a name that is `a` itself, and `b`.
        let word = |value: u32| value.to_ne_bytes();
        let header = [word(0x0001_eb9f), word(24), word(0), word(36), word(36), word(5)].concat();
        let members = [word(0), word(1), word(u32::MAX), word(3), word(1), word(u32::MAX)].concat();
        let structure = [word(1), word(0x0400_0002), word(8)].concat();
        let btf = Btf::parse([&header[..], &structure, &members, b"\0a\0b\0"].concat()).expect("well formed");
        assert_eq!(btf.offset("a", "b"), Some(u32::MAX / 8), "the one whose offset is a number");
    }

    #[test]
    fn the_running_kernels_members_are_found() {
        let btf = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux").expect("this machine has BTF")).expect("valid");
        assert_eq!(btf.offset("sock_common", "skc_daddr"), Some(0), "in an anonymous union in an anonymous struct");
        assert!(btf.offset("task_struct", "tgid").is_some_and(|tgid| tgid > 0));
        assert_eq!(btf.offset("task_struct", "no_such_member"), None);
        assert!(btf.bit("sock", "sk_kern_sock").is_some_and(|(byte, bit)| byte > 0 && bit.is_power_of_two()));
        assert_eq!(btf.offset("no_such_struct", "x"), None);
        assert!(btf.size("k_sigaction").is_some_and(|bytes| bytes >= 24 && bytes % 8 == 0));
        assert_eq!(btf.size("no_such_struct"), None);
    }

    #[test]
    fn a_type_keeps_its_number_alone() {
        let bytes = std::fs::read("/sys/kernel/btf/vmlinux").expect("this machine has BTF");
        let btf = Btf::parse(bytes).expect("valid");
        let names = ["btf_trace_sched_process_exec", "btf_trace_sched_process_exit"];
        let alone = Btf::parse(btf.only(KIND_TYPEDEF, &names).expect("both are there")).expect("valid");
        for name in names {
            let id = |btf: &Btf| {
                (1..btf.types.len()).find(|&id| {
                    btf.read(id).is_some_and(|found| found.kind == KIND_TYPEDEF && btf.is_named(found.name, name))
                })
            };
            assert_eq!(id(&alone), id(&btf));
        }
        assert_eq!(btf.only(KIND_TYPEDEF, &["btf_trace_no_such"]), None);
    }
}
