//! What `inspect` tells of a program of Node.js: the libraries beside it, and what the script would do with each.

use crate::runtime::node::Installed;

/// As lines of text.
pub(super) fn lines(libraries: &[Installed]) -> Vec<String> {
    let mut lines = vec![
        "\nWhat the script would change, if it is loaded (besides node's own HTTP, fetch and errors):".to_owned(),
        "  a library is left alone by `--disable-instrumentations=NAME`; those in a bundle are found when they are used"
            .to_owned(),
    ];
    lines.extend(libraries.iter().map(line));
    if libraries.is_empty() {
        lines.push("  no library in `node_modules` that it knows".to_owned());
    }
    lines
}

fn line(library: &Installed) -> String {
    let (first, parts) = library.packages.split_first().map_or(("", &[][..]), |(first, parts)| (first.as_str(), parts));
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    // The name to switch it off by, where the package has another.
    let named = first.split(' ').next() == Some(library.name);
    let name = if named { String::new() } else { format!("{}: ", library.name) };
    match &library.left_alone {
        None => format!("  {name}{first}{parts}: {}", library.tells),
        Some(reason) => format!("  {name}{first}{parts}: left alone: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &'static str, packages: &[&str], left_alone: Option<&str>) -> Installed {
        let packages = packages.iter().map(ToString::to_string).collect();
        Installed { name, packages, tells: "routes, errors", left_alone: left_alone.map(str::to_owned) }
    }

    #[test]
    fn a_line_each() {
        let lines = lines(&[
            library("express", &["express 5.1.0", "router 2.2.0"], None),
            library("hapi", &["@hapi/hapi 19.0.0"], Some("too old, known from 20 on")),
        ]);
        assert_eq!(
            lines[2..],
            [
                "  express 5.1.0 (router 2.2.0): routes, errors",
                "  hapi: @hapi/hapi 19.0.0: left alone: too old, known from 20 on",
            ]
        );
    }
}
