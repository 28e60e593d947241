//! Type descriptors: `internal/abi/type.go` of Go (`runtime/type.go` before 1.21).

use super::{
    GoVersion, Kind,
    image::{Cursor, Image},
    moduledata::ModuleData,
};

/// Fields of a struct, and parameters and methods of other types, at most.
pub(super) const MOST_PARTS: u64 = 8192;

/// Longest name of a type.
const LONGEST_NAME: u32 = 16 << 10;

/// Bits of the type flags: an uncommon part follows; the name has a `*` too many in front; the type has a name.
const UNCOMMON: u8 = 1;
const EXTRA_STAR: u8 = 2;
const NAMED: u8 = 4;

/// Bit of a name: the field is embedded.
const EMBEDDED: u8 = 8;

/// What all descriptors begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) kind: Kind,
    flags: u8,
    name: u32,
    /// Offset of the pointer type to this, 0 when there is none.
    pub(super) pointer: u32,
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoField {
    /// Its name; an embedded field has the name of its type.
    pub name: String,
    /// Bytes from the start of the struct.
    pub offset: u64,
    /// Address of its type's descriptor.
    pub type_address: u64,
    /// It is embedded: its fields and methods are the struct's.
    pub is_embedded: bool,
}

/// Reads descriptors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors<'image> {
    pub(super) image: &'image Image,
    pub(super) module: ModuleData,
    pub(super) version: GoVersion,
}

