//! Fields of events that describe themselves.

use crate::runtime::dotnet::{
    Utf16,
    cursor::Cursor,
    nettrace::{Event, Field, Kind},
};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A text.
    Text(Utf16<'a>),
    /// A number that may be negative.
    Signed(i64),
    /// A number that may not; also a character, a boolean, a date.
    Unsigned(u64),
    /// A number that is not whole.
    Float(f64),
    /// 16 bytes of something else.
    Bytes([u8; 16]),
    /// Several of a kind.
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// The text.
    pub fn text(self) -> Option<Utf16<'a>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, where it is whole and not negative.
    pub fn unsigned(self) -> Option<u64> {
        match self {
            Self::Signed(number) => number.try_into().ok(),
            Self::Unsigned(number) => Some(number),
            _ => None,
        }
    }

    /// The number, if there is one.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Signed(number) => Some(number as f64),
            Self::Unsigned(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }
}

/// Several of a kind, packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    /// What each of them is.
    pub kind: &'a Kind,
    /// How many there are.
    pub count: u16,
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Calls `each` with the values of every element: of an object those of its fields with their names, of anything else
    /// one without a name.
    pub fn each(&self, mut each: impl FnMut(&'a str, Value<'a>)) {
        let mut cursor = Cursor::new(self.bytes);
        for _ in 0..self.count {
            if read(self.kind, "", &mut cursor, &mut each).is_none() {
                return;
            }
        }
    }
}

/// Calls `each` with the name and value of every field, those of objects within in their place. `None` when the payload
/// ends before its fields do.
pub fn fields<'a>(event: &Event<'a>, mut each: impl FnMut(&'a str, Value<'a>)) -> Option<()> {
    read_all(event.fields, &mut Cursor::new(event.payload), &mut each)
}

type Each<'a, 'f> = &'f mut dyn FnMut(&'a str, Value<'a>);

fn read_all<'a>(fields: &'a [Field], cursor: &mut Cursor<'a>, each: Each<'a, '_>) -> Option<()> {
    fields.iter().try_for_each(|field| read(&field.kind, &field.name, cursor, each))
}

/// Reads one value. As deep as descriptions are, and every value but an array's head takes bytes of the payload.
fn read<'a>(kind: &'a Kind, name: &'a str, cursor: &mut Cursor<'a>, each: Each<'a, '_>) -> Option<()> {
    let value = match kind {
        Kind::Object(fields) => return read_all(fields, cursor, each),
        Kind::Array(kind) => Value::Array(read_array(kind, cursor)?),
        Kind::String => Value::Text(cursor.text()?),
        Kind::Int8 => Value::Signed(i8::from_le_bytes(cursor.array()?).into()),
        Kind::Int16 => Value::Signed(i16::from_le_bytes(cursor.array()?).into()),
        Kind::Int32 => Value::Signed(i32::from_le_bytes(cursor.array()?).into()),
        Kind::Int64 => Value::Signed(i64::from_le_bytes(cursor.array()?)),
        Kind::UInt8 => Value::Unsigned(cursor.u8()?.into()),
        Kind::Char | Kind::UInt16 => Value::Unsigned(cursor.u16()?.into()),
        Kind::Boolean | Kind::UInt32 => Value::Unsigned(cursor.u32()?.into()),
        Kind::UInt64 | Kind::DateTime => Value::Unsigned(cursor.u64()?),
        Kind::Single => Value::Float(f32::from_le_bytes(cursor.array()?).into()),
        Kind::Double => Value::Float(f64::from_le_bytes(cursor.array()?)),
        Kind::Decimal | Kind::Guid => Value::Bytes(cursor.array()?),
    };
    each(name, value);
    Some(())
}

/// Finds the end of an array: its elements may each have another length.
fn read_array<'a>(kind: &'a Kind, cursor: &mut Cursor<'a>) -> Option<Array<'a>> {
    let count = cursor.u16()?;
    let bytes = cursor.rest();
    for _ in 0..count {
        read(kind, "", cursor, &mut |_, _| {})?;
    }
    let length = bytes.len() - cursor.rest().len();
    Some(Array { kind, count, bytes: bytes.get(..length)? })
}
