//! Stacks as V8 writes them (<https://v8.dev/docs/stack-trace-api>):
//!
//! ```text
//! TypeError: a message, of any number of lines
//!     at place (/srv/shop/orders.js:12:9)
//!     at async Promise.all (index 0)
//!     at file:///srv/shop/main.mjs:3:1
//! ```
//!
//! An application may write them otherwise; what is not of this form is passed over.

use std::path::Path;

use super::script;
use crate::bridge::{Frame, Thrown};

/// Most frames kept.
const MAX_FRAMES: usize = 200;

/// Function of a frame that names none, as Elastic's agent has it.
const ANONYMOUS: &str = "<anonymous>";

/// The frames below the message, innermost first. Ours are left out: the application does not know them.
pub(super) fn frames(stack: &str, message: &str) -> Vec<Frame> {
    // A message may hold what looks like a frame.
    let rest = stack.split_once(message).map_or(stack, |(_, rest)| rest);
    let ours = |frame: &Frame| frame.file.as_deref().is_some_and(|file| file.starts_with(script::SOURCE));
    rest.lines().filter_map(frame).filter(|frame| !ours(frame)).take(MAX_FRAMES).collect()
}

/// Says of an exception what follows from its frames: how people call their files in `folder`, who is to blame, and the
/// package it comes from.
pub(super) fn describe(thrown: &mut Thrown, folder: &Path) {
    if folder.is_absolute() {
        shorten(&mut thrown.frames, folder);
    }
    // Empty where there is none: the rule of other run times does not hold.
    thrown.culprit = Some(culprit(&thrown.frames).unwrap_or_default());
    thrown.module = module(&thrown.frames);
}

/// Names the files below `folder` as seen from there, as Elastic's agent does with those below the working folder.
fn shorten(frames: &mut [Frame], folder: &Path) {
    for frame in frames {
        let path = frame.file.as_deref().and_then(|file| Path::new(file).strip_prefix(folder).ok());
        frame.short_file = path.map(|path| path.display().to_string()).filter(|path| !path.is_empty());
    }
}

/// The package whose code threw, if it is one: `pg-protocol`, `@hapi/hapi`.
fn module(frames: &[Frame]) -> Option<String> {
    let (_, below) = frames.first()?.file.as_deref()?.rsplit_once("node_modules/")?;
    let parts = if below.starts_with('@') { 2 } else { 1 };
    let (end, _) = below.match_indices('/').nth(parts - 1)?;
    below.get(..end).map(str::to_owned)
}

/// `function (file)` of the first frame that is not a library's, else of the first, as Elastic's agent names the culprit.
fn culprit(frames: &[Frame]) -> Option<String> {
    let frame = frames.iter().find(|frame| !frame.library).or(frames.first())?;
    Some(match frame.short_file.as_ref().or(frame.file.as_ref()) {
        Some(file) => format!("{} ({file})", frame.function),
        None => frame.function.clone(),
    })
}

fn frame(line: &str) -> Option<Frame> {
    let call = line.trim_start().strip_prefix("at ")?;
    let call = call.strip_prefix("async ").unwrap_or(call);
    let (function, place) = match call.strip_suffix(')').and_then(|call| call.split_once(" (")) {
        Some((function, place)) => (function, place),
        None => ("", call),
    };
    // `Shop.place [as handle]`
    let function = function.split(" [as ").next().filter(|function| !function.is_empty()).unwrap_or(ANONYMOUS);
    // Code of `eval` has the place of the call in its place.
    let place = place.rsplit_once("(").filter(|_| place.starts_with("eval at ")).map_or(place, |(_, outer)| outer);
    let place = place.split(')').next().unwrap_or_default();
    let (file, line, column) = locate(place);
    let path = file.map(|file| file.strip_prefix("file://").unwrap_or(file));
    Some(Frame {
        function: function.to_owned(),
        file: path.map(str::to_owned),
        line,
        column,
        library: path.is_none_or(is_library),
        ..Frame::default()
    })
}

/// `file:line:column`; `native`, `<anonymous>` and `index 0` are no files.
fn locate(place: &str) -> (Option<&str>, Option<u32>, Option<u32>) {
    let numbered = |text| -> Option<(&str, u32)> {
        let (rest, number) = str::rsplit_once(text, ':')?;
        Some((rest, number.parse().ok()?))
    };
    let located = numbered(place).and_then(|(rest, column)| Some((numbered(rest)?, column)));
    match located {
        Some(((file, line), column)) if !file.is_empty() && file != ANONYMOUS => (Some(file), Some(line), Some(column)),
        _ => (None, None, None),
    }
}

