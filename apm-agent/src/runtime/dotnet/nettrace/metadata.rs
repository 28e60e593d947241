//! Descriptions of events: what an event's number stands for, and which fields it has.
//!
//! ```text
//! number u32 | provider | id u32 | name | keywords u64 | version u32 | level u32 | fields | tags
//! fields: count u32 | fields, each: kind u32 | (fields, of an object) | name
//! tag:    size u32 | 1: opcode u8
//!                  | 2: count u32 | fields, each: size u32 | name | kind u32 | (element's kind, of an array) | (fields)
//! ```
//!
//! Texts are UTF-16 that ends with NUL. Fields of which one makes no sense are no fields: the event is told without them.

use std::collections::HashMap;

use super::Cursor;
use crate::runtime::dotnet::Utf16;

/// Descriptions kept at most; a large application has a few hundred.
pub const MOST_ENTRIES: usize = 8192;
/// Bytes of all descriptions kept at most.
pub const MOST_BYTES: usize = 2 << 20;
/// Characters kept of a name.
const LONGEST_NAME: usize = 256;
/// Objects within objects.
const DEEPEST: u32 = 8;

/// Tag whose fields may be arrays.
const FIELDS_V2: u8 = 2;

/// Description of a kind of events.
#[derive(Debug, Default)]
pub(super) struct Description {
    pub provider: String,
    pub id: u32,
    pub name: String,
    pub keywords: u64,
    pub version: u32,
    pub level: u32,
    pub fields: Vec<Field>,
    /// Bytes it came in.
    size: usize,
}

/// A field of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// What a field holds: `System.TypeCode`, and what EventPipe adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    /// Its fields, one after the other.
    Object(Vec<Field>),
    /// Four bytes, 0 or 1.
    Boolean,
    /// A UTF-16 unit.
    Char,
    Int8,
    UInt8,
    Int16,
    UInt16,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Single,
    Double,
    /// 16 bytes.
    Decimal,
    /// Ticks of 100 ns since the year 1601.
    DateTime,
    /// 16 bytes.
    Guid,
    /// UTF-16 that ends with NUL.
    String,
    /// A count as u16, and so many of them.
    Array(Box<Kind>),
}

/// The descriptions told so far.
#[derive(Debug, Default)]
pub(super) struct Descriptions {
    entries: HashMap<u32, Description>,
    bytes: usize,
}

impl Descriptions {
    pub fn get(&self, number: u32) -> Option<&Description> {
        self.entries.get(&number)
    }

    /// Adds one, in place of an older one of the same number. `None` when there is no room or it makes no sense.
    pub fn add(&mut self, payload: &[u8]) -> Option<()> {
        let (number, description) = Description::read(payload)?;
        if let Some(older) = self.entries.remove(&number) {
            self.bytes -= older.size;
        }
        if self.entries.len() >= MOST_ENTRIES || self.bytes + payload.len() > MOST_BYTES {
            return None;
        }
        self.bytes += payload.len();
        self.entries.insert(number, description);
        Some(())
    }
}

impl Description {
    fn read(payload: &[u8]) -> Option<(u32, Self)> {
        let mut cursor = Cursor::new(payload);
        let number = cursor.u32()?;
        let mut description = Self {
            provider: name(cursor.text()?),
            id: cursor.u32()?,
            name: name(cursor.text()?),
            keywords: cursor.u64()?,
            version: cursor.u32()?,
            level: cursor.u32()?,
            fields: Vec::new(),
            size: payload.len(),
        };
        description.fields = all_fields(&mut cursor).unwrap_or_default();
        Some((number, description))
    }
}

/// Those of the tag, if there is one, for then the others are empty.
fn all_fields(cursor: &mut Cursor<'_>) -> Option<Vec<Field>> {
    if cursor.is_empty() {
        return Some(Vec::new());
    }
    let fields = fields(cursor, DEEPEST)?;
    while let Some(size) = cursor.u32() {
        let tag = cursor.u8()?;
        let mut body = Cursor::new(cursor.bytes(usize::try_from(size).ok()?)?);
        if tag == FIELDS_V2 {
            return fields_v2(&mut body, DEEPEST);
        }
    }
    Some(fields)
}

fn fields(cursor: &mut Cursor<'_>, deeper: u32) -> Option<Vec<Field>> {
    let count = cursor.u32()?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let kind = kind(cursor, deeper, self::fields)?;
        fields.push(Field { kind, name: name(cursor.text()?) });
    }
    Some(fields)
}

fn fields_v2(cursor: &mut Cursor<'_>, deeper: u32) -> Option<Vec<Field>> {
    let count = cursor.u32()?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let size = usize::try_from(cursor.u32()?).ok()?;
        let mut field = Cursor::new(cursor.bytes(size.checked_sub(4)?)?);
        let name = name(field.text()?);
        fields.push(Field { name, kind: kind(&mut field, deeper, fields_v2)? });
    }
    Some(fields)
}

type ReadFields = fn(&mut Cursor<'_>, u32) -> Option<Vec<Field>>;

fn kind(cursor: &mut Cursor<'_>, deeper: u32, fields: ReadFields) -> Option<Kind> {
    let deeper = deeper.checked_sub(1)?;
    Some(match cursor.u32()? {
        // Each field takes bytes of the payload, so that reading one takes no longer than it is.
        1 => Kind::Object(fields(cursor, deeper).filter(|fields| !fields.is_empty())?),
        3 => Kind::Boolean,
        4 => Kind::Char,
        5 => Kind::Int8,
        6 => Kind::UInt8,
        7 => Kind::Int16,
        8 => Kind::UInt16,
        9 => Kind::Int32,
        10 => Kind::UInt32,
        11 => Kind::Int64,
        12 => Kind::UInt64,
        13 => Kind::Single,
        14 => Kind::Double,
        15 => Kind::Decimal,
        16 => Kind::DateTime,
        17 => Kind::Guid,
        18 => Kind::String,
        19 => Kind::Array(Box::new(kind(cursor, deeper, fields)?)),
        _ => return None,
    })
}

fn name(text: Utf16<'_>) -> String {
    text.to_capped_string(LONGEST_NAME)
}
