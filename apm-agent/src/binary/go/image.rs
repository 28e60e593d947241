//! A program's memory as its file lays it out: addresses of the file, bytes read when asked for, pointers relocated.
//!
//! Files are never mapped (a file that is cut while we read it must not kill the agent): pages come by `pread` and stay
//! until [`Image::forget`], so that what is kept of a binary costs little and can still answer everything.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use object::{Object, ObjectSegment, SegmentFlags, elf};

use super::super::Parsed;

/// Bytes read at once.
const PAGE: u64 = 256 << 10;

/// Bytes held at most; a file that needs more is not read further.
const MOST_HELD: usize = 512 << 20;

/// Segments looked at.
const MOST_SEGMENTS: usize = 64;

/// Relocations applied at most: a pointer each.
const MOST_RELOCATIONS: u64 = 4 << 20;

/// Size of an entry of `DT_RELA` (ELF64).
const RELA: usize = 24;

/// What was read of a page: nothing when it cannot be read.
type Page = OnceLock<Option<Box<[u8]>>>;

/// A loadable segment.
#[derive(Debug)]
struct Segment {
    address: u64,
    /// Place in the file.
    offset: u64,
    /// Bytes in the file.
    size: u64,
    is_writable: bool,
    pages: Vec<Page>,
}

/// A pointer that the loader adjusts.
#[derive(Clone, Copy, Debug)]
struct Relocation {
    address: u64,
    value: u64,
}

/// The segments of an ELF file.
#[derive(Debug)]
pub(super) struct Image {
    file: Arc<File>,
    segments: Vec<Segment>,
    /// In order of address.
    relocations: Arc<[Relocation]>,
    held: AtomicUsize,
}

impl Image {
    /// Of a file that `parsed` describes. `None` when its size or dynamic table cannot be read.
    pub(super) fn new(file: File, parsed: &Parsed) -> Option<Self> {
        let length = file.metadata().ok()?.len();
        let segments = parsed.segments().take(MOST_SEGMENTS).filter_map(|segment| Segment::new(&segment, length));
        let mut image = Self {
            file: Arc::new(file),
            segments: segments.collect(),
            relocations: Arc::default(),
            held: AtomicUsize::default(),
        };
        image.relocations = image.read_relocations(parsed).unwrap_or_default().into();
        Some(image)
    }

