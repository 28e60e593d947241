//! The table of functions and lines, `pclntab`: `runtime/symtab.go` and `cmd/link/internal/ld/pcln.go` of Go.

use super::image::{Cursor, Image};

/// Sections it lies in; the second in position-independent programs up to Go 1.25.
const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];

/// Functions of a program at most.
const MOST_FUNCTIONS: u64 = 4 << 20;

/// Longest name or path.
const LONGEST_NAME: usize = 4096;

/// Steps of a table of values at most: a function of 16 MiB with a step for every second byte.
const MOST_STEPS: usize = 8 << 20;

/// `PCDATA_InlTreeIndex`: place of an address in the function's inline tree.
const INLINE_INDEX: u64 = 2;

/// `FUNCDATA_InlTree`: the inline tree.
const INLINE_TREE: u64 = 3;

/// How the table is laid out, by the version of Go that changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// 1.16 and 1.17.
    Go116,
    /// 1.18 and 1.19: addresses became offsets from the start of the code.
    Go118,
    /// 1.20 on: the line a function starts at was added.
    Go120,
}

/// Where the table and its parts are.
#[derive(Clone, Debug)]
pub(super) struct LineTable {
    pub(super) address: u64,
    pub(super) layout: Layout,
    /// Instructions are this long at least: the unit of addresses in tables of values.
    quantum: u64,
    pub(super) count: u32,
    /// Names of functions.
    pub(super) names: u64,
    /// Indexes of files, by compilation unit.
    units: u64,
    files: u64,
    values: u64,
    /// Entries of functions and where their records are.
    pub(super) functions: u64,
}

/// A function's place in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Address of the function.
    pub(super) start: u64,
    /// Address of the next.
    pub(super) end: u64,
    /// Address of its record, `_func`.
    record: u64,
}

/// What the record of a function says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    files: u32,
    lines: u32,
    unit: u32,
    inline_index: u32,
    inline_tree: Option<u64>,
}

/// What is known of the code beside the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    /// Start of the code.
    pub(super) text: u64,
    /// Start of the functions' data; none before 1.18.
    pub(super) data: u64,
}

/// A call that was inlined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inlined {
    /// Name of the function, by its offset.
    pub(super) name: u32,
    /// Offset in the function around it where it was called.
    pub(super) parent: u32,
}

impl LineTable {
    /// Finds the table: by its section, else by how it begins.
    pub(super) fn find(image: &Image, section: impl Fn(&str) -> Option<u64>) -> Option<Self> {
        let named = SECTIONS.into_iter().filter_map(section).find_map(|address| Self::read(image, address));
        named.or_else(|| {
            [0xfa, 0xf0, 0xf1].into_iter().find_map(|magic| {
                let start = [magic, 0xff, 0xff, 0xff, 0, 0];
                let address = image.find(&start, 8, false, |address| Self::read(image, address).is_some())?;
                Self::read(image, address)
            })
        })
    }

    fn read(image: &Image, address: u64) -> Option<Self> {
        let [first, a, b, c, 0, 0, quantum, 8] = image.array(address)? else { return None };
        let layout = match (first, [a, b, c]) {
            (0xfa, [0xff, 0xff, 0xff]) => Layout::Go116,
            (0xf0, [0xff, 0xff, 0xff]) => Layout::Go118,
            (0xf1, [0xff, 0xff, 0xff]) => Layout::Go120,
            _ => return None,
        };
        // Counts of functions and files, from 1.18 on the start of the code, then the offsets of the parts.
        let parts = if layout == Layout::Go116 { 24 } else { 32 };
        let part = |index: u64| image.u64(address + parts + 8 * index).and_then(|offset| address.checked_add(offset));
        let count = image.u64(address + 8)?;
        let is_plausible = matches!(quantum, 1 | 2 | 4) && (1..=MOST_FUNCTIONS).contains(&count);
        let table = Self {
            address,
            layout,
            quantum: quantum.into(),
            count: u32::try_from(count).ok()?,
            names: part(0)?,
            units: part(1)?,
            files: part(2)?,
            values: part(3)?,
            functions: part(4)?,
        };
        is_plausible.then_some(table)
    }

    /// A function's place by its index.
    pub(super) fn entry(&self, image: &Image, code: Code, index: u32) -> Option<Entry> {
        let index = u64::from(index);
        let (start, record, end) = if self.layout == Layout::Go116 {
            let [start, record, end] = words::<24, 3>(image, self.functions.checked_add(16 * index)?)?;
            (start, record, end)
        } else {
            let bytes: [u8; 12] = image.array(self.functions.checked_add(8 * index)?)?;
            let [start, record, end] = halves(&bytes)?;
            let address = |offset: u32| code.text.checked_add(offset.into());
            (address(start)?, record.into(), address(end)?)
        };
        Some(Entry { start, end, record: self.functions.checked_add(record)? })
    }

