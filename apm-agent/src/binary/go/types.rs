//! The types of a program: all that its descriptors lead to, by name.
//!
//! Lists of the linker name types without a name only, but `*T` is one of those, and every struct made on the heap needs
//! its descriptor; fields, signatures of methods and pointers lead to the rest.

use std::collections::HashSet;

use super::{
    Kind,
    descriptor::{Descriptor, Descriptors},
    itabs,
    moduledata::{List, Lists},
    names,
};

/// Types of a program at most.
const MOST_TYPES: usize = 1 << 20;

/// References between types followed at most.
const MOST_REFERENCES: usize = 32 << 20;

/// Types by name and by what they point to; each is told as offset from the start of the types.
#[derive(Debug, Default)]
pub(super) struct TypeIndex {
    /// All of them, in order.
    pub(super) all: Vec<u32>,
    /// Those with a name, by the key of their name.
    named: Vec<(u64, u32)>,
    /// Pointers, by what they point to.
    pointers: Vec<(u32, u32)>,
}

impl TypeIndex {
    /// Follows all references. `None` when there are more than a program can have.
    pub(super) fn build(descriptors: &Descriptors) -> Option<Self> {
        let mut walk = Walk { descriptors: *descriptors, seen: HashSet::new(), open: Vec::new(), references: 0 };
        walk.start();
        walk.follow()?;
        let mut index = Self { all: walk.seen.into_iter().collect(), ..Self::default() };
        index.all.sort_unstable();
        for offset in index.all.iter().copied() {
            let Some(descriptor) = descriptors.at(offset).and_then(|address| descriptors.read(address)) else {
                continue;
            };
            if let Some(name) = descriptors.full_name(&descriptor) {
                index.named.push((names::key(&names::plain(&name)), offset));
            } else if descriptor.kind == Kind::Pointer {
                let element = descriptors.element(&descriptor).and_then(|address| descriptors.offset(address));
                index.pointers.extend(element.map(|element| (element, offset)));
            }
        }
        index.named.sort_unstable();
        index.pointers.sort_unstable();
        Some(index)
    }

    /// The type of this name; one with the very name before those that differ in the major version's being told.
    pub(super) fn find(&self, descriptors: &Descriptors, name: &str) -> Option<u64> {
        let asked = names::plain(name);
        let key = names::key(&asked);
        let start = self.named.partition_point(|(other, _)| *other < key);
        let mut best = None;
        for (_, offset) in self.named.iter().skip(start).take_while(|(other, _)| *other == key) {
            let address = descriptors.at(*offset)?;
            let full = descriptors.full_name(&descriptors.read(address)?)?;
            let full = names::plain(&full);
            if full == asked {
                return Some(address);
            }
            if names::same(&asked, &full) {
                best = best.or(Some(address));
            }
        }
        best
    }

    /// The pointer type to a type.
    pub(super) fn pointer_to(&self, descriptors: &Descriptors, address: u64) -> Option<u64> {
        let element = descriptors.offset(address)?;
        let start = self.pointers.partition_point(|(other, _)| *other < element);
        let (_, pointer) = self.pointers.get(start).filter(|(other, _)| *other == element)?;
        descriptors.at(*pointer)
    }
}

/// A walk along all references.
struct Walk<'image> {
    descriptors: Descriptors<'image>,
    seen: HashSet<u32>,
    open: Vec<Descriptor>,
    references: usize,
}

impl Walk<'_> {
    fn start(&mut self) {
        let descriptors = self.descriptors;
        match descriptors.module.lists {
            Lists::Links { types: List { data, count }, .. } => {
                for index in 0..count.min(MOST_TYPES as u64) {
                    let Some(place) = data.checked_add(4 * index) else { break };
                    let Some(offset) = descriptors.image.u32(place) else { break };
                    if let Some(address) = descriptors.at(offset) {
                        self.meet(address);
                    }
                }
            }
            Lists::Regions { types_end, .. } => self.start_in_region(types_end),
        }
        for itab in itabs::all(&descriptors) {
            self.meet(itab.concrete);
            self.meet(itab.interface);
        }
    }

    fn start_in_region(&mut self, end: u64) {
        let descriptors = self.descriptors;
        let mut address = descriptors.module.types.saturating_add(8);
        while let Some(aligned) = address.checked_next_multiple_of(8).filter(|aligned| *aligned < end) {
            let Some(descriptor) = descriptors.read(aligned) else { break };
            let Some(extent) = descriptors.extent(&descriptor) else { break };
            self.meet(aligned);
            address = aligned.saturating_add(extent);
        }
    }

    fn meet(&mut self, address: u64) {
        self.references += 1;
        let Some(offset) = self.descriptors.offset(address) else { return };
        if self.seen.contains(&offset) || self.seen.len() >= MOST_TYPES {
            return;
        }
        let Some(descriptor) = self.descriptors.read(address) else { return };
        self.seen.insert(offset);
        self.open.push(descriptor);
    }

    fn follow(&mut self) -> Option<()> {
        let mut found = Vec::new();
        while let Some(descriptor) = self.open.pop() {
            // What is unreadable of a type leads nowhere; the type itself stays.
            let _ = self.descriptors.references(&descriptor, |address| found.push(address));
            found.drain(..).for_each(|address| self.meet(address));
            if self.references > MOST_REFERENCES {
                return None;
            }
        }
        Some(())
    }
}
