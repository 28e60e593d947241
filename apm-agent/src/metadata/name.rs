//! Service names and labels in the characters Elastic allows.

/// Longest value of a keyword field, characters.
const LONGEST: usize = 1024;

/// A service name: letters, digits, space, `_` and `-` stay, anything else becomes `_`. `None` when nothing is left.
pub fn clean_service_name(name: &str) -> Option<String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || " _-".contains(letter);
    let replace = |letter| if allowed(letter) { letter } else { '_' };
    let cleaned: String = name.trim().chars().take(LONGEST).map(replace).collect();
    cleaned.chars().any(|letter| letter.is_ascii_alphanumeric()).then_some(cleaned)
}

/// The name that makes the user interface show help: nothing better was found.
pub fn unknown_service_name(agent_name: &str) -> String {
    format!("unknown-{agent_name}-service")
}

/// A label's key: `.`, `*` and `"` become `_`.
pub fn clean_label_key(key: &str) -> String {
    key.chars().map(|letter| if matches!(letter, '.' | '*' | '"') { '_' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_only_what_is_allowed() {
        for (name, expected) in [
            ("shop", Some("shop")),
            (" my shop-2_x ", Some("my shop-2_x")),
            ("a.b/c", Some("a_b_c")),
            ("größe", Some("gr__e")),
            ("...", None),
            ("", None),
        ] {
            assert_eq!(clean_service_name(name).as_deref(), expected, "{name}");
        }
        assert_eq!(clean_service_name(&"x".repeat(3000)).map(|name| name.len()), Some(1024));
        assert_eq!(clean_label_key("a.b*c\"d"), "a_b_c_d");
    }
}
