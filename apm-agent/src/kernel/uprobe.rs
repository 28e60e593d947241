//! Probes in the code of watched processes: programs at places of a process's executable.
//!
//! The programs are loaded when the first process needs them. Each probe is a perf event of its own (aya 0.14 has no
//! multi-probe links), which fires for one process only and goes when its link is dropped, however the agent ends.

use std::{collections::HashMap, num::NonZeroU32};

use apm_common::go::{GoKey, GoLayout};
use aya::{
    Ebpf, Pod,
    maps::{HashMap as BpfHashMap, MapData},
    programs::{ProgramError, UProbe, uprobe::UProbeLinkId, uprobe::UProbeScope},
};

use super::{
    Kernel, KernelFailure,
    load::{chain, held, refused_or},
};

#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct PodLayout(GoLayout);
// SAFETY: `GoLayout` is `repr(C)`, without padding, and made of integers only.
unsafe impl Pod for PodLayout {}

#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct PodKey(GoKey);
// SAFETY: `GoKey` is `repr(C)`, without padding, and made of integers only.
unsafe impl Pod for PodKey {}

/// A program and the place in the executable where it is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Name in the BPF object.
    pub program: &'static str,
    /// Bytes from the beginning of the file to the instruction.
    pub offset: u64,
}

/// What is probed in a Go process, and what the programs have to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoProbes {
    /// Where its structures have their members.
    pub layout: GoLayout,
    /// Addresses of the types that are contexts, with the place of the context above.
    pub contexts: Vec<(u64, u32)>,
    /// The probes.
    pub probes: Vec<Probe>,
}

/// Probed processes.
pub(super) struct Probed {
    layouts: BpfHashMap<MapData, u32, PodLayout>,
    contexts: BpfHashMap<MapData, PodKey, u32>,
    loaded: Vec<&'static str>,
    processes: HashMap<u32, Process>,
    /// Times that probes were set, ever.
    visits: u64,
}

struct Process {
    contexts: Vec<u64>,
    links: Vec<(&'static str, UProbeLinkId)>,
}

impl Probed {
    /// None yet.
    pub(super) fn new(
        layouts: BpfHashMap<MapData, u32, PodLayout>,
        contexts: BpfHashMap<MapData, PodKey, u32>,
    ) -> Self {
        Self { layouts, contexts, loaded: Vec::new(), processes: HashMap::new(), visits: 0 }
    }

    /// Programs loaded so far.
    pub(super) fn programs(&self) -> impl Iterator<Item = &'static str> {
        self.loaded.iter().copied()
    }
}

impl Kernel {
    /// Sets probes in a running Go process. What was set in it before is taken out first.
    ///
    /// # Errors
    /// When the kernel refuses, or the process is gone. Nothing of it is left then.
    pub fn probe(&mut self, pid: u32, wanted: &GoProbes) -> Result<(), KernelFailure> {
        self.unprobe(pid);
        let set = self.set_probes(pid, wanted);
        if set.is_err() {
            self.unprobe(pid);
        }
        set
    }

    /// Takes all probes out of a process, which may be gone; one that has none is no error.
    pub fn unprobe(&mut self, pid: u32) {
        self.carry_no_more_for(pid);
        let Some(process) = self.probed.processes.remove(&pid) else { return };
        let mut programs = held(&self.programs);
        for (name, link) in process.links {
            if let Ok(program) = uprobe(&mut programs, name) {
                let _ = program.detach(link);
            }
        }
        let _ = self.probed.layouts.remove(&pid);
        for place in process.contexts {
            let _ = self.probed.contexts.remove(&PodKey(GoKey::new(pid, place)));
        }
    }

    /// Processes that have probes, and the number of these.
    pub fn probes(&self) -> (usize, usize) {
        let processes = &self.probed.processes;
        (processes.len(), processes.values().map(|process| process.links.len()).sum())
    }

    fn set_probes(&mut self, pid: u32, wanted: &GoProbes) -> Result<(), KernelFailure> {
        let Some(number) = NonZeroU32::new(pid) else { return Ok(()) };
        self.describe(pid, wanted)?;
        let path = format!("/proc/{pid}/exe");
        let mut programs = held(&self.programs);
        for probe in &wanted.probes {
            let program = uprobe(&mut programs, probe.program)?;
            if !self.probed.loaded.contains(&probe.program) {
                program.load().map_err(|error| refused(probe, &error))?;
                self.probed.loaded.push(probe.program);
            }
            let link = program.attach(probe.offset, &path, UProbeScope::OneProcess(number)).map_err(|error| {
                let hook = format!("{path}:{:#x}", probe.offset);
                KernelFailure::Attach { program: probe.program, hook, reason: chain(&error) }
            })?;
            if let Some(process) = self.probed.processes.get_mut(&pid) {
                process.links.push((probe.program, link));
            }
        }
        Ok(())
    }

    /// Tells the programs where things lie: before a probe can be hit.
    fn describe(&mut self, pid: u32, wanted: &GoProbes) -> Result<(), KernelFailure> {
        let contexts = wanted.contexts.iter().map(|(place, _)| *place).collect();
        self.probed.processes.insert(pid, Process { contexts, links: Vec::new() });
        let full =
            |error: aya::maps::MapError| KernelFailure::Load(format!("a map of Go processes: {}", chain(&error)));
        for (place, above) in &wanted.contexts {
            self.probed.contexts.insert(PodKey(GoKey::new(pid, *place)), above, 0).map_err(full)?;
        }
        self.probed.visits += 1;
        let layout = GoLayout { visit: self.probed.visits, ..wanted.layout };
        self.probed.layouts.insert(pid, PodLayout(layout), 0).map_err(full)
    }
}

fn uprobe<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe, KernelFailure> {
    let found = programs.program_mut(name).map(TryInto::try_into);
    match found {
        Some(Ok(program)) => Ok(program),
        _ => Err(KernelFailure::Load(format!("the BPF object has no user probe `{name}`"))),
    }
}

fn refused(probe: &Probe, error: &ProgramError) -> KernelFailure {
    super::attach::not_verified(probe.program, error).unwrap_or_else(|| {
        refused_or("loading a user probe", error, |error| {
            KernelFailure::Load(format!("{}: {}", probe.program, chain(error)))
        })
    })
}