impl Descriptors<'_> {
    /// Address of what is `offset` bytes into the types.
    pub(super) fn at(&self, offset: u32) -> Option<u64> {
        self.module.types.checked_add(offset.into()).filter(|address| *address < self.module.types_end)
    }

    /// The inverse of [`Self::at`].
    pub(super) fn offset(&self, address: u64) -> Option<u32> {
        let offset = u32::try_from(address.checked_sub(self.module.types)?).ok()?;
        (address < self.module.types_end).then_some(offset)
    }

    /// The descriptor at an address, when it looks like one.
    pub(super) fn read(&self, address: u64) -> Option<Descriptor> {
        if !(self.module.types..self.module.types_end).contains(&address) || !address.is_multiple_of(8) {
            return None;
        }
        let bytes: [u8; 48] = self.image.array(address)?;
        let (size, pointers) = (word(&bytes, 0)?, word(&bytes, 8)?);
        let [hash, name, pointer] = [half(&bytes, 16)?, half(&bytes, 40)?, half(&bytes, 44)?];
        let [flags, align, field_align, kind] = *bytes.get(20..24)? else { return None };
        let extent = self.module.types_end - self.module.types;
        let is_plausible = pointers <= size
            && size < 1 << 40
            && hash != 0
            && flags < 64
            && align.is_power_of_two()
            && align <= 16
            && field_align.is_power_of_two()
            && field_align <= 16
            && (1..extent).contains(&name.into())
            && u64::from(pointer) < extent;
        let kind = Kind::from_number(kind & 31)?;
        is_plausible.then_some(Descriptor { address, size, kind, flags, name, pointer })
    }

    /// The name as Go's `reflect` gives it, such as `*http.Request`.
    pub(super) fn name(&self, descriptor: &Descriptor) -> Option<String> {
        let (name, _) = self.text(self.at(descriptor.name)?)?;
        if descriptor.flags & EXTRA_STAR == 0 { Some(name) } else { name.strip_prefix('*').map(str::to_string) }
    }

    /// Import path of a named type's package; none for types of the language and those without a name.
    pub(super) fn package(&self, descriptor: &Descriptor) -> Option<String> {
        if descriptor.flags & NAMED == 0 {
            return None;
        }
        let offset = self.image.u32(self.uncommon(descriptor)?)?;
        if offset == 0 { None } else { self.text(self.at(offset)?).map(|(path, _)| path) }
    }

    /// Import path and name of a named type, such as `net/http.Request`.
    pub(super) fn full_name(&self, descriptor: &Descriptor) -> Option<String> {
        if descriptor.flags & NAMED == 0 {
            return None;
        }
        let name = self.name(descriptor)?;
        let Some(package) = self.package(descriptor) else { return Some(name) };
        // Type arguments carry whole paths; the dot looked for is before them.
        let (head, _) = name.split_once('[').unwrap_or((&name, ""));
        let start = head.find('.').map_or(0, |dot| dot + 1);
        Some(format!("{package}.{}", name.get(start..)?))
    }

    /// Address of the element's type of a pointer, slice, array, map or channel.
    pub(super) fn element(&self, descriptor: &Descriptor) -> Option<u64> {
        match descriptor.kind {
            Kind::Pointer | Kind::Slice | Kind::Array | Kind::Chan => self.image.u64(descriptor.address + 48),
            Kind::Map => self.image.u64(descriptor.address + 56),
            _ => None,
        }
    }

    /// The fields of a struct.
    pub(super) fn fields(&self, descriptor: &Descriptor) -> Option<Vec<GoField>> {
        let (start, count) = self.field_list(descriptor)?;
        (0..count).map(|index| self.field(start.checked_add(24 * index)?)).collect()
    }

    fn field_list(&self, descriptor: &Descriptor) -> Option<(u64, u64)> {
        if descriptor.kind != Kind::Struct {
            return None;
        }
        let [start, count] = [self.image.u64(descriptor.address + 56)?, self.image.u64(descriptor.address + 64)?];
        (count <= MOST_PARTS).then_some((start, count))
    }

    fn field(&self, address: u64) -> Option<GoField> {
        let bytes: [u8; 24] = self.image.array(address)?;
        let (name, flags) = self.text(word(&bytes, 0)?)?;
        let (mut offset, mut is_embedded) = (word(&bytes, 16)?, flags & EMBEDDED != 0);
        if self.version.minor <= 18 {
            // The lowest bit told whether it is embedded.
            (offset, is_embedded) = (offset >> 1, offset & 1 != 0);
        }
        Some(GoField { name, offset, type_address: word(&bytes, 8)?, is_embedded })
    }

    /// Names of the methods of a type's own method set.
    pub(super) fn methods(&self, descriptor: &Descriptor) -> Vec<String> {
        let name = |method: u64| self.text(self.at(self.image.u32(method)?)?).map(|(name, _)| name);
        self.method_list(descriptor).into_iter().flatten().filter_map(name).collect()
    }

    /// Addresses of the entries of a type's own method set.
    fn method_list(&self, descriptor: &Descriptor) -> Option<impl Iterator<Item = u64>> {
        let uncommon = self.uncommon(descriptor)?;
        let count = u64::from(self.image.u16(uncommon + 4)?).min(MOST_PARTS);
        let start = uncommon.checked_add(self.image.u32(uncommon + 8)?.into())?;
        start.checked_add(16 * MOST_PARTS)?;
        Some((0..count).map(move |index| start + 16 * index))
    }

    /// Calls `found` with the address of each type that a descriptor names.
    pub(super) fn references(&self, descriptor: &Descriptor, mut found: impl FnMut(u64)) -> Option<()> {
        let address = descriptor.address;
        let mut pointer = |place: u64| {
            found(self.image.u64(place)?);
            Some(())
        };
        match descriptor.kind {
            Kind::Pointer | Kind::Slice | Kind::Chan => pointer(address + 48)?,
            Kind::Array => (48..64).step_by(8).try_for_each(|place| pointer(address + place))?,
            Kind::Map => (48..72).step_by(8).try_for_each(|place| pointer(address + place))?,
            Kind::Struct => {
                let (start, count) = self.field_list(descriptor)?;
                (0..count).try_for_each(|index| pointer(start.checked_add(24 * index + 8)?))?;
            }
            Kind::Func => {
                let start = self.uncommon_place(descriptor) + if descriptor.flags & UNCOMMON == 0 { 0 } else { 16 };
                (0..self.parameters(descriptor)?).try_for_each(|index| pointer(start + 8 * index))?;
            }
            Kind::Interface => {
                let (start, count) = self.interface_methods(descriptor)?;
                for index in 0..count {
                    let method = self.image.u32(start.checked_add(8 * index + 4)?)?;
                    if let Some(signature) = self.at(method) {
                        found(signature);
                    }
                }
            }
            _ => {}
        }
        for method in self.method_list(descriptor).into_iter().flatten() {
            // What the linker found unused has no type any more.
            let signature = self.image.u32(method + 4)?;
            if let Some(signature) = self.at(signature).filter(|_| signature != 0) {
                found(signature);
            }
        }
        if let Some(pointer) = self.at(descriptor.pointer).filter(|_| descriptor.pointer != 0) {
            found(pointer);
        }
        Some(())
    }

    /// Parameters and results of a function type.
    fn parameters(&self, descriptor: &Descriptor) -> Option<u64> {
        let [inputs, outputs] = [self.image.u16(descriptor.address + 48)?, self.image.u16(descriptor.address + 50)?];
        // The highest bit of the results says that the function is variadic.
        Some((u64::from(inputs) + u64::from(outputs & 0x7fff)).min(MOST_PARTS))
    }

    fn interface_methods(&self, descriptor: &Descriptor) -> Option<(u64, u64)> {
        let [start, count] = [self.image.u64(descriptor.address + 56)?, self.image.u64(descriptor.address + 64)?];
        (count <= MOST_PARTS).then_some((start, count))
    }

    /// Methods of an interface.
    pub(super) fn interface_size(&self, address: u64) -> Option<u64> {
        let descriptor = self.read(address).filter(|descriptor| descriptor.kind == Kind::Interface)?;
        self.interface_methods(&descriptor).map(|(_, count)| count)
    }

    /// Bytes of a descriptor with all that follows it, where descriptors follow one another (1.27).
    pub(super) fn extent(&self, descriptor: &Descriptor) -> Option<u64> {
        let mut extent = self.uncommon_place(descriptor) - descriptor.address;
        extent += match descriptor.kind {
            Kind::Func => 8 * self.parameters(descriptor)?,
            Kind::Interface => 8 * self.interface_methods(descriptor)?.1,
            Kind::Struct => 24 * self.field_list(descriptor)?.1,
            _ => 0,
        };
        if descriptor.flags & UNCOMMON != 0 {
            let methods = self.image.u16(self.uncommon_place(descriptor) + 4)?;
            extent += 16 + 16 * u64::from(methods);
        }
        Some(extent)
    }

    fn uncommon(&self, descriptor: &Descriptor) -> Option<u64> {
        (descriptor.flags & UNCOMMON != 0).then(|| self.uncommon_place(descriptor))
    }

    /// Where what is particular to the kind ends.
    fn uncommon_place(&self, descriptor: &Descriptor) -> u64 {
        let fixed = match descriptor.kind {
            Kind::Array => 72,
            Kind::Chan => 64,
            Kind::Func | Kind::Pointer | Kind::Slice => 56,
            Kind::Interface | Kind::Struct => 80,
            Kind::Map => match self.version.minor {
                ..=23 => 88,
                24..=26 => 112,
                _ => 136,
            },
            _ => 48,
        };
        descriptor.address + fixed
    }

    /// A name and its flags.
    fn text(&self, address: u64) -> Option<(String, u8)> {
        let mut cursor = Cursor::new(self.image, address);
        let flags = cursor.byte()?;
        let length = cursor.varint().filter(|length| *length <= LONGEST_NAME)?;
        let bytes = self.image.bytes(cursor.address(), length.into())?;
        Some((String::from_utf8_lossy(&bytes).into_owned(), flags))
    }
}

fn word(bytes: &[u8], place: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(place..place + 8)?.try_into().ok()?))
}

fn half(bytes: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(place..place + 4)?.try_into().ok()?))
}
