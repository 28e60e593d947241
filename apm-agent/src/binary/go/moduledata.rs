//! The linker's notes for the run time, `moduledata`: `runtime/symtab.go` of Go.

use super::{
    GoVersion,
    image::Image,
    pclntab::{Code, LineTable},
};

/// Section that is nothing but moduledata, from 1.26 on.
const SECTION: &str = ".go.module";

/// What we need of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModuleData {
    pub(super) code: Code,
    /// End of the code.
    pub(super) text_end: u64,
    /// Where type descriptors are; names and types are told as offsets from their start.
    pub(super) types: u64,
    pub(super) types_end: u64,
    pub(super) lists: Lists,
}

/// How descriptors and itabs are found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lists {
    /// Lists of offsets and pointers, up to 1.26.
    Links {
        /// Offsets of type descriptors.
        types: List,
        /// Pointers to itabs.
        itabs: List,
    },
    /// One after another, from 1.27 on.
    Regions {
        /// End of the descriptors that follow one another.
        types_end: u64,
        /// The itabs.
        itabs: u64,
        itabs_end: u64,
    },
}

/// A slice: its data and the count of its elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) data: u64,
    pub(super) count: u64,
}

/// Offsets of fields that moved (64-bit).
struct Fields {
    types: u64,
    functions: Option<u64>,
    lists: Option<(u64, u64)>,
}

fn fields(version: GoVersion) -> Fields {
    match version.minor {
        ..=17 => Fields { types: 280, functions: None, lists: Some((320, 344)) },
        18..=19 => Fields { types: 280, functions: Some(304), lists: Some((336, 360)) },
        20..=25 => Fields { types: 296, functions: Some(320), lists: Some((352, 376)) },
        26 => Fields { types: 296, functions: Some(320), lists: Some((360, 384)) },
        _ => Fields { types: 296, functions: Some(344), lists: None },
    }
}

impl ModuleData {
    /// Finds the notes of the module that `table` is of: by their section, else by their pointers to the table.
    pub(super) fn find(
        image: &Image,
        table: &LineTable,
        version: GoVersion,
        section: impl Fn(&str) -> Option<u64>,
    ) -> Option<Self> {
        let is_it = |address: u64| {
            let word = |offset| image.u64(address.checked_add(offset)?);
            word(0) == Some(table.address) && word(8) == Some(table.names) && word(104) == Some(table.functions)
        };
        let address = section(SECTION)
            .filter(|address| is_it(*address))
            .or_else(|| image.find(&table.address.to_le_bytes(), 8, true, is_it))?;
        Self::read(image, address, &fields(version))
    }

    fn read(image: &Image, address: u64, fields: &Fields) -> Option<Self> {
        let word = |offset: u64| image.u64(address.checked_add(offset)?);
        let list = |offset: u64| Some(List { data: word(offset)?, count: word(offset + 8)? });
        let types = word(fields.types)?;
        let (types_end, lists) = match fields.lists {
            Some((types, itabs)) => {
                (word(fields.types + 8)?, Lists::Links { types: list(types)?, itabs: list(itabs)? })
            }
            // Since 1.27: the size of the descriptors that follow one another, the end of all, where the itabs are.
            None => {
                let itabs = types.checked_add(word(fields.types + 24)?)?;
                let lists = Lists::Regions {
                    types_end: types.checked_add(word(fields.types + 8)?)?,
                    itabs,
                    itabs_end: itabs.checked_add(word(fields.types + 32)?)?,
                };
                (word(fields.types + 16)?, lists)
            }
        };
        let data = fields.functions.map_or(Some(0), word)?;
        let module = Self { code: Code { text: word(176)?, data }, text_end: word(184)?, types, types_end, lists };
        (module.code.text < module.text_end && types < types_end).then_some(module)
    }
}
