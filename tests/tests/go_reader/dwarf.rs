//! What DWARF and the symbol table of a build say: the truth that the reader is compared with.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;
use gimli::{DebuggingInformationEntry, Dwarf, EndianSlice, LittleEndian, Unit};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

type Slice<'data> = EndianSlice<'data, LittleEndian>;

/// Offsets of the fields of a struct, by name.
pub type Fields = BTreeMap<String, u64>;

/// The structs of a program by name; a name may stand for several (types declared in functions).
pub fn structs(path: &Path) -> Result<BTreeMap<String, Vec<Fields>>> {
    let bytes = fs::read(path)?;
    let file = object::File::parse(&*bytes)?;
    let section = |id: gimli::SectionId| {
        let data = file.section_by_name(id.name()).and_then(|section| section.data().ok()).unwrap_or_default();
        Ok::<_, gimli::Error>(EndianSlice::new(data, LittleEndian))
    };
    let dwarf = Dwarf::load(section)?;
    let mut found: BTreeMap<String, Vec<Fields>> = BTreeMap::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        structs_of(&dwarf, &dwarf.unit(header)?, &mut found)?;
    }
    Ok(found)
}

fn structs_of(dwarf: &Dwarf<Slice>, unit: &Unit<Slice>, found: &mut BTreeMap<String, Vec<Fields>>) -> Result<()> {
    let mut current: Option<(String, Fields)> = None;
    let mut depth = 0;
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs()? {
        if entry.tag() == gimli::DW_TAG_member && entry.depth() == depth + 1 {
            if let Some((_, fields)) = &mut current {
                // C's bit fields have no place in bytes.
                let place = entry.attr_value(gimli::DW_AT_data_member_location).and_then(|value| value.udata_value());
                fields
                    .extend(place.map(|place| Ok::<_, anyhow::Error>((name(dwarf, unit, entry)?, place))).transpose()?);
            }
        } else if entry.depth() <= depth || entry.tag() == gimli::DW_TAG_structure_type {
            found.extend_with(current.take());
            depth = entry.depth();
            if entry.tag() == gimli::DW_TAG_structure_type {
                current = Some((name(dwarf, unit, entry)?, Fields::new()));
            }
        }
    }
    found.extend_with(current);
    Ok(())
}

trait ExtendWith {
    fn extend_with(&mut self, structure: Option<(String, Fields)>);
}

impl ExtendWith for BTreeMap<String, Vec<Fields>> {
    fn extend_with(&mut self, structure: Option<(String, Fields)>) {
        if let Some((name, fields)) = structure {
            self.entry(name).or_default().push(fields);
        }
    }
}

fn name(dwarf: &Dwarf<Slice>, unit: &Unit<Slice>, entry: &DebuggingInformationEntry<Slice>) -> Result<String> {
    let Some(value) = entry.attr_value(gimli::DW_AT_name) else { return Ok(String::new()) };
    Ok(dwarf.attr_string(unit, value)?.to_string_lossy().into_owned())
}

/// A symbol.
#[derive(Clone, Debug)]
pub struct Symbol {
    pub name: String,
    pub address: u64,
    pub size: u64,
    pub is_function: bool,
}

/// The symbol table.
pub fn symbols(path: &Path) -> Result<Vec<Symbol>> {
    let bytes = fs::read(path)?;
    let file = object::File::parse(&*bytes)?;
    let symbol = |symbol: object::Symbol| {
        Some(Symbol {
            name: symbol.name().ok()?.to_owned(),
            address: symbol.address(),
            size: symbol.size(),
            is_function: symbol.kind() == SymbolKind::Text,
        })
    };
    Ok(file.symbols().filter_map(symbol).collect())
}
