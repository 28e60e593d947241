use proptest::prelude::*;

use super::*;

/// A recorded text: run time and scenario.
fn recorded(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dotnet/exceptions");
    std::fs::read_to_string(format!("{folder}/{name}.txt")).unwrap()
}

fn thrown(name: &str) -> Thrown {
    read(&recorded(name)).unwrap()
}

/// `Class.Function:line`, a `~` before a library's.
fn stack(thrown: &Thrown) -> Vec<String> {
    let text = |frame: &Frame| {
        let class = frame.class.as_ref().map_or_else(String::new, |class| format!("{class}."));
        let line = frame.line.map_or_else(String::new, |line| format!(":{line}"));
        assert!(frame.line.is_none() || frame.file.as_deref() == Some("/src/Program.cs"));
        format!("{}{class}{}{line}", if frame.library { "~" } else { "" }, frame.function)
    };
    thrown.frames.iter().map(text).collect()
}

fn head(thrown: &Thrown) -> (&str, &str) {
    (&thrown.kind, &thrown.message)
}

#[test]
fn reads_class_message_and_stack() {
    let sync = thrown("net10.0/sync");
    assert_eq!(head(&sync), ("System.Collections.Generic.KeyNotFoundException", "no row 7 in orders"));
    assert_eq!(stack(&sync), ["Shop.Orders.Repository`1.Find:59", "Program.Main+() => { }:5", "Program.Main:43"]);
    assert_eq!(sync.causes, []);
    assert_eq!(head(&thrown("net10.0/empty_message")), ("Shop.Orders.CustomException", ""));
    let socket = thrown("net10.0/socket");
    assert_eq!(head(&socket.causes[0]), ("System.Net.Sockets.SocketException", "Connection refused"));
}

#[test]
fn undoes_what_the_compiler_made() {
    let last = ["Program.Main:43".to_owned()];
    let of = |name: &str| stack(&thrown(name)).into_iter().filter(|frame| *frame != last[0]).collect::<Vec<_>>();
    assert_eq!(
        of("net10.0/async"),
        ["Shop.Orders.Repository`1.Find:59", "Shop.Orders.Service.PlaceAsync:75", "Program.Main+() => { }:6"]
    );
    assert_eq!(of("net10.0/async_generic"), ["Shop.Orders.Repository`1.LoadAsync:64", "Program.Main+() => { }:7"]);
    assert_eq!(of("net10.0/local_function")[..2], ["Program.Main+Local:14", "Program.Main+Outer:14"]);
    assert_eq!(of("net10.0/iterator")[0], "Shop.Orders.Service.Count:101");
    assert_eq!(
        of("net10.0/async_iterator")[..2],
        ["Shop.Orders.Service.CountAsync:108", "Shop.Orders.Service.CountAsync"]
    );
    assert_eq!(of("net10.0/constructor")[0], "Shop.Orders.Broken..ctor:112");
    assert_eq!(of("net10.0/nested_generic")[0], "Shop.Orders.Outer`1.Inner`1.Go:125");
    assert_eq!(of("net10.0/operator")[0], "Shop.Orders.Money.op_Addition:118");
    assert_eq!(of("net10.0/property")[0], "Shop.Orders.Service.get_Total:70");
    assert_eq!(of("net10.0/type_initializer"), ["Program.Main+() => { }:19"]);
    let socket = of("net10.0/socket");
    assert!(socket.contains(&"~System.Net.Http.SocketsHttpHandler.SendAsync+CreateHandlerAndSendAsync".to_owned()));
    assert_eq!(socket.last().unwrap(), "Program.Main+() => { }:27");
}

#[test]
fn nests_causes() {
    let twice = thrown("net10.0/inner_twice");
    let wrapped = &twice.causes[0];
    let first = &wrapped.causes[0];
    assert_eq!(head(&twice), ("System.InvalidOperationException", "twice"));
    assert_eq!(head(wrapped), ("Shop.Orders.CustomException", "could not wrap"));
    assert_eq!(head(first), ("System.Collections.Generic.KeyNotFoundException", "no row 9 in carts"));
    assert_eq!(stack(&twice)[0], "Shop.Orders.Service.WrappedTwiceAsync:93");
    assert_eq!(stack(wrapped), ["Shop.Orders.Service.Wrapped:87", "Shop.Orders.Service.WrappedTwiceAsync:92"]);
    assert_eq!(stack(first), ["Shop.Orders.Repository`1.Find:59", "Shop.Orders.Service.Wrapped:86"]);
    let never = thrown("net10.0/not_thrown");
    assert_eq!((head(&never), stack(&never).len()), (("Shop.Orders.CustomException", "never thrown"), 0));
    assert_eq!(head(&never.causes[0]), ("System.FormatException", "nor this"));
}

