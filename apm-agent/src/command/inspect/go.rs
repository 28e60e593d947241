//! What `inspect` tells of a Go program: what its tables say, and where its probes would lie.

use crate::{
    binary::{
        Binary,
        go::{GoBinary, Refusal},
    },
    runtime::go::{Placed, places},
};

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

/// A function that is probed, or would be.
#[derive(Debug, serde::Serialize)]
struct GoHook {
    /// Name of the group, by which it can be left alone.
    group: &'static str,
    function: &'static str,
    probes: usize,
    /// Why it has none.
    left_out: Option<&'static str>,
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
            hooks: places(program).into_iter().map(GoHook::of).collect(),
            refusal: None,
        }
    }

    /// As lines of text.
    pub(super) fn lines(&self) -> Vec<String> {
        if let Some(refusal) = &self.refusal {
            return vec![format!("\nNo probes in functions are possible: {refusal}")];
        }
        let counts = format!("{} modules, {} functions, {} types", self.modules, self.functions, self.types);
        let mut lines = vec![
            format!("\nProbes in functions of Go ({counts}):"),
            "  all lie on instructions that the kernel emulates: about 0.7 µs each time on a nested virtual machine"
                .into(),
            "  a group is left alone by `--disable-instrumentations=GROUP`, all by `--go-probes=false`".into(),
        ];
        lines.extend(self.hooks.iter().map(GoHook::line));
        lines
    }
}

impl GoHook {
    fn of(placed: Placed) -> Self {
        let Placed { function, group, probes } = placed;
        Self { group, function, probes: probes.unwrap_or_default(), left_out: probes.err() }
    }

    fn line(&self) -> String {
        let comes_to = match (self.left_out, self.probes) {
            (Some(reason), _) => format!("none: {reason}"),
            (None, 1) => "1 probe".to_owned(),
            (None, several) => format!("{several} probes"),
        };
        format!("  {:<12} {}: {comes_to}", self.group, self.function)
    }
}
