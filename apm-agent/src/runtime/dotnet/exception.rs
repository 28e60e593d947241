//! Exceptions as .NET writes them down: the text of `Exception.ToString()`, a stack alone, and the last words of a
//! program on standard error.
//!
//! The text is one exception's class and message, then its inner exception the same way, then its frames:
//!
//! ```text
//! Shop.Broken: could not place it
//!  ---> System.FormatException: not a number
//!    at Shop.Orders.Read(String text) in /src/Orders.cs:line 9
//!    --- End of inner exception stack trace ---
//!    at Shop.Orders.PlaceAsync(Int32 id) in /src/Orders.cs:line 7
//! --- End of stack trace from previous location ---
//!    at Program.<Main>$(String[] args) in /src/Program.cs:line 3
//!  ---> (Inner Exception #1) System.TimeoutException: too slow<---
//! ```
//!
//! Only the shape is read, no word of it, for the words may be in the program's language. A message may hold any line;
//! what cannot be told from a message belongs to it until the first frame, and is passed over after it.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use crate::bridge::{Frame, Thrown};

mod name;
#[cfg(test)]
mod tests;

/// Longest text read, in bytes; what follows is passed over.
const MAX_TEXT: usize = 64 * 1024;

/// Most frames of an exception and all its causes together.
const MAX_FRAMES: usize = 500;

/// Deepest chain of causes; deeper ones are passed over.
const MAX_DEPTH: usize = 10;

/// Most causes of an exception and of its causes together.
const MAX_CAUSES: usize = 50;

/// What .NET writes to standard error before an exception nobody caught.
const UNHANDLED: &str = "Unhandled exception. ";

/// Begins an inner exception.
const INNER: &str = " ---> ";

/// Ends an inner exception of an aggregate but the first.
const END_OF_NUMBERED: &str = "<---";

/// Namespaces and classes that are not the user's own code: those Elastic's .NET agent leaves out when it looks for the
/// culprit (its default of `excluded_namespaces`), and the database driver whose calls we see.
const LIBRARIES: &[&str] =
    &["System.", "Microsoft.", "MS.", "FSharp.", "Newtonsoft.Json", "Serilog", "NLog", "Giraffe.", "Npgsql."];

/// Reads the text of `Exception.ToString()`; `None` when there is none.
pub fn read(text: &str) -> Option<Thrown> {
    let text = cut(text);
    let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
    if head.trim().is_empty() {
        return None;
    }
    let mut reader = Reader::new(head);
    rest.lines().for_each(|line| reader.read(line));
    Some(reader.finish())
}

/// Reads what a program that ends by an exception wrote to standard error, whatever it wrote before; `None` when there
/// is nothing of the kind.
pub fn read_crash(text: &str) -> Option<Thrown> {
    let start = text.find(UNHANDLED)?;
    read(text.get(start + UNHANDLED.len()..)?)
}

/// Reads a stack alone (`Exception.StackTrace`).
pub fn read_stack(text: &str) -> Vec<Frame> {
    cut(text).lines().filter_map(frame).take(MAX_FRAMES).collect()
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or(text)
}

/// How an exception came into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nesting {
    /// The outermost one, or an ordinary inner exception.
    Inner,
    /// One of an aggregate's, by its number.
    Numbered(u32),
}

/// An exception being read.
struct Open {
    thrown: Thrown,
    nesting: Nesting,
    /// Lines still belong to the message.
    in_message: bool,
}

impl Open {
    fn new(head: &str, nesting: Nesting) -> Self {
        let (kind, message) = split_head(head.trim_end());
        let thrown = Thrown { kind: kind.to_owned(), message: message.to_owned(), ..Thrown::default() };
        Self { thrown, nesting, in_message: true }
    }
}

struct Reader {
    outermost: Open,
    /// Those inside it, each inside the one before.
    inner: Vec<Open>,
    frames: usize,
    causes: usize,
}

impl Reader {
    fn new(head: &str) -> Self {
        Self { outermost: Open::new(head, Nesting::Inner), inner: Vec::new(), frames: 0, causes: 0 }
    }

    fn current(&mut self) -> &mut Open {
        self.inner.last_mut().unwrap_or(&mut self.outermost)
    }

    fn read(&mut self, line: &str) {
        let line = line.trim_end_matches('\r');
        let numbered = self.inner.iter().any(|open| open.nesting != Nesting::Inner);
        match line.strip_suffix(END_OF_NUMBERED).filter(|_| numbered) {
            Some(before) => {
                self.read_within(before);
                self.end_numbered();
            }
            None => self.read_within(line),
        }
    }

    fn read_within(&mut self, line: &str) {
        if let Some(head) = line.strip_prefix(INNER) {
            self.begin(head);
        } else if let Some(frame) = frame(line) {
            self.current().in_message = false;
            if self.frames < MAX_FRAMES {
                self.frames += 1;
                self.current().thrown.frames.push(frame);
            }
        } else if is_separator(line) && line.starts_with(' ') && !self.inner.is_empty() {
            // The end of an inner exception is indented like a frame; that of a part of the stack is not.
            self.end();
        } else if self.current().in_message {
            let message = &mut self.current().thrown.message;
            message.push('\n');
            message.push_str(line);
        }
    }