#[test]
fn reads_aggregates() {
    let aggregate = thrown("net10.0/aggregate");
    assert_eq!(aggregate.message, "One or more errors occurred. (no row 6 in orders) (two)");
    let causes: Vec<&str> = aggregate.causes.iter().map(|cause| cause.message.as_str()).collect();
    assert_eq!(causes, ["no row 6 in orders", "two"]);
    assert_eq!(stack(&aggregate.causes[1]), ["Shop.Orders.Service.FailAsync:81"]);
    assert_eq!(stack(&aggregate)[0], "Program.Main+() => { }:10");
    let nested = "System.AggregateException: a\n ---> X: 0\n   --- End ---\n ---> (Inner Exception #0) X: 0<---\n\n \
                  ---> (Inner Exception #1) System.AggregateException: b (c) (d)\n ---> Y: c\n   --- End ---\n \
                  ---> (Inner Exception #1) Z: d\nmore<---\n<---\n\n ---> (Inner Exception #2) W: e<---\n";
    let nested = read(nested).unwrap();
    let kinds: Vec<&str> = nested.causes.iter().map(|cause| cause.kind.as_str()).collect();
    assert_eq!(kinds, ["X", "System.AggregateException", "W"]);
    let inner: Vec<(&str, &str)> = nested.causes[1].causes.iter().map(head).collect();
    assert_eq!(inner, [("Y", "c"), ("Z", "d\nmore")]);
    assert_eq!(nested.causes[2].message, "e");
}

#[test]
fn keeps_messages_of_several_lines() {
    let lines = thrown("net10.0/multiline");
    assert_eq!(lines.message, "first line\nsecond line\n   at no place, just text\n\nlast line");
    assert_eq!(stack(&lines), ["Program.Main+() => { }:11", "Program.Main:43"]);
    let both = thrown("net10.0/inner_multiline");
    assert_eq!((both.message.as_str(), both.causes[0].message.as_str()), ("outer\ntext", "a\nb"));
    assert_eq!(thrown("net10.0/local_function").message, "too big (Parameter 'y')\nActual value was 3.");
    // What a class of its own writes behind the stack is nobody's.
    assert_eq!(head(&thrown("net10.0/thrown_value")), ("Shop.Orders.WithData", "text"));
}

#[test]
fn tells_libraries_from_the_program() {
    let libraries = stack(&thrown("net8.0/lambda"));
    assert_eq!(libraries[1], "~System.Linq.Enumerable.SelectArrayIterator`2.Fill");
    let npgsql = frame("   at Npgsql.Internal.NpgsqlConnector.ReadMessageLong(Boolean async)").unwrap();
    assert!(npgsql.library && (npgsql.file, npgsql.line) == (None, None));
    assert!(!frame("   at NpgsqlShop.Run()").unwrap().library);
}

#[test]
fn reads_every_recorded_text_whole() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dotnet/exceptions");
    let mut texts = 0;
    for runtime in ["net10.0", "net8.0"] {
        for entry in std::fs::read_dir(format!("{folder}/{runtime}")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let frames = text.lines().filter(|line| line.starts_with("   at ") && line.contains('(')).count();
            let exceptions = text.matches(" ---> ").count();
            let thrown = read_crash(&text).or_else(|| read(&text)).unwrap();
            assert_eq!(count(&thrown), (frames, exceptions), "{text}");
            assert!(!thrown.kind.is_empty(), "{text}");
            texts += 1;
        }
    }
    assert_eq!(texts, 32);
}

/// Frames and causes of an exception and all below it.
fn count(thrown: &Thrown) -> (usize, usize) {
    thrown
        .causes
        .iter()
        .map(count)
        .fold((thrown.frames.len(), 0), |(frames, causes), (more, deeper)| (frames + more, causes + 1 + deeper))
}

#[test]
fn reads_a_program_s_last_words() {
    let crash = read_crash(&format!("warn: x\n{}", recorded("net10.0/crash"))).unwrap();
    assert_eq!(head(&crash), ("System.InvalidOperationException", "twice"));
    assert_eq!(stack(&crash).last().unwrap(), "Program.Main");
    assert_eq!(crash.causes.len(), 1);
    assert_eq!(read_crash("warn: x\n"), None);
    assert_eq!(read("  \n"), None);
}