    /// The function that has this address, by its index.
    pub(super) fn index_at(&self, image: &Image, code: Code, address: u64) -> Option<u32> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(image, code, middle)?.start <= address { low = middle + 1 } else { high = middle }
        }
        let index = low.checked_sub(1)?;
        (address < self.entry(image, code, index)?.end).then_some(index)
    }

    /// Appends the name of a function.
    pub(super) fn name_of(&self, image: &Image, entry: &Entry, name: &mut Vec<u8>) -> Option<()> {
        let place = if self.layout == Layout::Go116 { 8 } else { 4 };
        let offset = image.u32(entry.record.checked_add(place)?)?;
        self.name(image, offset, name)
    }

    /// Appends the name at an offset.
    pub(super) fn name(&self, image: &Image, offset: u32, name: &mut Vec<u8>) -> Option<()> {
        image.zero_ended(self.names.checked_add(offset.into())?, LONGEST_NAME, name)
    }

    /// Reads a function's record.
    pub(super) fn record(&self, image: &Image, code: Code, entry: &Entry) -> Option<Record> {
        // Before 1.18 the record begins with an address, from 1.20 on the line it starts at comes before the last four.
        let (first, fixed) = match self.layout {
            Layout::Go116 => (24, 44),
            Layout::Go118 => (20, 40),
            Layout::Go120 => (20, 44),
        };
        let bytes: [u8; 16] = image.array(entry.record.checked_add(first)?)?;
        let [files, lines, tables, unit] = halves(&bytes)?;
        let data_count = image.u8(entry.record.checked_add(fixed - 1)?)?;
        let tables_start = entry.record.checked_add(fixed)?;
        let data = tables_start.checked_add(4 * u64::from(tables))?;
        let has_index = u64::from(tables) > INLINE_INDEX;
        Some(Record {
            files,
            lines,
            unit,
            inline_index: if has_index { image.u32(tables_start + 4 * INLINE_INDEX)? } else { 0 },
            inline_tree: if u64::from(data_count) > INLINE_TREE { self.inline_tree(image, code, data) } else { None },
        })
    }

    fn inline_tree(&self, image: &Image, code: Code, data: u64) -> Option<u64> {
        if self.layout == Layout::Go116 {
            return image
                .u64(data.checked_next_multiple_of(8)?.checked_add(8 * INLINE_TREE)?)
                .filter(|tree| *tree != 0);
        }
        let offset = image.u32(data.checked_add(4 * INLINE_TREE)?)?;
        if offset == u32::MAX { None } else { code.data.checked_add(offset.into()) }
    }

    /// The call at `index` of a function's inline tree.
    pub(super) fn inlined(&self, image: &Image, record: &Record, index: u32) -> Option<Inlined> {
        let (size, name) = if self.layout == Layout::Go120 { (16, 4) } else { (20, 12) };
        let call = record.inline_tree?.checked_add(size * u64::from(index))?;
        let bytes: [u8; 8] = image.array(call.checked_add(name)?)?;
        let [name, parent] = halves(&bytes)?;
        Some(Inlined { name, parent })
    }

    /// How many calls a function's inline tree has; `budget` is lowered by the steps it took to know.
    pub(super) fn inlined_count(&self, image: &Image, record: &Record, budget: &mut usize) -> u32 {
        if record.inline_tree.is_none() || record.inline_index == 0 {
            return 0;
        }
        let mut most = -1;
        for (value, _) in self.steps(image, record.inline_index).take(*budget) {
            *budget -= 1;
            most = most.max(value);
        }
        u32::try_from(most + 1).unwrap_or_default()
    }

    /// Place in the inline tree of an address `offset` bytes into a function.
    pub(super) fn inline_index(&self, image: &Image, record: &Record, offset: u64) -> Option<u32> {
        record.inline_tree?;
        self.value(image, record.inline_index, offset)
    }

    /// Line of an address `offset` bytes into a function.
    pub(super) fn line(&self, image: &Image, record: &Record, offset: u64) -> Option<u32> {
        self.value(image, record.lines, offset)
    }

    /// Path of the file of an address `offset` bytes into a function.
    pub(super) fn file(&self, image: &Image, record: &Record, offset: u64) -> Option<String> {
        let index = self.value(image, record.files, offset)?;
        let place = 4 * (u64::from(record.unit) + u64::from(index));
        let offset = image.u32(self.units.checked_add(place)?)?;
        let mut path = Vec::new();
        image.zero_ended(self.files.checked_add(offset.into())?, LONGEST_NAME, &mut path)?;
        Some(String::from_utf8_lossy(&path).into_owned())
    }

    fn value(&self, image: &Image, table: u32, offset: u64) -> Option<u32> {
        let mut end = 0_u64;
        if table == 0 {
            return None;
        }
        for (value, length) in self.steps(image, table) {
            end = end.checked_add(u64::from(length) * self.quantum)?;
            if offset < end {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    /// The values of a table, each with the length of code that has it.
    fn steps<'image>(&self, image: &'image Image, table: u32) -> impl Iterator<Item = (i32, u32)> + 'image {
        let mut cursor = Cursor::new(image, self.values.saturating_add(table.into()));
        let mut value = -1_i32;
        let mut is_first = true;
        let step = move || {
            let change = cursor.varint()?;
            if change == 0 && !is_first {
                return None;
            }
            is_first = false;
            // Zigzag: the sign is the lowest bit.
            let change = (change >> 1).cast_signed() ^ -(change & 1).cast_signed();
            value = value.wrapping_add(change);
            Some((value, cursor.varint()?))
        };
        std::iter::from_fn(step).take(MOST_STEPS)
    }
}

/// 32-bit words one after another.
fn halves<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    for (number, word) in numbers.iter_mut().zip(bytes.chunks_exact(4)) {
        *number = u32::from_le_bytes(word.try_into().ok()?);
    }
    Some(numbers)
}

/// 64-bit words one after another.
fn words<const BYTES: usize, const N: usize>(image: &Image, address: u64) -> Option<[u64; N]> {
    let bytes: [u8; BYTES] = image.array(address)?;
    let mut numbers = [0; N];
    for (number, word) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
        *number = u64::from_le_bytes(word.try_into().ok()?);
    }
    Some(numbers)
}
