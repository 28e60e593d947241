//! Names of methods as the source has them, from those the C# compiler makes of lambdas, local functions and methods
//! it turns into state machines.
//!
//! | compiled | source |
//! |---|---|
//! | `Ns.Class.<MethodAsync>d__5.MoveNext` | `Ns.Class`, `MethodAsync` |
//! | `Ns.Class.<>c.<Method>b__0_6` | `Ns.Class`, `Method+() => { }` |
//! | `Ns.Class.<Outer>g__Local\|0_1` | `Ns.Class`, `Outer+Local` |
//! | `Program.<>c.<<<Main>$>b__0_1>d.MoveNext` | `Program`, `Main+() => { }` |

use std::borrow::Cow;

/// Stands for a lambda's name.
const LAMBDA: &str = "() => { }";

/// Deepest nesting of made names that is undone.
const MAX_DEPTH: u32 = 8;

/// Class, and function without generic arguments.
pub(super) fn demangle(method: &str) -> (Option<String>, String) {
    let method = without_arguments(method);
    let Some((class, function)) = split_last(method) else { return (None, source_name(method, 0).into_owned()) };
    let (class, function) = match (function, split_last(class)) {
        // The state machine is a class of its own inside the method's class.
        ("MoveNext", Some((outer, machine))) if is_state_machine(machine) => (outer, machine),
        _ => (class, function),
    };
    (Some(source_class(class)), source_name(function, 0).into_owned())
}

/// The name of a class: identifiers with dots, and what stands for nesting and generic arguments.
pub(super) fn is_class(text: &str) -> bool {
    let name = text.split('[').next().unwrap_or_default();
    let allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '.' | '+' | '`' | '<' | '>' | '$');
    name.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_' || first == '<')
        && name.chars().all(allowed)
        && (name.len() == text.len() || text.ends_with(']'))
}

/// `Load[T]` is `Load`.
fn without_arguments(method: &str) -> &str {
    match method.strip_suffix(']').and_then(|inner| inner.rfind('[')) {
        Some(start) => method.get(..start).unwrap_or(method),
        None => method,
    }
}

/// Splits at the last dot outside of `<>` and `[]`; a constructor's name begins with a dot of its own.
fn split_last(name: &str) -> Option<(&str, &str)> {
    if let Some(class) = name.strip_suffix("..ctor").or_else(|| name.strip_suffix("..cctor")) {
        return Some((class, name.get(class.len() + 1..)?));
    }
    let mut depth = 0_i32;
    for (at, letter) in name.char_indices().rev() {
        match letter {
            '>' | ']' => depth += 1,
            '<' | '[' => depth -= 1,
            '.' if depth == 0 => return Some((name.get(..at)?, name.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// `<Method>d__5`, with generic parameters too, or `<…>d` of a lambda.
fn is_state_machine(class: &str) -> bool {
    made(class).is_some_and(|(inner, rest)| !inner.is_empty() && (rest == "d" || rest.starts_with("d__")))
}

/// Without the classes the compiler makes inside the user's; a class that is all made stays as it is.
fn source_class(class: &str) -> String {
    let mut class = class;
    while let Some((outer, last)) = split_last(class).filter(|(_, last)| last.starts_with('<')) {
        // A class of one file only keeps its name behind the file's.
        if let Some(own) = made(last).and_then(|(_, rest)| rest.strip_prefix('F')?.split_once("__")) {
            return format!("{outer}.{}", own.1);
        }
        class = outer;
    }
    class.to_owned()
}

/// The name the source has for a method.
fn source_name(name: &str, depth: u32) -> Cow<'_, str> {
    let Some((inner, rest)) = made(name).filter(|(inner, _)| depth < MAX_DEPTH && !inner.is_empty()) else {
        return Cow::Borrowed(name);
    };
    let inner = || source_name(inner, depth + 1);
    if let Some(local) = rest.strip_prefix("g__") {
        let local = local.split_once('|').map_or(local, |(local, _)| local);
        return Cow::Owned(format!("{}+{local}", inner()));
    }
    match rest {
        // `<Main>$` holds the statements of a file without a class.
        "" | "$" | "d" => inner(),
        _ if rest.starts_with("d__") => inner(),
        _ if rest.starts_with("b__") => Cow::Owned(format!("{}+{LAMBDA}", inner())),
        _ => Cow::Borrowed(name),
    }
}

/// A made name `<inner>rest`.
fn made(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_prefix('<')?;
    let mut depth = 1_i32;
    for (at, letter) in name.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((name.get(..at)?, name.get(at + 1..)?));
        }
    }
    None
}
