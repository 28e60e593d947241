//! HTTP headers as an object: a string for each name, or an array where a name came more than once.

use serde::{Serialize, Serializer, ser::SerializeMap};

/// Headers in their order. Names that differ in case only are one name, written as it came first: a JSON object with a
/// key twice keeps the last value only.
pub(super) struct Headers<'a>(pub &'a [(String, String)]);

impl<'a> Headers<'a> {
    /// `None` when there are none.
    pub fn new(headers: &'a [(String, String)]) -> Option<Self> {
        (!headers.is_empty()).then_some(Self(headers))
    }
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names: Vec<(&str, Vec<&str>)> = Vec::with_capacity(self.0.len());
        for (name, value) in self.0 {
            match names.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, values)) => values.push(value),
                None => names.push((name, vec![value])),
            }
        }
        let mut map = serializer.serialize_map(Some(names.len()))?;
        for (name, values) in &names {
            match values.as_slice() {
                [value] => map.serialize_entry(name, value)?,
                values => map.serialize_entry(name, values)?,
            }
        }
        map.end()
    }
}
