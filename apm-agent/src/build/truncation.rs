//! Cutting text to Elastic's limits, which count Unicode code points.

use std::borrow::Cow;

/// Limit of a long field: statements, messages.
pub const LONG_FIELD: usize = 10_000;

/// Stands for what was cut; it counts as the last code point.
pub const ELLIPSIS: char = '\u{2026}';

/// Cuts `text` to `limit` code points, the last of which is then an ellipsis.
pub fn truncate(text: &str, limit: usize) -> Cow<'_, str> {
    // Bytes are never fewer than code points: most texts are decided without counting.
    if text.len() <= limit || text.chars().nth(limit).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(cut(text, limit))
}

/// Marks a text whose end was lost before it came here: as [`truncate`], but the ellipsis always comes.
pub fn truncate_incomplete(text: &str, limit: usize) -> String {
    cut(text, limit)
}

fn cut(text: &str, limit: usize) -> String {
    text.chars().take(limit.saturating_sub(1)).chain([ELLIPSIS]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_code_points() {
        assert_eq!(truncate("abc", 3), "abc");
        assert_eq!(truncate("abcd", 3), "ab…");
        assert_eq!(truncate("äöü", 3), "äöü");
        assert_eq!(truncate("äöüß", 3), "äö…");
        assert_eq!(truncate(&"x".repeat(1025), 1024).chars().count(), 1024);
    }

    #[test]
    fn marks_incomplete_text() {
        assert_eq!(truncate_incomplete("SELECT", 10), "SELECT…");
        assert_eq!(truncate_incomplete("SELECT", 4), "SEL…");
    }
}
