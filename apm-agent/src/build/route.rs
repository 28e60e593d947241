//! Names of routes, from what a run time knows of them.

use std::borrow::Cow;

use super::naming::Named;
use crate::bridge::Route;

/// Longest path and most values that are put together.
const MAX_PATH: usize = 4096;
const MAX_VALUES: usize = 64;

/// Keys of ASP.NET Core MVC that are not parameters of the route.
const OWN_KEYS: [&str; 4] = ["area", "controller", "action", "!__route_group"];

/// Name of the route a request for `path` took, without its method; `None`: it is not certain.
///
/// Values are put back into the path: `/orders/7` with `id` 7 is `/orders/{id}`. A value must stand in exactly one
/// segment of the path; else the pattern could be another, or holds more than a segment. A route without parameters is
/// its path.
pub fn name(route: &Route, path: &str) -> Option<Named> {
    match route {
        Route::Named(name) => Some(Named::Route(name.clone())),
        Route::Operation(name) => Some(Named::Operation(name.clone())),
        Route::Values(values) => pattern(values, path).map(Named::Route),
    }
}

fn pattern(values: &[(String, String)], path: &str) -> Option<String> {
    if !path.starts_with('/') || path.len() > MAX_PATH || values.len() > MAX_VALUES {
        return None;
    }
    // Routes do not mind a slash at the end.
    let path = path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path);
    let sent: Vec<Cow<'_, str>> = path.split('/').map(decode).collect();
    let mut segments: Vec<Cow<'_, str>> = path.split('/').map(Cow::Borrowed).collect();
    for (name, value) in values {
        let mut places = sent.iter().zip(&mut segments).filter(|(sent, _)| !sent.is_empty() && *sent == value);
        let (_, segment) = places.next()?;
        if places.next().is_some() {
            return None;
        }
        *segment = Cow::Owned(format!("{{{name}}}"));
    }
    Some(segments.join("/"))
}

/// Undoes percent-encoding (RFC 3986 section 2.1) as ASP.NET Core does for values: an encoded slash stays. Text that is
/// none afterwards stays as it was.
fn decode(segment: &str) -> Cow<'_, str> {
    let Some(first) = segment.find('%') else { return Cow::Borrowed(segment) };
    let (start, rest) = segment.split_at_checked(first).unwrap_or((segment, ""));
    let mut bytes = start.as_bytes().to_vec();
    let mut rest = rest.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let encoded = after.split_at_checked(2).filter(|_| byte == b'%').and_then(|(digits, after)| {
            let byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
            Some((byte.filter(|byte| *byte != b'/' && digits.iter().all(u8::is_ascii_hexdigit))?, after))
        });
        let (byte, after) = encoded.unwrap_or((byte, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

/// Name of an ASP.NET Core MVC action or Razor page from its route values, as Elastic's .NET agent makes it:
/// `Orders/Get {id}`, `Admin/Orders/List`, `/Privacy`. `None`: they belong to neither.
pub fn mvc(values: &[(String, String)]) -> Option<String> {
    let value = |wanted: &str| {
        let found = values.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let Some(controller) = value("controller") else { return value("page").map(str::to_owned) };
    let parts = [value("area"), Some(controller), value("action")];
    let action = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
    let own = |name: &str| OWN_KEYS.iter().any(|key| name.eq_ignore_ascii_case(key));
    let mut names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).filter(|name| !own(name)).collect();
    names.sort_by_key(|name| name.to_uppercase());
    Some(match names.is_empty() {
        true => action,
        false => format!("{action} {{{}}}", names.join("/")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(values: &[(&str, &str)]) -> Vec<(String, String)> {
        values.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn of(path: &str, values: &[(&str, &str)]) -> Option<String> {
        match name(&Route::Values(pairs(values)), path)? {
            Named::Route(name) => Some(name),
            Named::Operation(_) => None,
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn puts_values_back_into_the_path() {
        assert_eq!(of("/orders/7", &[("id", "7")]), some("/orders/{id}"));
        assert_eq!(of("/orders/7/", &[("id", "7")]), some("/orders/{id}"));
        assert_eq!(of("/a/b/c", &[("y", "c"), ("x", "a")]), some("/{x}/b/{y}"));
        assert_eq!(of("/orders", &[]), some("/orders"));
        assert_eq!(of("/", &[]), some("/"));
        assert_eq!(of("/hi/M%C3%BCller%20%26%20co", &[("who", "Müller & co")]), some("/hi/{who}"));
        assert_eq!(of("/f/a%2Fb", &[("name", "a%2Fb")]), some("/f/{name}"));
        assert_eq!(of("/f/100%", &[("name", "100%")]), some("/f/{name}"));
        assert_eq!(of("/f/%zz%+1%ff", &[("name", "%zz%+1%ff")]), some("/f/{name}"));
        assert_eq!(of("/%41/b", &[]), some("/%41/b"));
    }

    #[test]
    fn leaves_what_is_not_certain() {
        assert_eq!(of("/7/7", &[("id", "7")]), None, "twice");
        assert_eq!(of("/1/1", &[("a", "1"), ("b", "1")]), None, "whose is which");
        assert_eq!(of("/orders", &[("id", "5")]), None, "a default");
        assert_eq!(of("/orders", &[("id", "")]), None);
        assert_eq!(of("/f/x.txt", &[("name", "x"), ("kind", "txt")]), None, "two in a segment");
        assert_eq!(of("/f/a/b", &[("rest", "a/b")]), None, "several segments");
        assert_eq!(of("", &[]), None);
        assert_eq!(of("*", &[]), None);
        assert_eq!(of(&"/a".repeat(4096), &[]), None);
    }

    #[test]
    fn takes_names_as_they_are() {
        let named = |route: Route| name(&route, "/x").unwrap();
        assert_eq!(named(Route::Named("Orders/Get {id}".into())), Named::Route("Orders/Get {id}".into()));
        assert_eq!(named(Route::Operation("orders".into())), Named::Operation("orders".into()));
    }

    #[test]
    fn names_actions_and_pages_as_elastic_s_agent() {
        let named = |values: &[(&str, &str)]| mvc(&pairs(values));
        assert_eq!(named(&[("action", "Index"), ("controller", "Home")]), some("Home/Index"));
        let values =
            [("Controller", "Users"), ("ACTION", "Get"), ("id", "1"), ("Area", "Admin"), ("Be", ""), ("a", "2")];
        assert_eq!(named(&values), some("Admin/Users/Get {a/Be/id}"));
        assert_eq!(named(&[("controller", "Home"), ("area", ""), ("!__route_group", "x")]), some("Home"));
        assert_eq!(named(&[("page", "/Privacy"), ("id", "1")]), some("/Privacy"));
        assert_eq!(named(&[("controller", ""), ("page", "/P")]), some("/P"));
        assert_eq!(named(&[("id", "1")]), None);
        assert_eq!(named(&[]), None);
    }

    proptest::proptest! {
        #[test]
        fn takes_any_path(path in "/[a-c%4/1é]{0,20}", value in "[a-cA-C%/1]{0,4}") {
            let values = vec![("v".to_owned(), value.clone())];
            if let Some(Named::Route(name)) = name(&Route::Values(values), &path) {
                assert_eq!(name.matches("{v}").count(), 1);
                assert!(!value.is_empty() && !value.contains('/'));
            }
        }
    }
}
