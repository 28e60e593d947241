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
        let mut map = serializer.serialize_map(None)?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            let (before, rest) = self.0.split_at_checked(index).unwrap_or_default();
            if values(before, name).next().is_some() {
                // Written already, with the first of its name.
                continue;
            }
            match values(rest, name).nth(1) {
                None => map.serialize_entry(name, value)?,
                Some(_) => map.serialize_entry(name, &Values { headers: rest, name })?,
            }
        }
        map.end()
    }
}

/// All values of a name.
struct Values<'a> {
    headers: &'a [(String, String)],
    name: &'a str,
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values(self.headers, self.name))
    }
}

fn values<'a>(headers: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
