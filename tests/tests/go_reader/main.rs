//! The reader of Go programs against DWARF and symbols, for several versions of Go, stripped or not, for both machines.

mod builds;
mod dwarf;

use std::{collections::BTreeMap, fs, os::unix::fs::FileExt as _, path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use apm_agent::binary::go::{Function, GoBinary, Kind, Price, Refusal};
use apm_tests::place;

use builds::{Build, Toolchain, toolchains};
use dwarf::{Fields, Symbol};

/// Structs that hooks and metrics read, wherever the program has them (`targets.txt`).
const WANTED: &str = include_str!("structs.txt");

/// Functions that hooks sit in.
const HOOKS: [&str; 6] = [
    "net/http.serverHandler.ServeHTTP",
    "net/http.(*response).finishRequest",
    "net/http.(*Transport).roundTrip",
    "database/sql.(*DB).queryDC",
    "runtime.gopanic",
    "runtime.newproc1",
];

fn on_each(mut test: impl FnMut(&Toolchain) -> Result<()>) -> Result<()> {
    toolchains().iter().try_for_each(|toolchain| test(toolchain).context(toolchain.name().to_owned()))
}

fn open(path: &Path) -> Result<GoBinary> {
    let start = Instant::now();
    let binary = GoBinary::open(path)?;
    let size = fs::metadata(path)?.len() >> 20;
    println!("{}: {size} MiB, Go {}, read in {:?}", path.display(), binary.version(), start.elapsed());
    // As the second process has it that runs the binary.
    Ok(binary.another())
}

/// The reader's structs by name, as DWARF has them.
fn structs(binary: &GoBinary) -> BTreeMap<String, Vec<Fields>> {
    let mut found: BTreeMap<String, Vec<Fields>> = BTreeMap::new();
    for structure in binary.types().filter(|found| found.kind == Kind::Struct && found.package.is_some()) {
        let fields = binary.fields(structure.address).into_iter().map(|field| (field.name, field.offset)).collect();
        found.entry(binary.type_name(structure.address).unwrap_or_default()).or_default().push(fields);
    }
    found
}

/// Without what cannot be compared: fields named `_` stand for one another.
fn comparable(fields: &Fields) -> Fields {
    fields.iter().filter(|(name, _)| *name != "_").map(|(name, offset)| (name.clone(), *offset)).collect()
}

/// Every struct that both know has the same fields at the same places; returns how many.
fn compare(binary: &GoBinary, truth: &BTreeMap<String, Vec<Fields>>) -> Result<usize> {
    let found = structs(binary);
    let mut compared = 0;
    for (name, all) in &found {
        let Some(expected) = truth.get(name) else { continue };
        for fields in all {
            let fields = comparable(fields);
            ensure!(
                expected.iter().any(|expected| comparable(expected) == fields),
                "{name}: {fields:?} is not in {expected:?}"
            );
            compared += 1;
        }
        if let [fields] = all.as_slice() {
            for (field, offset) in fields.iter().filter(|(field, _)| *field != "_") {
                ensure!(binary.field(name, field) == Some(*offset), "{name}.{field}");
            }
        }
    }
    Ok(compared)
}

/// Structs that may be without a descriptor: they are only (part of) variables of the run time's, or only on stacks.
const WITHOUT: [&str; 12] = [
    "runtime.schedt",
    "runtime.mstats",
    "runtime.gcControllerState",
    "runtime.workType",
    "runtime.mheap",
    "runtime.consistentHeapStats",
    "runtime.heapStatsDelta",
    "runtime.funcval",
    "internal/abi.ITab",
    "runtime.timeHistogram",
    "runtime.MemStats",
    "HeadersFrameParam",
];

fn has_what_is_wanted(binary: &GoBinary, truth: &BTreeMap<String, Vec<Fields>>) -> Result<usize> {
    let wanted = WANTED.lines().filter(|line| !line.starts_with('#') && truth.contains_key(*line));
    let (found, mut missing): (Vec<&str>, Vec<&str>) = wanted.partition(|name| binary.type_address(name).is_some());
    missing.retain(|name| !WITHOUT.iter().any(|without| name.ends_with(without)));
    ensure!(missing.is_empty(), "without a descriptor: {missing:?}");
    Ok(found.len())
}

#[test]
fn fields_are_where_dwarf_says() -> Result<()> {
    on_each(|toolchain| {
        let whole = toolchain.build(Build::Whole)?;
        let truth = dwarf::structs(&whole)?;
        for path in [toolchain.build(Build::Stripped)?, toolchain.build(Build::Pie)?, whole] {
            check_fields(&path, &truth)?;
        }
        let arm64 = toolchain.build(Build::Arm64)?;
        check_fields(&arm64, &dwarf::structs(&arm64)?)
    })
}

fn check_fields(path: &Path, truth: &BTreeMap<String, Vec<Fields>>) -> Result<()> {
    let mut binary = open(path)?;
    let compared = compare(&binary, truth).context(path.display().to_string())?;
    let wanted = has_what_is_wanted(&binary, truth).context(path.display().to_string())?;
    println!("{}: {compared} structs equal DWARF's, {wanted} of them wanted", path.display());
    ensure!(compared >= 400 && wanted >= 60, "too little was compared");
    binary.forget();
    ensure!(binary.field("net/http.Request", "Header").is_some(), "it reads again what it let go");
    ensure!(binary.field("net/http.Request", "TLS.x").is_none(), "pointers are not entered");
    let nested = binary.field("net/http.http2MetaHeadersFrame", "FrameHeader.StreamID");
    ensure!(nested.is_none(), "a field that is a pointer is not entered");
    Ok(())
}

/// Both names mean the same function: symbols tell the calling convention, and have a dot for the dot in the middle;
/// linkers of Go 1.18 to 1.20 shorten arguments of types.
fn same_name(symbol: &str, function: &str) -> bool {
    let name = symbol.strip_suffix(".abi0").or(symbol.strip_suffix(".abiinternal")).unwrap_or(symbol);
    let name = name.replace("%2e", ".");
    let function = function.replace('·', ".");
    let shortened = match (name.find('['), name.rfind(']')) {
        (Some(start), Some(end)) if start < end => format!("{}[...]{}", &name[..start], &name[end + 1..]),
        _ => name.clone(),
    };
    function == name || function == shortened
}

#[test]
fn functions_are_where_symbols_say() -> Result<()> {
    on_each(|toolchain| {
        for build in [Build::Whole, Build::Arm64] {
            let path = toolchain.build(build)?;
            let binary = open(&path)?;
            let symbols = dwarf::symbols(&path)?;
            let functions = symbols.iter().filter(|symbol| symbol.is_function && symbol.size > 0);
            let wrong: Vec<String> = functions
                .clone()
                .filter_map(|symbol| check_function(&binary, symbol).err())
                .map(|error| error.to_string())
                .collect();
            ensure!(wrong.is_empty(), "{} functions are wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(12)]);
            let compared = functions.count();
            println!("{}: {compared} functions equal the symbols'", path.display());
            ensure!(compared > 3000, "too few symbols");
            check_itab(&binary, &symbols)?;
        }
        Ok(())
    })
}

fn check_function(binary: &GoBinary, symbol: &Symbol) -> Result<()> {
    let function = binary.function_at(symbol.address).with_context(|| format!("no function at {symbol:?}"))?;
    let last = symbol.address + symbol.size;
    ensure!(function.entry == symbol.address, "{symbol:?} {function:?}");
    ensure!(function.end >= last && function.end - last < 64, "{symbol:?} {function:?}");
    ensure!(same_name(&symbol.name, &function.name), "{symbol:?} {function:?}");
    ensure!(binary.functions_named(&function.name).contains(&function), "{symbol:?} is not found by its name");
    Ok(())
}

fn check_itab(binary: &GoBinary, symbols: &[Symbol]) -> Result<()> {
    let names = ["go:itab.*bufio.Writer,io.Writer", "go.itab.*bufio.Writer,io.Writer"];
    let found = binary.itab("io.Writer", "*bufio.Writer").context("the itab is found")?;
    match symbols.iter().find(|symbol| names.contains(&symbol.name.as_str())) {
        Some(symbol) => ensure!(found == symbol.address, "{symbol:?}"),
        // From 1.27 on itabs have no symbols; they follow one another, so a wrong step would show.
        None => {
            let itabs = binary.itabs();
            ensure!(binary.version().minor >= 27 && itabs.len() > 100, "{} itabs", itabs.len());
            for itab in itabs {
                let interface = binary.type_at(itab.interface).map(|interface| interface.kind);
                ensure!(interface == Some(Kind::Interface) && binary.type_at(itab.concrete).is_some(), "{itab:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn hooks_have_cheap_sites() -> Result<()> {
    on_each(|toolchain| {
        for build in [Build::Whole, Build::Stripped, Build::Pie] {
            let path = toolchain.build(build)?;
            let binary = open(&path)?;
            let file = fs::File::open(&path)?;
            for name in HOOKS {
                let function = binary.function(name).with_context(|| format!("no {name}"))?;
                let site = binary.site(&function).context("x86-64 has sites")?;
                ensure!(site.price == Price::Emulated, "{name}: {site:?}");
                ensure!(!binary.is_inlined(name), "{name} is inlined");
                let mut byte = [0];
                file.read_exact_at(&mut byte, site.offset)?;
                ensure!((byte == [0x55] && !site.repeats) || !toolchain.pushes(), "{name}: {site:?} is {byte:x?}");
            }
        }
        let arm64 = open(&toolchain.build(Build::Arm64)?)?;
        let function = arm64.function(HOOKS[0]).context("arm64 has the function")?;
        ensure!(arm64.site(&function).is_none(), "sites are for x86-64 only");
        Ok(())
    })
}

#[test]
fn results_are_seen_after_calls() -> Result<()> {
    on_each(|toolchain| {
        for build in [Build::Stripped, Build::Pie] {
            let path = toolchain.build(build)?;
            let binary = open(&path)?;
            for (name, results, caller) in [
                ("net/http.send", 4, "net/http.(*Client).send"),
                ("database/sql.(*DB).queryDC", 4, "database/sql.(*DB)."),
            ] {
                let function = binary.function(name).with_context(|| format!("no {name}"))?;
                let found = binary.landings(&function, results).context("x86-64 has landings")?;
                let callers: Vec<_> = found.sites.iter().map(|site| binary.function_at(site.address)).collect();
                let cheap = found.sites.iter().filter(|site| site.price == Price::Emulated).count();
                println!("{}: {name} is seen at {} places, {cheap} cheap", path.display(), found.sites.len());
                // Up to Go 1.20 the caller of `queryDC` hands its results on to callers that are not all known.
                let is_cheap = cheap > 0 || !toolchain.pushes();
                ensure!(found.is_complete && is_cheap, "{name}: {found:?} {callers:?}");
                let is_caller = |function: &Function| function.name.starts_with(caller);
                ensure!(callers.iter().flatten().any(is_caller), "{name}: {callers:?}");
            }
        }
        Ok(())
    })
}

/// Line of the application that has this text, from 1 on.
fn line_of(text: &str) -> Result<u32> {
    let source = fs::read_to_string(place::app("go-reader/main.go"))?;
    let index = source.lines().position(|line| line.contains(text)).with_context(|| format!("no `{text}`"))?;
    Ok(u32::try_from(index)? + 1)
}

#[test]
fn lines_and_inlined_frames_are_those_of_the_source() -> Result<()> {
    on_each(|toolchain| {
        for build in [Build::Stripped, Build::Pie, Build::Arm64] {
            let binary = open(&toolchain.build(build)?)?;
            ensure!(binary.is_inlined("main.small") && !binary.is_inlined("main.positive"), "inlined copies");
            let function = binary.function("main.positive").context("it is not inlined")?;
            let first = binary.symbolise(function.entry);
            ensure!(first.len() == 1 && first[0].line == line_of("func positive")?, "{first:?}");
            ensure!(first[0].file.ends_with("/main.go"), "{first:?}");
            let inner = (function.entry..function.end).map(|address| binary.symbolise(address));
            let inner = inner.into_iter().find(|frames| frames.len() == 2).context("the copy of small")?;
            ensure!(inner[0].function == "main.small" && inner[0].is_inlined, "{inner:?}");
            ensure!(inner[0].line == line_of("return count*3 + 1")?, "{inner:?}");
            ensure!(inner[1].function == "main.positive" && !inner[1].is_inlined, "{inner:?}");
            ensure!(inner[1].line == line_of("return small(count)")?, "{inner:?}");
        }
        Ok(())
    })
}

#[test]
fn contexts_have_their_parents() -> Result<()> {
    on_each(|toolchain| {
        for build in [Build::Stripped, Build::Pie, Build::Arm64] {
            let binary = open(&toolchain.build(build)?)?;
            let parent = |name: &str, is_pointer: bool| {
                let address = binary.type_address(name)?;
                let address = if is_pointer { binary.pointer_to(address)? } else { address };
                let all = binary.context_types();
                all.into_iter().find(|context| context.address == address).map(|context| context.parent_offset)
            };
            for name in ["context.valueCtx", "context.cancelCtx", "main.tracked"] {
                ensure!(parent(name, true) == binary.field(name, "Context"), "{name}");
            }
            let timer = binary.field("context.timerCtx", "cancelCtx.Context");
            ensure!(timer.is_some() && parent("context.timerCtx", true) == timer, "timerCtx");
            ensure!(parent("main.outer", true) == Some(8), "a struct that embeds one");
            ensure!(parent("main.hidden", false) == Some(8), "by value, in a field");
            ensure!(binary.type_address("main.torn").is_some() && parent("main.torn", true).is_none(), "two contexts");
        }
        Ok(())
    })
}

#[test]
fn what_is_no_go_program_is_refused() -> Result<()> {
    let refusal = GoBinary::open(Path::new("/bin/sleep")).expect_err("it is written in C");
    ensure!(matches!(refusal, Refusal::NotGo), "{refusal}");
    Ok(())
}