    fn begin(&mut self, head: &str) {
        self.current().in_message = false;
        let (nesting, head) = match numbered(head) {
            Some((number, head)) => (Nesting::Numbered(number), head),
            None => (Nesting::Inner, head),
        };
        let mut open = Open::new(head, nesting);
        // An exception may end on the line it began on.
        let ended = open.thrown.message.strip_suffix(END_OF_NUMBERED).map(str::to_owned);
        let ended = ended.filter(|_| nesting != Nesting::Inner);
        if let Some(message) = &ended {
            open.thrown.message.clone_from(message);
        }
        self.inner.push(open);
        if ended.is_some() {
            self.end();
        }
    }

    /// The innermost one is read to its end: it is a cause of the one around it.
    fn end(&mut self) {
        let Some(mut open) = self.inner.pop() else { return };
        trim_message(&mut open.thrown);
        let depth = self.inner.len();
        let causes = &mut self.current().thrown.causes;
        // Older run times tell the first exception of an aggregate twice.
        let again = open.nesting == Nesting::Numbered(0) && !causes.is_empty();
        if depth < MAX_DEPTH && !again && self.causes < MAX_CAUSES {
            self.current().thrown.causes.push(open.thrown);
            self.causes += 1;
        }
    }

    /// Ends all up to the innermost exception of an aggregate.
    fn end_numbered(&mut self) {
        while let Some(nesting) = self.inner.last().map(|open| open.nesting) {
            self.end();
            if nesting != Nesting::Inner {
                break;
            }
        }
    }

    fn finish(mut self) -> Thrown {
        while !self.inner.is_empty() {
            self.end();
        }
        trim_message(&mut self.outermost.thrown);
        self.outermost.thrown
    }
}

fn trim_message(thrown: &mut Thrown) {
    thrown.message.truncate(thrown.message.trim_end().len());
}

/// `Ns.Class: message`, `Ns.Class (0x80004005): message`, or a class alone. A line that names no class is a message.
fn split_head(head: &str) -> (&str, &str) {
    let (before, message) = head.split_once(": ").unwrap_or((head.strip_suffix(':').unwrap_or(head), ""));
    // Exceptions of the system write their code in parentheses.
    let class = match before.split_once(" (") {
        Some((class, code)) if code.ends_with(')') => class,
        Some(_) | None => before,
    };
    match name::is_class(class) {
        true => (class, message),
        false => ("", head),
    }
}

/// `(Inner Exception #1) Ns.Class: message`, the words in any language.
fn numbered(head: &str) -> Option<(u32, &str)> {
    let (words, rest) = head.strip_prefix('(')?.split_once(") ")?;
    Some((words.rsplit_once('#')?.1.parse().ok()?, rest))
}

/// `--- End of … ---`
fn is_separator(line: &str) -> bool {
    let text = line.trim();
    text.len() > 8 && text.starts_with("--- ") && text.ends_with(" ---")
}

/// `   at Ns.Class.Method(String text) in /src/File.cs:line 12`; `None` for a line that is no frame.
fn frame(line: &str) -> Option<Frame> {
    let (word, call) = line.strip_prefix("   ")?.split_once(' ')?;
    let (method, after) = call.split_once('(')?;
    if word.is_empty() || !word.chars().all(char::is_alphabetic) || method.is_empty() || method.contains(' ') {
        return None;
    }
    let location = arguments_end(after)?;
    let (file, line) = source(location);
    let (class, function) = name::demangle(method);
    let library = class.as_deref().is_some_and(|class| LIBRARIES.iter().any(|library| class.starts_with(library)));
    Some(Frame { class, function, file, line, library, ..Frame::default() })
}

/// What follows the arguments, and the part of an iterator that ran (`+MoveNext()`).
fn arguments_end(text: &str) -> Option<&str> {
    let mut rest = text;
    // Arguments that are functions have parentheses of their own.
    while let Some((_, after)) = rest.split_once(')') {
        if after.is_empty() || after.starts_with(' ') {
            return Some(after);
        }
        rest = after;
    }
    None
}

/// `` in /src/File.cs:line 12``: file and line, words in any language.
fn source(location: &str) -> (Option<String>, Option<u32>) {
    let place = location.trim_start().split_once(' ').filter(|(word, _)| word.chars().all(char::is_alphabetic));
    let Some((path, line)) = place.and_then(|(_, place)| place.rsplit_once(':')) else { return (None, None) };
    let line = line.rsplit(' ').next().and_then(|number| number.parse().ok()).filter(|line| *line > 0);
    (Some(path.to_owned()).filter(|path| !path.is_empty()), line)
}
