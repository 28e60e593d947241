//! Names of functions and types as different builds write them, made comparable.
//!
//! The linker escapes dots in the last element of an import path (`gopkg.in/yaml%2ev3.Node`), `go mod vendor` and GOPATH
//! put a folder in front (`example.com/shop/vendor/github.com/…`), and GOPATH builds drop the major version
//! (`github.com/go-chi/chi/v5` becomes `github.com/go-chi/chi`).

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hasher as _},
};

/// The name without escapes and without the folder it is vendored in. The standard library's own vendored packages
/// (`vendor/golang.org/…`) keep theirs: they are other packages than the modules of that name.
pub(super) fn plain(name: &str) -> Cow<'_, str> {
    let path = name.split(['(', '[']).next().unwrap_or_default();
    let start = path.rfind("/vendor/").map_or(0, |place| place + "/vendor/".len());
    let name = name.get(start..).unwrap_or(name);
    if name.contains("%2e") { Cow::Owned(name.replace("%2e", ".")) } else { Cow::Borrowed(name) }
}

/// The name as Go prints it in stack traces: arguments of types are left out.
pub(super) fn printed(plain: &str) -> String {
    match (plain.split_once('['), plain.rsplit_once(']')) {
        (Some((start, _)), Some((_, end))) => format!("{start}[...]{end}"),
        _ => plain.to_string(),
    }
}

/// Equal for names that may mean the same.
pub(super) fn key(plain: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut rest = plain.as_bytes();
    while let Some((byte, next)) = rest.split_first() {
        match version(rest) {
            Some(length) => rest = rest.get(length..).unwrap_or_default(),
            None => {
                hasher.write_u8(*byte);
                rest = next;
            }
        }
    }
    hasher.finish()
}

/// Both plain names mean the same: they are equal, save that one may lack a major version which the other has.
pub(super) fn same(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    loop {
        match (version(left), version(right)) {
            (Some(length), None) => left = left.get(length..).unwrap_or_default(),
            (None, Some(length)) => right = right.get(length..).unwrap_or_default(),
            _ => match (left.split_first(), right.split_first()) {
                (None, None) => return true,
                (Some((one, left_rest)), Some((other, right_rest))) if one == other => {
                    (left, right) = (left_rest, right_rest);
                }
                _ => return false,
            },
        }
    }
}

/// Length of the major version the bytes begin with: `/v2`, followed by `/` or `.`.
fn version(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.strip_prefix(b"/v")?;
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_version = length > 0 && matches!(digits.get(length), Some(b'/' | b'.'));
    is_version.then_some(length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_builds_are_the_same() {
        let module = "github.com/go-chi/chi/v5.(*Mux).ServeHTTP";
        for found in [
            "github.com/go-chi/chi/v5.(*Mux).ServeHTTP",
            "github.com/go-chi/chi.(*Mux).ServeHTTP",
            "example.com/shop/vendor/github.com/go-chi/chi/v5.(*Mux).ServeHTTP",
        ] {
            assert!(same(module, &plain(found)), "{found}");
            assert_eq!(key(module), key(&plain(found)), "{found}");
        }
        assert!(same("gopkg.in/yaml.v3.Node", &plain("gopkg.in/yaml%2ev3.Node")));
        assert!(same("a/v9/b.C", "a/b.C"));
    }

    #[test]
    fn names_are_printed_as_go_does() {
        assert_eq!(printed("sync.(*Pool[go.shape.int]).Get"), "sync.(*Pool[...]).Get");
        assert_eq!(printed("a.Map[b.C[d],e]"), "a.Map[...]");
        assert_eq!(printed("net/http.(*conn).serve"), "net/http.(*conn).serve");
    }

    #[test]
    fn other_names_are_not() {
        for (left, right) in [
            ("github.com/jackc/pgx/v5.Conn", "github.com/jackc/pgx/v4.Conn"),
            ("golang.org/x/net/http2/hpack.Encoder", "vendor/golang.org/x/net/http2/hpack.Encoder"),
            ("a/value.T", "a/alue.T"),
            ("a.T", "a.T.func1"),
            ("a.Map[b/vendor/c.T]", "c.T]"),
        ] {
            assert!(!same(&plain(left), &plain(right)), "{left} {right}");
        }
    }
}
