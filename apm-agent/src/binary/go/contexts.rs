//! Types that carry a parent `context.Context`, so that a chain of contexts can be walked from outside.

use super::{
    Kind,
    descriptor::{Descriptor, Descriptors, GoField},
    types::TypeIndex,
};

/// Methods of `context.Context`.
const METHODS: [&str; 4] = ["Deadline", "Done", "Err", "Value"];

/// Embedded structs entered at most.
const DEEPEST: usize = 4;

/// A type that a value of `context.Context` may have, with the place of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextType {
    /// Address of the type as an itab names it: the pointer's for a struct used by pointer.
    pub address: u64,
    /// Bytes from where the interface's data points to the parent, itself an interface value of two words.
    pub parent_offset: u64,
}

/// All of them, in order of address.
pub(super) fn all(descriptors: &Descriptors, index: &TypeIndex) -> Vec<ContextType> {
    let Some(interface) = index.find(descriptors, "context.Context") else { return Vec::new() };
    let mut found = Vec::new();
    for address in index.all.iter().filter_map(|offset| descriptors.at(*offset)) {
        let Some(structure) = descriptors.read(address).filter(|found| found.kind == Kind::Struct) else { continue };
        let Some(parent_offset) = parent(descriptors, &structure, interface, 0) else { continue };
        let pointer = index.pointer_to(descriptors, address);
        for address in [Some(address), pointer].into_iter().flatten() {
            if is_context(descriptors, address) {
                found.push(ContextType { address, parent_offset });
            }
        }
    }
    found.sort_unstable_by_key(|context| context.address);
    found
}

fn is_context(descriptors: &Descriptors, address: u64) -> bool {
    let methods = descriptors.read(address).map(|descriptor| descriptors.methods(&descriptor)).unwrap_or_default();
    METHODS.iter().all(|method| methods.iter().any(|found| found == method))
}

/// Place of the parent: what is embedded directly, or in an embedded struct, or the only field of the type.
fn parent(descriptors: &Descriptors, structure: &Descriptor, interface: u64, depth: usize) -> Option<u64> {
    let fields = descriptors.fields(structure)?;
    let is_parent = |field: &&GoField| field.type_address == interface;
    if let Some(field) = fields.iter().find(|field| field.is_embedded && is_parent(field)) {
        return Some(field.offset);
    }
    for field in fields.iter().filter(|field| field.is_embedded && depth < DEEPEST) {
        let inner = descriptors.read(field.type_address).filter(|inner| inner.kind == Kind::Struct);
        if let Some(offset) = inner.and_then(|inner| parent(descriptors, &inner, interface, depth + 1)) {
            return field.offset.checked_add(offset);
        }
    }
    if depth > 0 {
        return None;
    }
    // Of several that are not embedded none is known to be the parent.
    let mut plain = fields.iter().filter(is_parent);
    let only = plain.next()?;
    plain.next().is_none().then_some(only.offset)
}
