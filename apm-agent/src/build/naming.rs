//! Names of transactions.

use super::rules::Rules;

/// What a request is named by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The framework's pattern; the method stands before it.
    Route(String),
    /// The GraphQL operation it asks for.
    Operation(String),
}

/// Stands for a route nobody told us.
const UNKNOWN_ROUTE: &str = "unknown route";

/// Name of an HTTP transaction: `<METHOD> <route>`, else the path where the user wants that, else `unknown route`; or the
/// operation it asks for. Then `transaction_name_groups` has the last word. `method` may be empty: the head of the request
/// was lost.
pub fn transaction(method: &str, named: Option<&Named>, path: &str, rules: &Rules) -> String {
    let place = match named {
        Some(Named::Operation(name)) => return group(name.clone(), rules),
        Some(Named::Route(route)) => route,
        None if rules.use_path_as_name && !path.is_empty() => path,
        None => UNKNOWN_ROUTE,
    };
    let name = match method.is_empty() {
        true => place.to_owned(),
        false => format!("{method} {place}"),
    };
    group(name, rules)
}

/// Applies `transaction_name_groups`: the first pattern that matches is the name.
pub fn group(name: String, rules: &Rules) -> String {
    match rules.name_groups.first_match(&name) {
        Some(pattern) => pattern.text().to_owned(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Capture;

    #[test]
    fn names_by_route_then_path_then_nothing() {
        let mut rules = Rules::default();
        assert_eq!(
            transaction("GET", Some(&Named::Route("/users/{id}".into())), "/users/1", &rules),
            "GET /users/{id}"
        );
        assert_eq!(transaction("POST", Some(&Named::Operation("orders".into())), "/graphql", &rules), "orders");
        assert_eq!(transaction("GET", None, "/users/1", &rules), "GET unknown route");
        assert_eq!(transaction("", None, "", &rules), "unknown route");
        rules.use_path_as_name = true;
        assert_eq!(transaction("GET", None, "/users/1", &rules), "GET /users/1");
        assert_eq!(transaction("GET", None, "", &rules), "GET unknown route");
    }

    #[test]
    fn groups_names_by_the_first_pattern() {
        let name_groups = vec!["GET /user/*/cart".to_owned(), "GET /user/*".to_owned()];
        let rules = Rules::new(&Capture { name_groups, use_path_as_name: true, ..Capture::default() });
        assert_eq!(transaction("GET", None, "/user/42/cart", &rules), "GET /user/*/cart");
        assert_eq!(transaction("GET", None, "/user/42", &rules), "GET /user/*");
        assert_eq!(transaction("POST", None, "/user/42", &rules), "POST /user/42");
    }
}
