//! Source maps: which place of which source a place in a made file comes from (ECMA-426, "Source map format").
//!
//! A map is the program's word and may be of any size: it is searched where it lies, nothing is unfolded. A map may be made
//! of others, a section each ("index map"); `serde_json` bounds how deep.

use std::path::{Component, Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What a comment begins with that names the map of a file. The second form is the older one.
const COMMENTS: [&str; 2] = ["//# sourceMappingURL=", "//@ sourceMappingURL="];

/// A map within the comment.
const INLINE: &str = "data:application/json";

/// Largest number in a map, in bits: lines and columns of JavaScript fit into 32.
const LONGEST_NUMBER: u32 = 31;

/// A source map.
#[derive(Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SourceMap {
    source_root: Option<String>,
    sources: Vec<Option<String>>,
    sources_content: Vec<Option<String>>,
    mappings: String,
    /// What it is made of instead, if it is.
    sections: Vec<Section>,
}

/// Part of a map, for what stands behind `offset`.
#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
struct Section {
    offset: Place,
    map: SourceMap,
}

/// A place, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
struct Place {
    line: u32,
    column: u32,
}

/// Where something comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Original<'map> {
    /// The source as the map names it: a path from the map's folder, most often.
    pub source: String,
    /// Line, from 1.
    pub line: u32,
    /// All of it.
    pub text: Option<&'map str>,
}

/// Where the map of a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link<'text> {
    /// In a file of this path, from the folder of the one that names it.
    File(&'text str),
    /// Here.
    Inline(SourceMap),
}

/// What a file says of its map; `None`: it has none that can be read.
pub(super) fn link(text: &str) -> Option<Link<'_>> {
    let after = |comment: &str| text.rfind(comment).and_then(|at| text.get(at + comment.len()..));
    let rest = COMMENTS.iter().find_map(|comment| after(comment))?;
    let url = rest.split(char::is_whitespace).next().filter(|url| !url.is_empty())?;
    match url.strip_prefix(INLINE) {
        Some(inline) => {
            let (_, encoded) = inline.split_once(";base64,")?;
            Some(Link::Inline(SourceMap::parse(&STANDARD.decode(encoded).ok()?)?))
        }
        None if url.contains("://") || url.starts_with("data:") => None,
        None => Some(Link::File(url)),
    }
}

impl SourceMap {
    /// Of the bytes of a map.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let map: Self = serde_json::from_slice(bytes).ok()?;
        (!map.mappings.is_empty() || !map.sections.is_empty()).then_some(map)
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.sources.iter().chain(&self.sources_content);
        let texts = texts.map(|text| size_of_val(text) + text.as_ref().map_or(0, String::len));
        let sections = self.sections.iter().map(|section| size_of_val(section) + section.map.bytes());
        self.mappings.len() + texts.chain(sections).sum::<usize>()
    }

    /// Where a place comes from; `line` and `column` count from 1.
    pub(super) fn original(&self, line: u32, column: u32) -> Option<Original<'_>> {
        self.find(Place { line: line.checked_sub(1)?, column: column.checked_sub(1)? })
    }

    fn find(&self, place: Place) -> Option<Original<'_>> {
        let before = self.sections.iter().filter(|section| section.offset <= place);
        if let Some(Section { offset, map }) = before.max_by_key(|section| section.offset) {
            // The section's first line begins where it does.
            let skipped = if place.line == offset.line { offset.column } else { 0 };
            return map.find(Place { line: place.line - offset.line, column: place.column - skipped });
        }
        let found = find(&self.mappings, place)?;
        let index = usize::try_from(found.source).ok()?;
        let source = self.sources.get(index)?.as_ref()?;
        let root = self.source_root.as_deref().unwrap_or_default();
        Some(Original {
            source: if root.is_empty() { source.clone() } else { format!("{}/{source}", root.trim_end_matches('/')) },
            line: u32::try_from(found.line.checked_add(1)?).ok()?,
            text: self.sources_content.get(index).and_then(Option::as_deref),
        })
    }
}

/// The path of a source that a map in `folder` names. Bundlers put names of their own in front (`webpack://shop/./a.js`):
/// these stay as they are.
pub(super) fn resolve(folder: &Path, source: &str) -> PathBuf {
    let source = source.strip_prefix("file://").unwrap_or(source);
    if source.contains("://") {
        return PathBuf::from(source);
    }
    let mut path = PathBuf::new();
    for part in folder.join(source).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

/// What a mapping says, all from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mapping {
    source: i64,
    line: i64,
}

/// The last mapping of a line that begins at or before a column.
fn find(mappings: &str, Place { line, column }: Place) -> Option<Mapping> {
    let (mut now, mut found) = (Mapping::default(), None);
    // All numbers but columns count on through the lines.
    for (number, segments) in (0_u32..).zip(mappings.split(';')).take_while(|(number, _)| *number <= line) {
        let mut begins = 0_i64;
        for segment in segments.split(',').filter(|segment| !segment.is_empty()) {
            let mut numbers = Numbers(segment.bytes());
            begins = begins.checked_add(numbers.next()?)?;
            let source = numbers.next();
            if let Some(source) = source {
                now.source = now.source.checked_add(source)?;
                now.line = now.line.checked_add(numbers.next()?)?;
            }
            if number == line && begins <= i64::from(column) {
                found = source.map(|_| now);
            }
        }
    }
    found
}

/// Numbers in Base64 VLQ: five bits a digit, the lowest first, whose sixth bit says that there are more; the sign is the
/// lowest bit.
struct Numbers<'text>(std::str::Bytes<'text>);

