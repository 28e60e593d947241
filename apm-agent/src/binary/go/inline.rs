//! Calls that were inlined: who has copies of a function, and which functions an address is in.

use std::collections::HashMap;

use super::{functions::Table, names};

/// Steps of tables read at most to find all inlined calls of a program.
const MOST_STEPS: usize = 256 << 20;

/// Calls inlined into one another at most.
const DEEPEST: usize = 64;

/// A function that an address is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Import path and name as Go prints it, such as `net/http.(*conn).serve`; `[...]` for arguments of types.
    pub function: String,
    /// File as the compiler was given it, shortened by `-trimpath`; empty when unknown.
    pub file: String,
    /// Line, from 1 on; 0 when unknown.
    pub line: u32,
    /// The function was inlined into the frame after this one.
    pub is_inlined: bool,
}

/// How many functions have copies of others.
#[derive(Debug)]
pub(super) struct InlineIndex {
    /// Key and offset of the name of what was inlined, and how many functions have it, by key.
    copies: Vec<(u64, u32, u32)>,
}

impl InlineIndex {
    /// Reads the inline trees of all functions.
    pub(super) fn build(table: &Table) -> Self {
        let mut counts: HashMap<u32, u32> = HashMap::new();
        let mut budget = MOST_STEPS;
        let mut within = Vec::new();
        for index in 0..table.lines.count {
            within.clear();
            calls(table, index, &mut budget, &mut within);
            within.sort_unstable();
            within.dedup();
            within.iter().for_each(|name| *counts.entry(*name).or_default() += 1);
        }
        let key = |(offset, count)| Some((names::key(&names::plain(&table.name_at(offset)?)), offset, count));
        let mut copies: Vec<_> = counts.into_iter().filter_map(key).collect();
        copies.sort_unstable();
        Self { copies }
    }

    /// Functions that have copies of this one.
    pub(super) fn copies(&self, table: &Table, name: &str) -> u32 {
        let asked = names::plain(name);
        let key = names::key(&asked);
        let start = self.copies.partition_point(|(other, ..)| *other < key);
        let equal = self.copies.iter().skip(start).take_while(|(other, ..)| *other == key);
        let is_same =
            |offset: u32| table.name_at(offset).is_some_and(|found| names::same(&asked, &names::plain(&found)));
        equal.filter(|(_, offset, _)| is_same(*offset)).map(|(.., count)| count).sum()
    }
}

/// Names of what was inlined into a function.
fn calls(table: &Table, index: u32, budget: &mut usize, names: &mut Vec<u32>) -> Option<()> {
    let record = table.lines.record(table.image, table.code, &table.entry(index)?)?;
    let count = table.lines.inlined_count(table.image, &record, budget);
    for call in 0..count {
        *budget = budget.checked_sub(1)?;
        names.push(table.lines.inlined(table.image, &record, call)?.name);
    }
    Some(())
}

/// The functions that have the instruction at an address, the innermost first; none outside of Go's code.
pub(super) fn frames(table: &Table, address: u64) -> Vec<Frame> {
    let mut frames = Vec::new();
    let _ = push_frames(table, address, &mut frames);
    frames
}

fn push_frames(table: &Table, address: u64, frames: &mut Vec<Frame>) -> Option<()> {
    let (lines, image) = (table.lines, table.image);
    let index = lines.index_at(image, table.code, address)?;
    let entry = table.entry(index)?;
    let record = lines.record(image, table.code, &entry)?;
    let mut offset = address - entry.start;
    for _ in 0..DEEPEST {
        let call = lines.inline_index(image, &record, offset);
        let call = call.and_then(|index| lines.inlined(image, &record, index));
        let name = call.map_or_else(|| table.name(&entry), |call| table.name_at(call.name))?;
        frames.push(Frame {
            function: names::printed(&names::plain(&name)),
            file: lines.file(image, &record, offset).unwrap_or_default(),
            line: lines.line(image, &record, offset).unwrap_or_default(),
            is_inlined: call.is_some(),
        });
        offset = call?.parent.into();
    }
    Some(())
}
