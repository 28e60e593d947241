//! Errors of a Go program, and what it panicked with, and where: from the words the kernel side took to names, text and
//! lines.

use crate::{
    binary::go::{GoBinary, GoType, Kind},
    bridge::{Failed, Frame, Panicked, Recovered, Recoverer, Thrown},
    event::{Panic, Value},
};

/// What Go puts in front of its own errors (`runtime.Error`).
const RUNTIME_ERROR: &str = "runtime error: ";

/// The type of echo's own errors, in any major version.
const ECHO_ERROR: (&str, &str) = ("*github.com/labstack/echo", ".HTTPError");

/// fiber's, in any major version.
const FIBER_ERROR: (&str, &str) = ("*github.com/gofiber/fiber", ".Error");

/// Errors whose text is the one they begin with. What others say only their own code knows: they are told by their type.
const PLAIN_ERRORS: [&str; 5] = [
    "*errors.errorString",
    "*fmt.wrapError",
    "*fmt.wrapErrors",
    "*github.com/pkg/errors.fundamental",
    "*modernc.org/sqlite.Error",
];

/// Errors of github.com/mattn/go-sqlite3.
const SQLITE_ERROR: &str = "github.com/mattn/go-sqlite3.Error";

/// The functions of servers that recover when nobody else does.
const SERVERS: [&str; 4] = [
    "net/http.(*conn).serve",
    "net/http.(*http2serverConn).runHandler",
    "net/http/internal/http2.(*serverConn).runHandler",
    "golang.org/x/net/http2.(*serverConn).runHandler",
];

/// The binary of a process, and how far from its addresses it runs.
#[derive(Debug)]
pub struct Code {
    /// The binary.
    pub binary: GoBinary,
    /// Distance.
    pub bias: u64,
}

impl Code {
    /// A panic in words.
    pub fn panicked(&self, panic: &Panic<'_>) -> Panicked {
        Panicked { goroutine: panic.goroutine, request: panic.request, thrown: self.thrown(panic) }
    }

    /// Who recovered a goroutine's panic, by an address in the function that goes on.
    pub fn recovered(&self, goroutine: u64, resumed_at: u64) -> Recovered {
        let found = self.binary.symbolise(resumed_at.wrapping_sub(self.bias).wrapping_sub(1)).into_iter().last();
        let by = match found {
            Some(found) if SERVERS.contains(&found.function.as_str()) => Recoverer::Server,
            Some(found) if is_standard(split(&found.function).0, &found.file) => Recoverer::Language,
            _ => Recoverer::Program,
        };
        Recovered { goroutine, by }
    }

    /// An error that the handler of a request gave back, in words.
    pub fn failed(&self, request: u64, value: &Value<'_>) -> Failed {
        Failed { request, thrown: self.error(value) }
    }

    /// An error in words, without a stack: it would be that of who told it.
    pub fn error(&self, value: &Value<'_>) -> Thrown {
        let (found, kind) = self.value_type(value);
        let message = match found {
            _ if kind.starts_with(ECHO_ERROR.0) && kind.ends_with(ECHO_ERROR.1) => self.echo_error(value),
            _ if kind == SQLITE_ERROR || kind.starts_with(FIBER_ERROR.0) && kind.ends_with(FIBER_ERROR.1) => {
                Some(String::from_utf8_lossy(value.text).into_owned())
            }
            Some(found) if PLAIN_ERRORS.contains(&kind.as_str()) => self.message(&found, &kind, value),
            _ => None,
        };
        let code = (kind == SQLITE_ERROR).then(|| value.words[0].to_string());
        let (module, kind) = named(&kind);
        let message = message.unwrap_or_default();
        Thrown { kind, module, message, code, culprit: Some(String::new()), ..Thrown::default() }
    }

    fn thrown(&self, panic: &Panic<'_>) -> Thrown {
        let frames = self.frames(panic);
        let (found, kind) = self.value_type(&panic.value);
        let message = found.and_then(|found| self.message(&found, &kind, &panic.value)).unwrap_or_default();
        let (module, kind) = named(&kind);
        Thrown { kind, module, message, culprit: Some(culprit(&frames)), frames, ..Thrown::default() }
    }

    fn value_type(&self, value: &Value<'_>) -> (Option<GoType>, String) {
        let address = value.value_type.wrapping_sub(self.bias);
        (self.binary.type_at(address), self.binary.type_name(address).unwrap_or_default())
    }