/// Node's own modules have no path, those of packages lie in `node_modules`.
fn is_library(path: &str) -> bool {
    path.contains("node_modules/") || !path.starts_with(['/', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stack: &str) -> Vec<(String, Option<String>, Option<u32>, bool)> {
        let frames = frames(stack, "broken");
        frames.into_iter().map(|frame| (frame.function, frame.file, frame.line, frame.library)).collect()
    }

    fn seen(function: &str, file: &str, line: u32, library: bool) -> (String, Option<String>, Option<u32>, bool) {
        let file = Some(file.to_owned()).filter(|file| !file.is_empty());
        (function.to_owned(), file, Some(line).filter(|line| *line > 0), library)
    }

    #[test]
    fn every_form_of_a_frame_is_read() {
        let stack = "TypeError: broken
    at place (/srv/shop/orders.js:12:9)
    at Shop.place [as handle] (/srv/shop/with space/orders.js:7:3)
    at new Order (file:///srv/shop/order.mjs:3:1)
    at async /srv/shop/main.js:44:5
    at async Promise.all (index 0)
    at Array.map (<anonymous>)
    at Layer.handle (/srv/shop/node_modules/express/lib/router/layer.js:95:5)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)
    at eval (eval at run (/srv/shop/run.js:5:7), <anonymous>:1:7)
    at answer (apm-agent:script:88:1)
    and this is none";
        let expected = [
            seen("place", "/srv/shop/orders.js", 12, false),
            seen("Shop.place", "/srv/shop/with space/orders.js", 7, false),
            seen("new Order", "/srv/shop/order.mjs", 3, false),
            seen("<anonymous>", "/srv/shop/main.js", 44, false),
            seen("Promise.all", "", 0, true),
            seen("Array.map", "", 0, true),
            seen("Layer.handle", "/srv/shop/node_modules/express/lib/router/layer.js", 95, true),
            seen("process.processTicksAndRejections", "node:internal/process/task_queues", 95, true),
            seen("eval", "/srv/shop/run.js", 5, false),
        ];
        assert_eq!(read(stack), expected);
    }

    #[test]
    fn what_looks_like_a_frame_in_the_message_is_none() {
        let message = "one\n    at two (/x.js:1:1)";
        let stack = format!("Error: {message}\n    at three (/y.js:2:1)");
        let frames = frames(&stack, message);
        assert_eq!((frames.len(), frames[0].function.as_str()), (1, "three"));
    }

    #[test]
    fn the_culprit_is_the_users_own() {
        let of = |stack: &str| culprit(&frames(stack, "broken"));
        let (library, own) = ("    at a (node:net:1:1)\n", "    at b (/srv/c.js:2:1)\n");
        assert_eq!(of(&format!("{library}{own}")).as_deref(), Some("b (/srv/c.js)"));
        assert_eq!(of(library).as_deref(), Some("a (node:net)"));
        assert_eq!(of("    at Array.map (<anonymous>)").as_deref(), Some("Array.map"));
        assert_eq!(of("broken"), None);
    }

    #[test]
    fn files_are_named_from_the_working_folder() {
        let stack = "    at a (/srv/shop/lib/a.js:2:1)\n    at b (/srv/shopping/b.js:2:1)\n    at c (node:net:1:1)";
        let mut frames = frames(stack, "broken");
        shorten(&mut frames, Path::new("/srv/shop"));
        let names: Vec<_> = frames.iter().map(|frame| frame.short_file.as_deref()).collect();
        assert_eq!(names, [Some("lib/a.js"), None, None]);
        assert_eq!(culprit(&frames).as_deref(), Some("a (lib/a.js)"));
    }

    #[test]
    fn the_module_is_that_of_the_innermost_frame() {
        let of = |file: &str| {
            module(&frames(&format!("    at a ({file}:2:1)\n    at b (/node_modules/b/b.js:2:1)"), "broken"))
        };
        assert_eq!(of("/srv/node_modules/a/node_modules/pg-protocol/dist/parser.js").as_deref(), Some("pg-protocol"));
        assert_eq!(of("/srv/node_modules/@hapi/hapi/lib/x.js").as_deref(), Some("@hapi/hapi"));
        assert_eq!((of("/srv/a.js"), of("/node_modules/a.js"), of("/node_modules/@a/b.js")), (None, None, None));
    }

    #[test]
    fn odd_stacks_are_no_trouble() {
        for stack in
            ["", "at", "at ", "at (", "at )", "at a (", "at (:1:1)", "at eval at (", "at :::", "    at \u{1F600}:1:1"]
        {
            frames(stack, "");
            frames(stack, stack);
        }
        let long = "    at a (/b.js:1:1)\n".repeat(1000);
        assert_eq!(frames(&long, "none").len(), MAX_FRAMES);
    }
}
