//! The functions of a program, by name and by address.

use super::{
    image::Image,
    names,
    pclntab::{Code, Entry, LineTable},
};

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Import path and name, such as `net/http.(*conn).serve`.
    pub name: String,
    /// Address of its first instruction, as the file lays it out.
    pub entry: u64,
    /// Address of the next function; padding may lie before it.
    pub end: u64,
}

/// Functions by the keys of their names.
#[derive(Debug)]
pub(super) struct FunctionIndex {
    /// Key of the name, and index in the table.
    by_name: Vec<(u64, u32)>,
}

impl FunctionIndex {
    /// Reads all names.
    pub(super) fn build(table: &Table) -> Self {
        let key = |index: u32| {
            let name = table.name(&table.entry(index)?)?;
            Some((names::key(&names::plain(&name)), index))
        };
        let mut by_name: Vec<_> = (0..table.lines.count).filter_map(key).collect();
        by_name.sort_unstable();
        Self { by_name }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.by_name.len()
    }

    /// The functions of this name; one with the very name before those where only one side tells a major version.
    pub(super) fn find(&self, table: &Table, name: &str) -> Vec<Function> {
        let asked = names::plain(name);
        let key = names::key(&asked);
        let start = self.by_name.partition_point(|(other, _)| *other < key);
        let equal = self.by_name.iter().skip(start).take_while(|(other, _)| *other == key);
        let mut found: Vec<_> = equal.filter_map(|(_, index)| table.function(*index)).collect();
        found.retain(|function| names::same(&asked, &function.name));
        found.sort_by_key(|function| function.name != asked);
        found
    }
}

/// The table with what is needed to read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'image> {
    pub(super) image: &'image Image,
    pub(super) lines: &'image LineTable,
    pub(super) code: Code,
}

impl Table<'_> {
    pub(super) fn entry(&self, index: u32) -> Option<Entry> {
        self.lines.entry(self.image, self.code, index)
    }

    pub(super) fn function(&self, index: u32) -> Option<Function> {
        let entry = self.entry(index)?;
        let name = names::plain(&self.name(&entry)?).into_owned();
        Some(Function { name, entry: entry.start, end: entry.end })
    }

    /// Name of a function as the table has it.
    pub(super) fn name(&self, entry: &Entry) -> Option<String> {
        let mut name = Vec::new();
        self.lines.name_of(self.image, entry, &mut name)?;
        Some(text(name))
    }

    /// Name at an offset, as the table has it.
    pub(super) fn name_at(&self, offset: u32) -> Option<String> {
        let mut name = Vec::new();
        self.lines.name(self.image, offset, &mut name)?;
        Some(text(name))
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