    /// The same, with nothing read yet.
    pub(super) fn another(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            segments: self.segments.iter().map(Segment::another).collect(),
            relocations: Arc::clone(&self.relocations),
            held: AtomicUsize::default(),
        }
    }

    /// Lets go of every byte; what is asked for later is read again.
    pub(super) fn forget(&mut self) {
        for page in self.segments.iter_mut().flat_map(|segment| &mut segment.pages) {
            *page = Page::new();
        }
        self.held = AtomicUsize::default();
    }

    /// Place in the file of an address.
    pub(super) fn file_offset(&self, address: u64) -> Option<u64> {
        let segment = self.segment(address)?;
        Some(segment.offset + (address - segment.address))
    }

    /// The bytes from an address on, at least one, up to where a page ends.
    pub(super) fn run(&self, address: u64) -> Option<&[u8]> {
        let segment = self.segment(address)?;
        let place = address - segment.address;
        let page = segment.pages.get(usize::try_from(place / PAGE).ok()?)?;
        let bytes = page.get_or_init(|| self.load(segment, place / PAGE * PAGE)).as_deref()?;
        bytes.get(usize::try_from(place % PAGE).ok()?..).filter(|run| !run.is_empty())
    }

    /// Fills `bytes` from an address on.
    pub(super) fn read(&self, mut address: u64, mut bytes: &mut [u8]) -> Option<()> {
        while !bytes.is_empty() {
            let run = self.run(address)?;
            let length = run.len().min(bytes.len());
            let (now, later) = bytes.split_at_mut(length);
            now.copy_from_slice(run.get(..length)?);
            address = address.checked_add(length as u64)?;
            bytes = later;
        }
        Some(())
    }

    /// The bytes of a structure of fixed size.
    pub(super) fn array<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.read(address, &mut bytes)?;
        Some(bytes)
    }

    /// At most `length` bytes, less where the segment ends.
    pub(super) fn bytes(&self, address: u64, length: u64) -> Option<Vec<u8>> {
        let segment = self.segment(address)?;
        let length = length.min(segment.size - (address - segment.address));
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.read(address, &mut bytes)?;
        Some(bytes)
    }

    pub(super) fn u8(&self, address: u64) -> Option<u8> {
        self.array::<1>(address).map(|[byte]| byte)
    }

    pub(super) fn u16(&self, address: u64) -> Option<u16> {
        self.array(address).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, address: u64) -> Option<u32> {
        self.array(address).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, address: u64) -> Option<u64> {
        self.array(address).map(u64::from_le_bytes)
    }

    /// Appends the text up to a zero byte, at most `most` bytes of it.
    pub(super) fn zero_ended(&self, mut address: u64, most: usize, text: &mut Vec<u8>) -> Option<()> {
        let most = text.len() + most;
        loop {
            let run = self.run(address)?;
            let run = run.get(..run.len().min(most - text.len())).unwrap_or(run);
            if let Some(end) = memchr::memchr(0, run) {
                text.extend_from_slice(run.get(..end)?);
                return Some(());
            }
            text.extend_from_slice(run);
            if text.len() >= most {
                return Some(());
            }
            address = address.checked_add(run.len() as u64)?;
        }
    }

    /// First address, a multiple of `align`, where `pattern` stands and `accept` agrees.
    pub(super) fn find(
        &self,
        pattern: &[u8],
        align: u64,
        is_writable: bool,
        accept: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let mut window = Vec::new();
        for segment in self.segments.iter().filter(|segment| segment.is_writable || !is_writable) {
            let mut place = 0;
            while place < segment.size {
                let length = (segment.size - place).min(PAGE + pattern.len() as u64);
                window.clear();
                window.resize(usize::try_from(length).ok()?, 0);
                if self.read(segment.address + place, &mut window).is_none() {
                    break;
                }
                let start = segment.address + place;
                let found = memchr::memmem::find_iter(&window, pattern).map(|at| start + at as u64);
                if let Some(found) = found.filter(|address| address % align == 0).find(|address| accept(*address)) {
                    return Some(found);
                }
                place += PAGE;
            }
        }
        None
    }

    fn segment(&self, address: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| address.wrapping_sub(segment.address) < segment.size)
    }

    fn load(&self, segment: &Segment, place: u64) -> Option<Box<[u8]>> {
        let length = usize::try_from((segment.size - place).min(PAGE)).ok()?;
        if self.held.fetch_add(length, Ordering::Relaxed) > MOST_HELD {
            return None;
        }
        let mut bytes = vec![0; length].into_boxed_slice();
        self.file.read_exact_at(&mut bytes, segment.offset + place).ok()?;
        self.relocate(segment.address + place, &mut bytes);
        Some(bytes)
    }

    fn relocate(&self, start: u64, bytes: &mut [u8]) {
        let first = self.relocations.partition_point(|relocation| relocation.address.saturating_add(8) <= start);
        let end = start + bytes.len() as u64;
        for relocation in self.relocations.iter().skip(first).take_while(|relocation| relocation.address < end) {
            for (address, byte) in (relocation.address..).zip(relocation.value.to_le_bytes()) {
                let place = address.checked_sub(start).and_then(|place| usize::try_from(place).ok());
                if let Some(held) = place.and_then(|place| bytes.get_mut(place)) {
                    *held = byte;
                }
            }
        }
    }

    /// The relative relocations with addends (PIE). Those of `DT_RELR` have their values in place, and others name
    /// symbols of other files.
    fn read_relocations(&mut self, parsed: &Parsed) -> Option<Vec<Relocation>> {
        let object::File::Elf64(file) = parsed else { return None };
        let table = file.elf_dynamic_table().ok()?;
        let entry = |tag| table.iter().find(|entry| entry.tag == tag).map(|entry| entry.val);
        let (start, size) = (entry(elf::DT_RELA)?, entry(elf::DT_RELASZ)?);
        let size = size.min(MOST_RELOCATIONS * RELA as u64);
        let bytes = self.bytes(start, size)?;
        self.forget();
        let mut relocations: Vec<_> = bytes.chunks_exact(RELA).filter_map(Relocation::read).collect();
        relocations.sort_by_key(|relocation| relocation.address);
        Some(relocations)
    }
}

impl Segment {
    fn another(&self) -> Self {
        Self { pages: self.pages.iter().map(|_| Page::new()).collect(), ..*self }
    }

    fn new<'data>(segment: &impl ObjectSegment<'data>, length: u64) -> Option<Self> {
        let SegmentFlags::Elf { p_flags, .. } = segment.flags() else { return None };
        let (offset, size) = segment.file_range();
        let size = size.min(length.checked_sub(offset)?);
        // Past this, addresses would wrap around.
        let address = segment.address();
        address.checked_add(size)?.checked_add(PAGE)?;
        let pages = (0..size.div_ceil(PAGE)).map(|_| Page::new()).collect();
        Some(Self { address, offset, size, is_writable: p_flags.0 & elf::PF_W.0 != 0, pages })
    }
}

impl Relocation {
    fn read(entry: &[u8]) -> Option<Self> {
        let word = |place: usize| Some(u64::from_le_bytes(entry.get(place..place + 8)?.try_into().ok()?));
        let kind = (word(8)? & 0xffff_ffff) as u32;
        let is_relative = kind == elf::R_X86_64_RELATIVE.0 || kind == elf::R_AARCH64_RELATIVE.0;
        Some(Self { address: word(0)?, value: word(16)? }).filter(|_| is_relative)
    }
}

/// Bytes one after another from an address on.
#[derive(Debug)]
pub(super) struct Cursor<'image> {
    image: &'image Image,
    run: &'image [u8],
    /// Where the run ends.
    end: u64,
}

impl<'image> Cursor<'image> {
    pub(super) fn new(image: &'image Image, address: u64) -> Self {
        Self { image, run: &[], end: address }
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        if self.run.is_empty() {
            self.run = self.image.run(self.end)?;
            self.end = self.end.checked_add(self.run.len() as u64)?;
        }
        let (byte, rest) = self.run.split_first()?;
        self.run = rest;
        Some(*byte)
    }

    /// A number of up to 32 bits in groups of seven, the lowest first.
    pub(super) fn varint(&mut self) -> Option<u32> {
        let mut number = 0_u32;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Where the next byte is.
    pub(super) fn address(&self) -> u64 {
        self.end - self.run.len() as u64
    }
}
