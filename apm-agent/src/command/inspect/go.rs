//! What `inspect` tells of a Go program: what its tables say, and where its hooks could sit.

use crate::binary::{
    Binary,
    go::{GoBinary, Price, Refusal},
};

/// Functions that hooks need most, with what they would tell.
const HOOKS: [(&str, &str); 9] = [
    ("net/http.serverHandler.ServeHTTP", "requests begin"),
    ("net/http.(*response).finishRequest", "requests end (HTTP/1)"),
    ("net/http.(*http2responseWriter).handlerDone", "requests end (HTTP/2, up to Go 1.26)"),
    ("net/http/internal/http2.(*responseWriter).handlerDone", "requests end (HTTP/2, from Go 1.27 on)"),
    ("net/http.(*Transport).roundTrip", "outgoing requests"),
    ("database/sql.(*DB).queryDC", "statements with rows"),
    ("database/sql.(*DB).execDC", "statements without rows"),
    ("google.golang.org/grpc.(*Server).handleStream", "gRPC calls"),
    ("runtime.gopanic", "panics"),
];

/// What is told.
#[derive(Debug, serde::Serialize)]
pub(super) struct GoProgram {
    /// Modules it is built with, the main one too; 0 in builds without modules.
    modules: usize,
    functions: usize,
    types: usize,
    hooks: Vec<GoHook>,
    /// Why it cannot be read.
    refusal: Option<String>,
}

/// A function that a hook could sit in.
#[derive(Debug, serde::Serialize)]
struct GoHook {
    function: &'static str,
    tells: &'static str,
    /// What a probe in it costs; none where the program or the machine has no site for it.
    price: Option<Price>,
    is_found: bool,
    /// Functions that have a copy of it which a probe does not see.
    inlined_copies: u32,
}

/// Reads a program, when it is Go's. A packed one does not say what it is, so that is told of any.
pub(super) fn read(binary: &Binary) -> Option<GoProgram> {
    match binary.read_go() {
        Ok(program) => Some(GoProgram::of(&program)),
        Err(Refusal::NotGo | Refusal::Architecture) => None,
        Err(refusal) if binary.go.is_some() || matches!(refusal, Refusal::Packed) => {
            let refusal = Some(refusal.to_string());
            Some(GoProgram { modules: 0, functions: 0, types: 0, hooks: Vec::new(), refusal })
        }
        Err(_) => None,
    }
}

impl GoProgram {
    fn of(program: &GoBinary) -> Self {
        Self {
            modules: program.modules().len(),
            functions: program.function_count(),
            types: program.type_count(),
            hooks: HOOKS.iter().map(|(function, tells)| GoHook::of(program, function, tells)).collect(),
            refusal: None,
        }
    }

    /// As lines of text.
    pub(super) fn lines(&self) -> Vec<String> {
        if let Some(refusal) = &self.refusal {
            return vec![format!("\nNo hooks in functions are possible: {refusal}")];
        }
        let counts = format!("{} modules, {} functions, {} types", self.modules, self.functions, self.types);
        let mut lines = vec![format!("\nFunctions of Go that hooks could sit in ({counts}):")];
        lines.extend(self.hooks.iter().map(GoHook::line));
        lines
    }
}

impl GoHook {
    fn of(program: &GoBinary, function: &'static str, tells: &'static str) -> Self {
        let found = program.function(function);
        let price = found.as_ref().and_then(|found| program.site(found)).map(|site| site.price);
        let inlined_copies = program.inlined_copies(function);
        Self { function, tells, price, is_found: found.is_some(), inlined_copies }
    }

    fn line(&self) -> String {
        let price = match (self.is_found, self.price) {
            (false, _) => "not in the program",
            (true, Some(Price::Emulated)) => "cheap, the kernel emulates the instruction (about 0.7 µs)",
            (true, Some(Price::SingleStepped)) => "dear, the instruction is single-stepped (about 9 µs)",
            (true, None) => "no site: hooks in functions are for x86-64 only",
        };
        let copies = match self.inlined_copies {
            0 => String::new(),
            count => format!("; {count} functions have copies that are not seen"),
        };
        format!("  {} ({}): {price}{copies}", self.function, self.tells)
    }
}