#[test]
fn reads_a_stack_alone_and_other_ways_to_write_a_frame() {
    let text = recorded("net10.0/rethrown");
    let (_, frames) = text.split_once('\n').unwrap();
    assert_eq!(read_stack(frames), thrown("net10.0/rethrown").frames);
    let place =
        |line: &str| frame(line).map(|frame| (frame.class.unwrap_or_default(), frame.function, frame.file, frame.line));
    let some = |class: &str, function: &str, file: Option<&str>, line| {
        Some((class.to_owned(), function.to_owned(), file.map(str::to_owned), line))
    };
    let cases = [
        (
            "   bei Ns.C.M(String a) in C:\\src\\My (old) App\\c.cs:Zeile 12.",
            some("Ns.C", "M", Some("C:\\src\\My (old) App\\c.cs"), None),
        ),
        (
            "   bei Ns.C.M(String a) in C:\\src\\My (old) App\\c.cs:Zeile 12",
            some("Ns.C", "M", Some("C:\\src\\My (old) App\\c.cs"), Some(12)),
        ),
        ("   at C.M() + 0x2d", some("C", "M", None, None)),
        ("   at C.M() in /a.dll:token 0x6000001+0x12", some("C", "M", Some("/a.dll"), None)),
        ("   at lambda_method1(Closure, Object)", some("", "lambda_method1", None, None)),
        ("   at Ns.C.<RunAsync>d__5.MoveNext()", some("Ns.C", "RunAsync", None, None)),
        ("   at Ns.C.<RunAsync>d__5`1.MoveNext()", some("Ns.C", "RunAsync", None, None)),
        (
            "   at Ns.C.<>c__DisplayClass3_0.<<RunAsync>g__Step|1>d.MoveNext()",
            some("Ns.C", "RunAsync+Step", None, None),
        ),
        ("   at Ns.<Program>F1A2B__Hidden.Run()", some("Ns.Hidden", "Run", None, None)),
        ("   at Ns.Enumerator.MoveNext()", some("Ns.Enumerator", "MoveNext", None, None)),
        ("   at <PrivateImplementationDetails>.ThrowX()", some("<PrivateImplementationDetails>", "ThrowX", None, None)),
        ("   at the end (of it)", None),
        ("at C.M()", None),
        ("   at C.M(", None),
    ];
    for (line, expected) in cases {
        assert_eq!(place(line), expected, "{line}");
    }
}

#[test]
fn is_bounded() {
    let frames = format!("X: y\n{}", "   at C.M()\n".repeat(4000));
    assert_eq!(read(&frames).unwrap().frames.len(), MAX_FRAMES);
    let (mut deep, mut depth) = (read(&format!("X{}", "\n ---> X: y".repeat(1000))).unwrap(), 0);
    while let Some(cause) = deep.causes.pop() {
        (deep, depth) = (cause, depth + 1);
    }
    assert_eq!(depth, MAX_DEPTH);
    let wide = read(&format!("X{}", "\n ---> (Inner Exception #1) X: y<---".repeat(1000))).unwrap();
    assert_eq!(wide.causes.len(), MAX_CAUSES);
    let long = read(&format!("X: {}", "ä".repeat(MAX_TEXT))).unwrap();
    assert!(long.message.len() <= MAX_TEXT && long.message.len() > MAX_TEXT - 8);
    let nested = format!("   at {}M{}()", "<".repeat(5000), ">d".repeat(5000));
    assert!(frame(&nested).is_some());
}

proptest! {
    #[test]
    fn takes_any_text(text in "[aX.:<>()+ \n#\\-]{0,80}|\\PC{0,60}") {
        if let Some(thrown) = read(&text) {
            let (frames, causes) = count(&thrown);
            prop_assert!(frames <= MAX_FRAMES && causes <= MAX_CAUSES);
        }
        read_stack(&text);
    }

    #[test]
    fn takes_any_lines(lines in prop::collection::vec(
        prop::sample::select(vec![" ---> X: y", " ---> (Inner Exception #1) X: y", "<---", "   --- End ---", "--- End ---",
            "   at C.M()", "X: y", "", " ---> Y<---", "   at <<a>b__>d.MoveNext()<---"]), 0..40)) {
        let thrown = read(&format!("X: y\n{}", lines.join("\n"))).unwrap();
        let frames = lines.iter().filter(|line| line.contains("   at ")).count();
        prop_assert!(count(&thrown).0 <= frames);
    }
}
