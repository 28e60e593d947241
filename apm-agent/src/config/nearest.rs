//! Finds the known word a misspelt one was meant to be.

/// The nearest of `known` to `word`, if it is near enough to be meant: at most a third of the word's letters differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, delete or replace to make one word the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().take(64).enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        for (slot, other) in row.iter_mut().skip(1).zip(&right) {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = *slot;
            *slot = replaced.min(before + 1).min(diagonal + 1);
            before = *slot;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_letters_that_differ() {
        for (left, right, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("server_url", "server_url", 0),
            ("server_ulr", "server_url", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn proposes_only_what_can_have_been_meant() {
        let known = ["server_url", "secret_token", "api_key"];
        assert_eq!(nearest("sever_url", known), Some("server_url"));
        assert_eq!(nearest("weather", known), None);
    }
}
