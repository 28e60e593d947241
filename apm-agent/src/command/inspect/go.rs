//! What `inspect` tells of a Go program: what its tables say, and where its hooks could sit.

use crate::binary::{
    Binary,
    go::{GoBinary, Landings, Price, Refusal},
};

/// Functions that hooks need most, with what they would tell, and how many registers their results take where those are
/// needed, too.
const HOOKS: [(&str, &str, usize); 10] = [
    ("net/http.serverHandler.ServeHTTP", "requests begin", 0),
    ("net/http.(*response).finishRequest", "requests end (HTTP/1)", 0),
    ("net/http.(*http2responseWriter).handlerDone", "requests end (HTTP/2, up to Go 1.26)", 0),
    ("net/http/internal/http2.(*responseWriter).handlerDone", "requests end (HTTP/2, from Go 1.27 on)", 0),
    ("net/http.(*Transport).roundTrip", "outgoing requests", 0),
    ("net/http.send", "outgoing requests of clients", 4),
    ("database/sql.(*DB).queryDC", "statements with rows", 3),
    ("database/sql.(*DB).execDC", "statements without rows", 4),
    ("google.golang.org/grpc.(*Server).handleStream", "gRPC calls", 0),
    ("runtime.gopanic", "panics", 0),
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
    results: Option<Results>,
    /// Functions that have a copy of it which a probe does not see.
    inlined_copies: u32,
}

/// Where the results of a function can be seen, elsewhere than at its returns.
#[derive(Debug, serde::Serialize)]
struct Results {
    cheap: usize,
    dear: usize,
    /// All calls are among these places.
    is_complete: bool,
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
            hooks: HOOKS
                .iter()
                .map(|(function, tells, results)| GoHook::of(program, function, tells, *results))
                .collect(),
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
    fn of(program: &GoBinary, function: &'static str, tells: &'static str, results: usize) -> Self {
        let found = program.function(function);
        let price = found.as_ref().and_then(|found| program.site(found)).map(|site| site.price);
        let inlined_copies = program.inlined_copies(function);
        let results = found.as_ref().filter(|_| results > 0).and_then(|found| program.landings(found, results));
        let results = results.as_ref().map(Results::of);
        Self { function, tells, price, results, is_found: found.is_some(), inlined_copies }
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
        let results = self.results.as_ref().map(Results::text).unwrap_or_default();
        format!("  {} ({}): {price}{copies}{results}", self.function, self.tells)
    }
}

impl Results {
    fn of(landings: &Landings) -> Self {
        let cheap = landings.sites.iter().filter(|site| site.price == Price::Emulated).count();
        Self { cheap, dear: landings.sites.len() - cheap, is_complete: landings.is_complete }
    }

    fn text(&self) -> String {
        match self {
            Self { is_complete: false, .. } => "; places where its results are seen: its returns only (dear)".into(),
            Self { cheap, dear, .. } => format!("; places where its results are seen: {cheap} cheap, {dear} dear"),
        }
    }
}
