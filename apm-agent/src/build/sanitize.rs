//! Hides the values of headers and cookies by their names (`sanitize_field_names`).

use super::rules::Rules;

/// Stands for a hidden value.
pub const REDACTED: &str = "[REDACTED]";

/// Headers to report: none when `capture_headers` is off; values hidden where the name says so. In `Cookie` each cookie
/// is hidden by its own name, and the header stays.
pub fn headers(mut headers: Vec<(String, String)>, rules: &Rules) -> Vec<(String, String)> {
    if !rules.headers {
        return Vec::new();
    }
    for (name, value) in &mut headers {
        if let Some(hidden) = hidden_value(name, value, rules) {
            *value = hidden;
        }
    }
    headers
}

/// What to write instead of the value; `None`: it may be seen.
fn hidden_value(name: &str, value: &str, rules: &Rules) -> Option<String> {
    if rules.sanitize.matches(name) {
        return Some(REDACTED.to_owned());
    }
    name.eq_ignore_ascii_case("cookie").then(|| cookies(value, rules))
}

fn cookies(header: &str, rules: &Rules) -> String {
    let cookie = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if rules.sanitize.matches(name.trim()) => format!("{}={REDACTED}", name.trim()),
        Some(_) | None => pair.trim().to_owned(),
    };
    header.split(';').map(cookie).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Capture;

    fn sanitised(list: &[(&str, &str)], capture: Capture) -> Vec<(String, String)> {
        let list: Vec<_> = list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        headers(list, &Rules::new(&capture))
    }

    #[test]
    fn hides_by_name_and_keeps_the_key() {
        let list = [("Authorization", "Bearer x"), ("X-Api-Key", "k"), ("Set-Cookie", "a=b"), ("Accept", "*/*")];
        let values: Vec<String> = sanitised(&list, Capture::default()).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [REDACTED, REDACTED, REDACTED, "*/*"]);
    }

    #[test]
    fn hides_single_cookies() {
        let hidden = sanitised(&[("cookie", "a=1;sessionid=2; lonely; csrf_token=x=y")], Capture::default());
        assert_eq!(hidden[0].1, "a=1; sessionid=[REDACTED]; lonely; csrf_token=[REDACTED]");
        let whole = Capture { sanitize_field_names: vec!["cookie".into()], ..Capture::default() };
        assert_eq!(sanitised(&[("Cookie", "a=1")], whole)[0].1, REDACTED);
    }

    #[test]
    fn reports_none_when_switched_off() {
        assert!(sanitised(&[("Accept", "*/*")], Capture { headers: false, ..Capture::default() }).is_empty());
    }
}