    /// The text of an `*echo.HTTPError` whose message is a text and that has no other error within.
    fn echo_error(&self, value: &Value<'_>) -> Option<String> {
        let [code, message_type, _, has_inner] = value.words;
        let is_text = self.binary.type_at(message_type.wrapping_sub(self.bias))?.kind == Kind::String;
        let text = String::from_utf8_lossy(value.text);
        (is_text && has_inner == 0).then(|| format!("code={}, message={text}", code.cast_signed()))
    }

    fn message(&self, found: &GoType, kind: &str, value: &Value<'_>) -> Option<String> {
        let prefix = if kind.starts_with("runtime.") && kind != "runtime.plainError" { RUNTIME_ERROR } else { "" };
        match found.kind {
            Kind::String => Some(format!("{prefix}{}", String::from_utf8_lossy(value.text))),
            Kind::Int | Kind::Int64 => value.words.first().map(|word| word.cast_signed().to_string()),
            Kind::Struct if kind == "runtime.boundsError" => Some(format!("{prefix}{}", bounds(value)?)),
            Kind::Struct => self.leading_text(found.address, prefix, value),
            Kind::Pointer => self.leading_text(found.element?, prefix, value),
            _ => None,
        }
    }

    /// The text of a structure that begins with one: most errors do.
    fn leading_text(&self, structure: u64, prefix: &str, value: &Value<'_>) -> Option<String> {
        let first = self.binary.fields(structure).into_iter().next().filter(|field| field.offset == 0)?;
        let is_text = self.binary.type_at(first.type_address)?.kind == Kind::String;
        (is_text && !value.text.is_empty()).then(|| format!("{prefix}{}", String::from_utf8_lossy(value.text)))
    }

    fn frames(&self, panic: &Panic<'_>) -> Vec<Frame> {
        let mut frames = Vec::new();
        for (index, address) in panic.stack.iter().enumerate() {
            // All but the innermost are return addresses: the call is before them.
            let back = u64::from(index > 0);
            let found = self.binary.symbolise(address.wrapping_sub(self.bias).wrapping_sub(back));
            frames.extend(found.into_iter().map(|found| frame(&found.function, &found.file, found.line)));
        }
        // What the run time does before: `gopanic`, `sigpanic`, `panicmem`.
        let outside = frames.iter().position(|frame| frame.module.as_deref() != Some("runtime")).unwrap_or(0);
        frames.split_off(outside)
    }
}

/// The first function of the program's own, as Elastic's Go agent has it; empty: there is none.
fn culprit(frames: &[Frame]) -> String {
    frames.iter().find(|frame| !frame.library).map_or_else(String::new, |frame| frame.function.clone())
}

/// Package and name of a type, or of what it points to, as Elastic's Go agent has them: `*example.org/shop.Empty` is
/// `Empty` of `example.org/shop`. A type without a name of its own has no package.
fn named(kind: &str) -> (Option<String>, String) {
    let pointed_to = kind.strip_prefix('*').unwrap_or(kind);
    // The arguments of a generic type are in brackets, and have packages of their own.
    let (package, _) = split(pointed_to.split('[').next().unwrap_or_default());
    match pointed_to.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')) {
        Some(name) if !package.contains([' ', '(', '{', '*']) => (Some(package.to_owned()), name.to_owned()),
        _ => (None, kind.to_owned()),
    }
}

/// A frame from a full name: `github.com/lib/pq.(*conn).Query` is `(*conn).Query` of `github.com/lib/pq`.
fn frame(name: &str, file: &str, line: u32) -> Frame {
    let (package, function) = split(name);
    Frame {
        function: function.to_owned(),
        module: Some(package.replace("%2e", ".")).filter(|package| !package.is_empty()),
        file: Some(file.to_owned()).filter(|file| !file.is_empty()),
        short_file: file.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned),
        line: Some(line).filter(|line| *line > 0),
        library: is_library(package, file),
        ..Frame::default()
    }
}

/// Package and function of a full name: the package ends at the first dot behind its last slash.
fn split(name: &str) -> (&str, &str) {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name.get(last..).and_then(|rest| rest.find('.')).map(|dot| last + dot);
    dot.and_then(|dot| Some((name.get(..dot)?, name.get(dot + 1..)?))).unwrap_or(("", name))
}