impl Iterator for Numbers<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let (mut value, mut shift) = (0_i64, 0);
        loop {
            let digit = digit(self.0.next()?)?;
            if shift > LONGEST_NUMBER {
                return None;
            }
            value |= i64::from(digit & 31) << shift;
            shift += 5;
            if digit & 32 == 0 {
                return Some(if value & 1 == 0 { value >> 1 } else { -(value >> 1) });
            }
        }
    }
}

fn digit(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two lines: of the first, columns 0 to 8 are line 1 of `a.ts` and what follows line 3; of the second, from column 4
    /// on, line 2 of `b.ts`, but for what follows column 10, which is nobody's.
    const MAP: &str = r#"{"version":3,"sources":["../src/a.ts","b.ts"],"sourcesContent":["one\ntwo\nthree",null],
        "names":[],"mappings":"AAAA,SAEA;ICDA,M"}"#;

    fn original(line: u32, column: u32) -> Option<(String, u32)> {
        let map = SourceMap::parse(MAP.as_bytes()).expect("a map");
        map.original(line, column).map(|original| (original.source, original.line))
    }

    #[test]
    fn places_are_found() {
        assert_eq!(original(1, 1), Some(("../src/a.ts".into(), 1)));
        assert_eq!(original(1, 9), Some(("../src/a.ts".into(), 1)));
        assert_eq!(original(1, 10), Some(("../src/a.ts".into(), 3)));
        assert_eq!(original(2, 5), Some(("b.ts".into(), 2)));
        for (line, column) in [(2, 1), (2, 11), (3, 1), (0, 1), (1, 0), (u32::MAX, u32::MAX)] {
            assert_eq!(original(line, column), None, "{line}:{column}");
        }
        let map = SourceMap::parse(MAP.as_bytes()).expect("a map");
        assert_eq!(map.original(1, 1).and_then(|original| original.text), Some("one\ntwo\nthree"));
        assert_eq!(map.original(2, 5).and_then(|original| original.text), None);
    }

    #[test]
    fn sections_are_maps_of_what_stands_behind_their_offset() {
        let section =
            |line: u32, column: u32| format!(r#"{{"offset":{{"line":{line},"column":{column}}},"map":{MAP}}}"#);
        let sections = [section(0, 5), section(4, 0), section(4, 100)].join(",");
        let map = SourceMap::parse(format!(r#"{{"version":3,"sections":[{sections}]}}"#).as_bytes()).expect("a map");
        let at = |line, column| map.original(line, column).map(|original| (original.source, original.line));
        let second = ("b.ts".to_owned(), 2);
        for (line, column) in [(1, 6), (1, 14), (5, 9), (5, 101)] {
            assert_eq!(at(line, column), Some(("../src/a.ts".to_owned(), 1)), "{line}:{column}");
        }
        assert_eq!([at(2, 5), at(6, 5)], [Some(second.clone()), Some(second)]);
        assert_eq!([at(1, 5), at(3, 1), at(7, 1)], [const { None }; 3]);
        assert!(map.bytes() > 3 * "AAAA,SAEA;ICDA,M".len());
    }

    #[test]
    fn numbers_are_read() {
        let read = |text: &str| Numbers(text.bytes()).collect::<Vec<_>>();
        assert_eq!(read("ACDgB"), [0, 1, -1, 16]);
        assert!(read("g").is_empty(), "it does not end");
        assert!(read("ggggggggggggggggB").is_empty(), "no line or column is that long");
        assert_eq!(read("A!C"), [0]);
    }

    #[test]
    fn the_map_is_named_at_the_end() {
        assert_eq!(link("a();\n//# sourceMappingURL=a.js.map\n"), Some(Link::File("a.js.map")));
        let twice = "x('//# sourceMappingURL=no')\n//@ sourceMappingURL=a.js.map\n//# sourceMappingURL=b.map";
        assert_eq!(link(twice), Some(Link::File("b.map")));
        let inline =
            format!("//# sourceMappingURL=data:application/json;charset=utf-8;base64,{}", STANDARD.encode(MAP));
        let map = SourceMap::parse(MAP.as_bytes()).expect("a map");
        assert_eq!(link(&inline), Some(Link::Inline(map)));
        for none in ["", "a()", "//# sourceMappingURL=", "//# sourceMappingURL=https://cdn/a.map"] {
            assert_eq!(link(none), None, "{none}");
        }
    }

    #[test]
    fn sources_are_named_from_the_map_s_folder() {
        let resolved = |source| resolve(Path::new("/srv/shop/dist"), source).display().to_string();
        assert_eq!(resolved("../src/./a.ts"), "/srv/shop/src/a.ts");
        assert_eq!(resolved("/src/a.ts"), "/src/a.ts");
        assert_eq!(resolved("../../../../../a.ts"), "/a.ts");
        assert_eq!(resolved("file:///src/a.ts"), "/src/a.ts");
        assert_eq!(resolved("webpack://shop/./src/a.ts"), "webpack://shop/./src/a.ts");
    }

    #[test]
    fn odd_maps_are_no_trouble() {
        for text in ["", "{}", "[]", "null", r#"{"mappings":5}"#, r#"{"sections":[]}"#, r#"{"sections":[{}]}"#] {
            assert_eq!(SourceMap::parse(text.as_bytes()), None, "{text}");
        }
        for mappings in
            ["A", "AAAA", "AAAA;;;;", "\u{1F600}", ";;,,;", "A//////////A", "AA", "AAA", "ADAA", "A9999999A"]
        {
            let map = SourceMap { mappings: mappings.into(), sources: vec![None], ..SourceMap::default() };
            for line in 0..6 {
                assert_eq!(map.original(line, 1), None, "{mappings}");
            }
        }
    }
}
