//! The reader on a program put together by hand, and on lies about it. `tests/tests/go_reader` has real ones.

use std::{
    io::{Seek as _, Write as _},
    path::Path,
};

use proptest::prelude::*;

use super::*;

#[path = "../../../tests/go/program.rs"]
mod program;

use program::{PANIC, SERVE, SERVER, program};

fn read(bytes: &[u8]) -> Result<GoBinary, Refusal> {
    let mut file = tempfile::tempfile().expect("file");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("written");
    GoBinary::read(&file)
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).expect_err("it is refused").to_string()
}

/// Replaces the first occurrence.
fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = program();
    let place = memchr::memmem::find(&bytes, from).expect("it is there");
    bytes[place..place + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn functions_sites_and_frames() {
    let binary = read(&program()).expect("readable");
    assert_eq!(binary.version(), GoVersion { minor: 26, patch: 8 });
    let names: Vec<String> = binary.functions().map(|function| function.name).collect();
    assert_eq!(names, ["runtime.gopanic", "main.serve"]);
    let serve = binary.function("main.serve").expect("there");
    assert_eq!((serve.entry, serve.end), (SERVE, SERVE + 32));
    assert_eq!(binary.function_at(SERVE + 31).as_ref(), Some(&serve));
    assert_eq!(binary.function_at(SERVE + 32), None);
    let site = binary.site(&serve).expect("a site");
    let expected =
        Site { address: SERVE + 6, offset: SERVE + 6 - program::BASE, price: Price::Emulated, repeats: false };
    assert_eq!(site, expected);
    let frame = |function: &str, line, is_inlined| Frame {
        function: function.into(),
        file: "main.go".into(),
        line,
        is_inlined,
    };
    assert_eq!(binary.symbolise(SERVE + 4), [frame("main.serve", 10, false)]);
    assert_eq!(binary.symbolise(SERVE + 20), [frame("main.small", 12, true), frame("main.serve", 10, false)]);
    assert_eq!(binary.symbolise(SERVE + 32), []);
    assert!(binary.is_inlined("main.small") && !binary.is_inlined("main.serve"));
}

#[test]
fn results_are_seen_after_the_call() {
    let binary = read(&program()).expect("readable");
    let callee = binary.function("runtime.gopanic").expect("there");
    assert_eq!(callee.entry, PANIC);
    let address = SERVE + 18;
    let site = Site { address, offset: address - program::BASE, price: Price::Emulated, repeats: false };
    assert_eq!(binary.landings(&callee, 2), Some(Landings { sites: vec![site], is_complete: true }));
    // Nobody calls this one.
    let serve = binary.function("main.serve").expect("there");
    assert_eq!(binary.landings(&serve, 1), Some(Landings::default()));
    // mov eax,ebx in place of test rax,rax: the first result is gone, the third is not.
    let binary = read(&replaced(&[0x48, 0x85, 0xc0, 0x74], &[0x90, 0x89, 0xd8, 0x74])).expect("readable");
    assert!(binary.landings(&callee, 1).is_some_and(|found| found.is_complete), "nop comes before");
    let binary = read(&replaced(&[0x48, 0x85, 0xc0, 0x74], &[0x48, 0x89, 0xd8, 0x74])).expect("readable");
    assert_eq!(binary.landings(&callee, 1), Some(Landings::default()));
    // A pointer to the function is in the data: others may call it.
    let mut stored = program();
    stored[0x7d0..0x7d8].copy_from_slice(&PANIC.to_le_bytes());
    let found = read(&stored).expect("readable").landings(&callee, 1).expect("x86-64");
    assert!(!found.is_complete && found.sites.is_empty());
}

#[test]
fn types_and_fields() {
    let mut binary = read(&program()).expect("readable");
    binary.forget();
    assert_eq!(binary.type_address("main.server"), Some(SERVER));
    assert_eq!(binary.types().count(), 3);
    let pointer = binary.pointer_to(SERVER).expect("the pointer");
    assert_eq!(binary.type_name(pointer).as_deref(), Some("*main.server"));
    assert_eq!(binary.field("main.server", "Name"), Some(0));
    assert_eq!(binary.field("main.server", "Name.x"), None);
    assert_eq!(binary.size_of("main.server"), Some(16));
    let found = binary.type_at(SERVER).expect("a type");
    assert_eq!(
        (found.kind, found.name.as_str(), found.package.as_deref()),
        (Kind::Struct, "main.server", Some("main"))
    );
    assert_eq!((binary.itabs(), binary.context_types()), (Vec::new(), Vec::new()));
    assert_eq!(binary.type_at(SERVER + 8), None);
}

#[test]
fn refusals_say_why() {
    assert_eq!(refusal(b"#!/bin/sh\n"), Refusal::Architecture.to_string());
    assert_eq!(
        refusal(&replaced(b"go1.26.8", b"go1.16.8")),
        "Go 1.16.8 passes arguments on the stack; hooks need Go 1.17 or newer"
    );
    assert_eq!(refusal(&replaced(b"go1.26.8", b"unknown ")), Refusal::Garbled.to_string());
    assert_eq!(refusal(&replaced(b"runtime.gopanic", b"xkcdabc")), Refusal::Garbled.to_string());
    assert_eq!(refusal(&replaced(&[0xf1, 0xff, 0xff, 0xff], &[7, 7, 7, 7])), Refusal::Garbled.to_string());
    assert_eq!(refusal(&replaced(b"\xff Go buildinf:", b"nothing")), Refusal::NotGo.to_string());
    let mut packed = replaced(b"\xff Go buildinf:", b"nothing");
    packed[0xe0..0xe4].copy_from_slice(b"UPX!");
    assert_eq!(refusal(&packed), Refusal::Packed.to_string());
    let module = (program::BASE + 0x180).to_le_bytes();
    assert_eq!(refusal(&replaced(&module, &[0; 8])), Refusal::Damaged("module data").to_string());
}

#[test]
fn tables_are_found_without_section_headers() {
    let mut bytes = program();
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    let binary = read(&bytes).expect("readable");
    assert_eq!(binary.function("main.serve").map(|function| function.entry), Some(SERVE));
}

/// Asks everything.
fn ask(binary: &GoBinary) {
    for function in binary.functions().take(64) {
        let _ = binary.landings(&function, 3);
        let _ = (binary.site(&function), binary.symbolise(function.entry), binary.functions_named(&function.name));
    }
    for found in binary.types().take(64) {
        let _ = (binary.fields(found.address), binary.methods(found.address), binary.type_name(found.address));
    }
    let _ = (binary.inlined_copies("main.small"), binary.context_types(), binary.itabs());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A file may lie about anything: tables, counts, offsets.
    #[test]
    fn survives_lies(lies in proptest::collection::vec((0_usize..0x940, any::<u8>()), 1..24), length in 0x600_usize..0x940) {
        let mut bytes = program();
        for (place, value) in lies {
            bytes[place] = value;
        }
        for bytes in [&bytes[..], &bytes[..length]] {
            if let Ok(binary) = read(bytes) {
                ask(&binary);
            }
        }
    }
}

#[test]
fn survives_each_byte_torn() {
    let whole = program();
    for place in 0..whole.len() {
        for value in [0, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[place] = value;
            if let Ok(binary) = read(&bytes) {
                ask(&binary);
            }
        }
    }
}

/// What a program of this machine costs: `cargo test -p apm-agent --lib binary::go -- --nocapture` prints it.
#[test]
fn reads_gos_own_tool_quickly() {
    let tool = Path::new("/usr/local/go/bin/go");
    let start = std::time::Instant::now();
    if let Ok(binary) = GoBinary::open(tool) {
        println!("{} types, {} functions in {:?}", binary.types().count(), binary.functions().count(), start.elapsed());
        assert!(binary.function("runtime.main").is_some());
    }
}