/// Is it a package of Go's own? Their paths begin with a word without a dot; so may a program's, but for those Go gives
/// the name `main` and those whose module has a dot.
fn is_standard(package: &str, file: &str) -> bool {
    let first = package.split('/').next().unwrap_or_default();
    // Files of Go's own are named by their package (`-trimpath`), or lie in Go's folder.
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    package != "main" && !first.contains('.') && (folder == package || folder.ends_with(&format!("/src/{package}")))
}

/// Code of Go's own, or of a module that was fetched or vendored.
fn is_library(package: &str, file: &str) -> bool {
    is_standard(package, file) || file.contains('@') || file.contains("/vendor/") || package.contains("/vendor/")
}

/// `runtime.boundsError`: two numbers, whether the first is signed, and a code.
fn bounds(value: &Value<'_>) -> Option<String> {
    let [x, y, rest, _] = value.words;
    let [signed, code, ..] = rest.to_ne_bytes();
    let x = if signed == 1 { x.cast_signed().to_string() } else { x.to_string() };
    Some(match code {
        0 => format!("index out of range [{x}] with length {y}"),
        1 => format!("slice bounds out of range [:{x}] with length {y}"),
        2 => format!("slice bounds out of range [:{x}] with capacity {y}"),
        3 => format!("slice bounds out of range [{x}:{y}]"),
        4 => format!("slice bounds out of range [::{x}] with length {y}"),
        5 => format!("slice bounds out of range [::{x}] with capacity {y}"),
        6 => format!("slice bounds out of range [:{x}:{y}]"),
        7 => format!("slice bounds out of range [{x}:{y}:]"),
        8 => format!("cannot convert slice with length {x} to array or pointer to array with length {y}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_names() {
        assert_eq!(split("main.main.func1"), ("main", "main.func1"));
        assert_eq!(split("github.com/lib/pq.(*conn).Query"), ("github.com/lib/pq", "(*conn).Query"));
        assert_eq!(split("net/http.HandlerFunc.ServeHTTP"), ("net/http", "HandlerFunc.ServeHTTP"));
        assert_eq!(split("nothing"), ("", "nothing"));
        assert_eq!(split(""), ("", ""));
    }

    #[test]
    fn names_types() {
        let found = |kind| named(kind);
        let of = |package: &str, name: &str| (Some(package.to_owned()), name.to_owned());
        assert_eq!(found("*github.com/labstack/echo/v4.HTTPError"), of("github.com/labstack/echo/v4", "HTTPError"));
        assert_eq!(found("main.broken"), of("main", "broken"));
        assert_eq!(found("*main.of[example.org/a.b]"), of("main", "of[example.org/a.b]"));
        for nameless in
            ["string", "[]main.x", "map[string]main.x", "func(main.x)", "**main.x", "struct { a main.x }", ""]
        {
            assert_eq!(found(nameless), (None, nameless.to_owned()));
        }
    }

    #[test]
    fn tells_libraries() {
        let library = |name, file| frame(name, file, 1).library;
        assert!(library("net/http.(*conn).serve", "net/http/server.go"));
        assert!(library("net/http.(*conn).serve", "/usr/local/go/src/net/http/server.go"));
        assert!(library("github.com/lib/pq.x", "github.com/lib/pq@v1.10.9/conn.go"));
        assert!(library("github.com/lib/pq.x", "/app/vendor/github.com/lib/pq/conn.go"));
        assert!(!library("main.main", "example.org/shop/main.go"));
        assert!(!library("example.org/shop/cart.Add", "example.org/shop/cart/cart.go"));
        assert!(!library("shop/cart.Add", "/home/me/shop/cart/cart.go"));
    }

    #[test]
    fn words_bounds() {
        let said = |words: [u64; 4]| bounds(&Value { value_type: 0, words, text: b"" });
        let rest = |signed: u8, code: u8| u64::from_ne_bytes([signed, code, 0, 0, 0, 0, 0, 0]);
        let text = said([5, 3, rest(1, 0), 0]);
        assert_eq!(text.as_deref(), Some("index out of range [5] with length 3"));
        let text = said([u64::MAX, 3, rest(1, 3), 0]);
        assert_eq!(text.as_deref(), Some("slice bounds out of range [-1:3]"));
        assert_eq!(said([0, 0, rest(0, 99), 0]), None);
    }
}
