//! Loads the programs into the kernel and attaches them.

use std::{
    num::NonZero,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf, Endianness,
    programs::{BtfTracePoint, ProgramError, RawTracePoint, TracePoint},
};

use super::{
    Hook, KernelFailure, Program,
    load::{chain, refused_or},
};

/// Most programs that are verified at once.
const MOST_LOADERS: usize = 8;

/// Loads `chosen`, as many at once as there are processors: nearly all the time goes into the kernel's verifier. Those on
/// typed tracepoints need BTF that has the numbers of these.
///
/// # Errors
/// What the kernel or aya said.
pub fn load(programs: &mut Ebpf, chosen: &[&'static Program], tracepoints: Option<&[u8]>) -> Result<(), KernelFailure> {
    let btf = tracepoints.map_or_else(|| Ok(Btf::new()), |bytes| Btf::parse(bytes, Endianness::default()));
    let btf = btf.map_err(|error| KernelFailure::Load(chain(&error)))?;
    chosen.iter().try_for_each(|program| find(programs, program).map(|_| ()))?;
    let is_chosen = |name: &str| chosen.iter().find(|program| program.name == name);
    let left = Mutex::new(programs.programs_mut().filter_map(|(name, found)| Some((is_chosen(name)?, found))));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || std::iter::from_fn(next).try_for_each(|(program, found)| load_program(found, program, &btf));
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..processors()).map(|_| scope.spawn(work)).collect();
        let panicked = |_| Err(KernelFailure::Load("the thread that loads BPF programs panicked".into()));
        let own = work();
        helpers.into_iter().map(|helper| helper.join().unwrap_or_else(panicked)).fold(own, Result::and)
    })
}

/// Processors that we may use.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MOST_LOADERS)
}

/// Attaches `chosen`, in this order.
///
/// # Errors
/// What the kernel or aya said.
pub fn attach(programs: &mut Ebpf, chosen: &[&'static Program]) -> Result<(), KernelFailure> {
    chosen.iter().try_for_each(|program| attach_program(programs, program))
}

fn load_program(found: &mut aya::programs::Program, program: &Program, btf: &Btf) -> Result<(), KernelFailure> {
    let loaded = match program.hook {
        Hook::Tracepoint(..) => <&mut TracePoint>::try_from(found).and_then(TracePoint::load),
        Hook::Raw(_) => <&mut RawTracePoint>::try_from(found).and_then(RawTracePoint::load),
        Hook::Typed(name) => <&mut BtfTracePoint>::try_from(found).and_then(|found| found.load(name, btf)),
    };
    loaded.map_err(|error| {
        not_verified(program.name, &error).unwrap_or_else(|| {
            refused_or("loading a BPF program", &error, |error| {
                KernelFailure::Load(format!("{}: {}", program.name, chain(error)))
            })
        })
    })
}

fn attach_program(programs: &mut Ebpf, program: &Program) -> Result<(), KernelFailure> {
    let attached = match program.hook {
        Hook::Tracepoint(category, name) => {
            let found: Result<&mut TracePoint, _> = find(programs, program)?.try_into();
            found.and_then(|found| found.attach(category, name).map(|_| ()))
        }
        Hook::Raw(name) => {
            let found: Result<&mut RawTracePoint, _> = find(programs, program)?.try_into();
            found.and_then(|found| found.attach(name).map(|_| ()))
        }
        Hook::Typed(_) => {
            let found: Result<&mut BtfTracePoint, _> = find(programs, program)?.try_into();
            found.and_then(|found| found.attach().map(|_| ()))
        }
    };
    attached.map_err(|error| KernelFailure::Attach {
        program: program.name,
        hook: program.hook.to_string(),
        reason: chain(&error),
    })
}

fn find<'a>(programs: &'a mut Ebpf, program: &Program) -> Result<&'a mut aya::programs::Program, KernelFailure> {
    programs
        .program_mut(program.name)
        .ok_or_else(|| KernelFailure::Load(format!("the BPF object has no program `{}`", program.name)))
}

/// What the verifier says of a program: its refusal has the number of a want of rights.
pub(super) fn not_verified(name: &str, error: &ProgramError) -> Option<KernelFailure> {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return None };
    let words = end_of(&verifier_log.to_string());
    (!words.is_empty()).then(|| KernelFailure::Load(format!("{name}: {io_error}: {words}")))
}

/// The verifier's last words; all of them would fill screens.
fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(6)..).unwrap_or_default().join(" | ")
}
