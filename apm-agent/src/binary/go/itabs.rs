//! Itabs: pairs of an interface and a type that implements it, made by the linker.

use super::{
    descriptor::Descriptors,
    moduledata::{List, Lists},
};

/// Itabs of a program at most.
const MOST_ITABS: u64 = 1 << 20;

/// An itab that is in the file; others are made while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Itab {
    /// Address of the itab, the first word of an interface value that has methods.
    pub address: u64,
    /// Address of the interface's type.
    pub interface: u64,
    /// Address of the type that implements it.
    pub concrete: u64,
}

/// All of them.
pub(super) fn all(descriptors: &Descriptors) -> Vec<Itab> {
    match descriptors.module.lists {
        Lists::Links { itabs: List { data, count }, .. } => {
            let pointer = |index: u64| descriptors.image.u64(data.checked_add(8 * index)?);
            let read = |address: u64| Itab::read(descriptors, address);
            (0..count.min(MOST_ITABS)).map_while(pointer).filter_map(read).collect()
        }
        Lists::Regions { itabs, itabs_end, .. } => {
            let mut found = Vec::new();
            let mut address = itabs;
            while address < itabs_end && (found.len() as u64) < MOST_ITABS {
                let Some(itab) = Itab::read(descriptors, address) else { break };
                let Some(methods) = descriptors.interface_size(itab.interface) else { break };
                found.push(itab);
                // The first method's place is there even where the interface has none.
                address = address.saturating_add(24 + 8 * methods.max(1));
            }
            found
        }
    }
}

impl Itab {
    fn read(descriptors: &Descriptors, address: u64) -> Option<Self> {
        let interface = descriptors.image.u64(address)?;
        let concrete = descriptors.image.u64(address.checked_add(8)?)?;
        Some(Self { address, interface, concrete })
    }
}
