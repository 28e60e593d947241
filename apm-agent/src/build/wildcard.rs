//! Elastic's wildcard patterns: `*` matches any run of characters, also none; nothing else is special.
//!
//! A pattern is anchored at both ends and ignores case unless it starts with `(?-i)`.

/// Starts a pattern that minds case.
const CASE_SENSITIVE: &str = "(?-i)";

/// One pattern, ready to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard {
    /// As written by the user.
    source: String,
    /// Characters to match, folded when case is ignored.
    pattern: Vec<char>,
    /// What stands between the stars, if it is all ASCII; texts mostly are too, and bytes compare much faster.
    parts: Option<Vec<Vec<u8>>>,
    ignore_case: bool,
    /// As in [`letters`]: a text that lacks one of them cannot match.
    letters: u32,
}

impl Wildcard {
    /// Prepares a pattern.
    pub fn new(source: &str) -> Self {
        let ignore_case = !source.starts_with(CASE_SENSITIVE);
        let text = source.strip_prefix(CASE_SENSITIVE).unwrap_or(source);
        let pattern = text.chars().map(|character| fold(character, ignore_case)).collect();
        let parts = text.is_ascii().then(|| text.split('*').map(|part| part.as_bytes().to_vec()).collect());
        // A letter that is not ASCII may have one in ASCII as its other case, so such a text or pattern shows nothing.
        let letters = if text.is_ascii() { text.split('*').map(letters).fold(0, |all, some| all | some) } else { 0 };
        Self { source: source.to_owned(), pattern, parts, ignore_case, letters }
    }

    /// The pattern without its case prefix.
    pub fn text(&self) -> &str {
        self.source.strip_prefix(CASE_SENSITIVE).unwrap_or(&self.source)
    }

    /// Matches the whole of `text`. Time is bounded by the product of both lengths; no memory is taken.
    pub fn matches(&self, text: &str) -> bool {
        match &self.parts {
            Some(parts) if text.is_ascii() => self.matches_ascii(parts, text.as_bytes()).is_some(),
            _ => self.matches_characters(text),
        }
    }

    /// The first part begins the text, the last one ends it, the others come between, each as early as it can.
    fn matches_ascii(&self, parts: &[Vec<u8>], text: &[u8]) -> Option<()> {
        let equal = |part: &[u8], text: &[u8]| match self.ignore_case {
            true => part.eq_ignore_ascii_case(text),
            false => part == text,
        };
        let (first, others) = parts.split_first()?;
        let Some((last, middle)) = others.split_last() else { return equal(first, text).then_some(()) };
        let (start, rest) = text.split_at_checked(first.len())?;
        let (mut rest, end) = rest.split_at_checked(rest.len().checked_sub(last.len())?)?;
        if !equal(first, start) || !equal(last, end) {
            return None;
        }
        for part in middle.iter().filter(|part| !part.is_empty()) {
            let place = rest.windows(part.len()).position(|window| equal(part, window))?;
            rest = rest.get(place + part.len()..)?;
        }
        Some(())
    }

    fn matches_characters(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        // Where to go on when the text after the last `*` does not match: that star takes one character more.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let mut ahead = rest.clone();
            match (self.pattern.get(at), ahead.next()) {
                (Some('*'), _) => {
                    at += 1;
                    retry = Some((at, rest.clone()));
                }
                (None, None) => return true,
                (Some(&wanted), Some(found)) if wanted == fold(found, self.ignore_case) => {
                    at += 1;
                    rest = ahead;
                }
                _ => {
                    let Some((after_star, tried)) = retry.as_mut() else { return false };
                    if tried.next().is_none() {
                        return false;
                    }
                    at = *after_star;
                    rest = tried.clone();
                }
            }
        }
    }
}

/// A list of patterns; the first that matches counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wildcards(Vec<Wildcard>);

impl Wildcards {
    /// Prepares a list.
    pub fn new<S: AsRef<str>>(sources: &[S]) -> Self {
        Self(sources.iter().map(|source| Wildcard::new(source.as_ref())).collect())
    }

    /// The first pattern that matches.
    pub fn first_match(&self, text: &str) -> Option<&Wildcard> {
        let letters = if text.is_ascii() { letters(text) } else { u32::MAX };
        self.0.iter().find(|pattern| pattern.letters & !letters == 0 && pattern.matches(text))
    }

    /// Any pattern matches.
    pub fn matches(&self, text: &str) -> bool {
        self.first_match(text).is_some()
    }
}

/// A bit for each ASCII letter of the text, whatever its case; other characters share these bits.
fn letters(text: &str) -> u32 {
    text.bytes().fold(0, |bits, byte| bits | 1 << (byte & 31))
}

fn fold(character: char, ignore_case: bool) -> char {
    match ignore_case {
        true => character.to_lowercase().next().unwrap_or(character),
        false => character,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn agrees_with_elastics_vectors() {
        type Groups = BTreeMap<String, BTreeMap<String, BTreeMap<String, bool>>>;
        let text = include_str!("../../tests/data/vectors/json-specs/wildcard_matcher_tests.json");
        let groups: Groups = serde_json::from_str(text).unwrap();
        let mut cases = 0;
        for (group, patterns) in groups {
            for (pattern, texts) in patterns {
                let wildcard = Wildcard::new(&pattern);
                for (text, expected) in texts {
                    assert_eq!(wildcard.matches(&text), expected, "{group}: {pattern} on {text}");
                    assert_eq!(Wildcards::new(&[&pattern]).matches(&text), expected, "{group}: {pattern} on {text}");
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, 86);
    }

    #[test]
    fn gives_the_first_pattern_without_its_prefix() {
        let list = Wildcards::new(&["/nothing", "(?-i)/A/*", "*"]);
        assert_eq!(list.first_match("/A/1").unwrap().text(), "/A/*");
        assert_eq!(list.first_match("/a/1").unwrap().text(), "*");
        assert!(!Wildcards::default().matches(""));
    }

    #[test]
    fn ends_in_time_on_many_stars() {
        let pattern = Wildcard::new(&"*a".repeat(50));
        assert!(!pattern.matches(&"a".repeat(10_000).replace('a', "ab")));
    }

    /// What a wildcard means, without any care for time.
    fn means(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some(('*', after)), None) => means(after, text),
            (Some(('*', after)), Some((_, rest))) => means(after, text) || means(pattern, rest),
            (Some((wanted, after)), Some((found, rest))) => wanted == found && means(after, rest),
            (Some(_), None) => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn means_what_it_should(pattern in "[abä*]{0,8}", text in "[abä]{0,12}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(Wildcard::new(&pattern).matches(&text), means(&characters(&pattern), &characters(&text)));
        }

        #[test]
        fn means_the_same_by_bytes_and_by_characters(pattern in "(\\(\\?-i\\))?[aBk*]{0,8}", text in "[AbK]{0,12}") {
            let wildcard = Wildcard::new(&pattern);
            assert_eq!(wildcard.matches(&text), wildcard.matches_characters(&text));
            assert_eq!(Wildcards::new(&[&pattern]).matches(&text), wildcard.matches_characters(&text));
        }
    }
}
