//! Loads and attaches the programs, and hands out what they send.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use apm_common::{counter::Counter, event::ProcessEntry, settings::Settings};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{HashMap, MapData, PerCpuArray, PerCpuValues, RingBuf},
};
use rustix::event::{Timespec, epoll};

use super::{
    Admission, KernelFailure, Program, attach,
    layout::{Layout, Variant},
    program,
    propagation::Carriers,
    self_test,
    tools::Tools,
    tracefs,
    uprobe::Probed,
};

/// The BPF object, built from `apm-ebpf` by `cargo xtask ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/apm-ebpf.bpf.o");

#[repr(transparent)]
#[derive(Clone, Copy)]
struct PodSettings(Settings);
// SAFETY: `Settings` is `repr(C)` and made of `u32` only.
unsafe impl Pod for PodSettings {}

#[repr(transparent)]
#[derive(Clone, Copy)]
struct PodProcess(ProcessEntry);
// SAFETY: `ProcessEntry` is `repr(C)`, without padding, and made of integers only.
unsafe impl Pod for PodProcess {}

/// What the kernel keeps of a connection, opaque here but for what follows (`apm_ebpf::maps::Connection`).
type ConnectionState = [u8; 80];
/// Where the mode lies in it, and the value that stops all events of the connection.
const MODE: usize = 25;
const IGNORED: u8 = 1;
/// Where the state of the call lies that is about to begin on it, and the value for one into which the place in the trace
/// is to be written.
const CALL_STATE: usize = 72;
const CALL_WANTED: u8 = 1;

/// A connection on which such a call is about to begin, whose ids are zeros.
pub fn call_wanted() -> [u8; 80] {
    std::array::from_fn(|at| if at == CALL_STATE { CALL_WANTED } else { 0 })
}

/// The loaded programs. Dropping it detaches and unloads them.
pub struct Kernel {
    pub(super) probed: Probed,
    pub(super) programs: Arc<Mutex<Ebpf>>,
    tools: Tools,
    /// Those that are attached.
    chosen: Vec<&'static Program>,
    events: RingBuf<MapData>,
    processes: HashMap<MapData, u32, PodProcess>,
    pub(super) carriers: Carriers,
    pub(super) connections: HashMap<MapData, u64, ConnectionState>,
    counts: PerCpuArray<MapData, u64>,
    map_fds: Vec<OwnedFd>,
    /// An epoll instance that tells of the ring buffer's wake-ups, edge-triggered.
    wakes: OwnedFd,
    typed: bool,
}

impl Kernel {
    /// Loads and attaches everything, and shows that it works here.
    ///
    /// # Errors
    /// A sentence with its remedy. Nothing is left attached.
    pub fn load(admission: Admission) -> Result<Self, KernelFailure> {
        Self::load_without(admission, 0)
    }

    /// As [`load`](Self::load), without trying the best `skipped` ways in which the programs may find what they read: so
    /// that those which older kernels need can be tried on a newer one. 1: system calls tell what passes instead of the
    /// sockets; 2: and kernel memory is probed.
    ///
    /// # Errors
    /// As there.
    pub fn load_without(admission: Admission, skipped: usize) -> Result<Self, KernelFailure> {
        let layout = Layout::find(admission)?;
        tracefs::ensure()?;
        let mut last = KernelFailure::SelfTest("no layout was tried");
        for variant in layout.variants().skip(skipped) {
            match Self::load_with(variant) {
                Ok(mut kernel) => {
                    kernel.tools.know_tasks(layout.tasks());
                    return Ok(kernel);
                }
                // Also a refusal: kernels refuse kinds of programs, and the verifier says no with the same number.
                Err(failure) => {
                    let Settings { typed, offsets, .. } = variant.settings;
                    let traced = variant.tracepoints.is_some();
                    tracing::debug!(traced, typed, padding = offsets.stack_padding, %failure);
                    last = failure;
                }
            }
        }
        Err(last)
    }

    fn load_with(variant: Variant<'_>) -> Result<Self, KernelFailure> {
        let mut programs = EbpfLoader::new()
            .btf(None)
            .override_global("SETTINGS", &PodSettings(variant.settings), true)
            .load(OBJECT)
            .map_err(|error| refused_or("loading BPF maps", &error, |error| KernelFailure::Load(chain(error))))?;
        let chosen: Vec<&'static Program> = program::needed(variant.tracepoints.is_some()).collect();
        attach::load(&mut programs, &chosen, variant.tracepoints)?;
        let mut kernel = Self::take_maps(programs, chosen, variant.settings.typed == 1)?;
        attach::attach(&mut held(&kernel.programs), &kernel.chosen)?;
        self_test::run(&mut kernel)?;
        Ok(kernel)
    }

    fn take_maps(mut programs: Ebpf, chosen: Vec<&'static Program>, typed: bool) -> Result<Self, KernelFailure> {
        let mut map_fds = Vec::new();
        for (_, map) in programs.maps() {
            if let Ok(fd) = map_fd(map) {
                map_fds.push(fd);
            }
        }
        let mut take = |name: &str| {
            programs.take_map(name).ok_or_else(|| KernelFailure::Load(format!("the BPF object has no map `{name}`")))
        };
        let wrong = |error: aya::maps::MapError| KernelFailure::Load(chain(&error));
        let events = RingBuf::try_from(take("EVENTS")?).map_err(wrong)?;
        let processes = HashMap::try_from(take("PROCESSES")?).map_err(wrong)?;
        let connections = HashMap::try_from(take("CONNECTIONS")?).map_err(wrong)?;
        let counts = PerCpuArray::try_from(take("COUNTS")?).map_err(wrong)?;
        let layouts = HashMap::try_from(take("GO_PROCESSES")?).map_err(wrong)?;
        let contexts = HashMap::try_from(take("GO_CONTEXT_TYPES")?).map_err(wrong)?;
        let probed = Probed::new(layouts, contexts);
        let channels = HashMap::try_from(take("CHANNELS")?).map_err(wrong)?;
        let diversions = HashMap::try_from(take("DIVERSIONS")?).map_err(wrong)?;
        let carriers = Carriers::take(&mut programs)?;
        let wakes = wakes_of(&events).map_err(|error| KernelFailure::Load(format!("epoll: {error}")))?;
        let programs = Arc::new(Mutex::new(programs));
        let tools = Tools::new(Arc::clone(&programs), channels, diversions);
        Ok(Self {
            probed,
            programs,
            tools,
            chosen,
            events,
            processes,
            carriers,
            connections,
            counts,
            map_fds,
            wakes,
            typed,
        })
    }

    /// What the kernel does for bridges.
    pub fn tools(&self) -> Tools {
        self.tools.clone()
    }

    /// The programs that are attached.
    pub fn programs(&self) -> &[&'static Program] {
        &self.chosen
    }

    /// How the programs get at the kernel's structures here, for people.
    pub fn access(&self) -> &'static str {
        if self.typed { "typed kernel memory directly" } else { "kernel memory by probing, which costs more" }
    }

    /// Enters a process into the watched set, or changes its state.
    ///
    /// # Errors
    /// When the set is full.
    pub fn watch(&mut self, pid: u32, entry: ProcessEntry) -> Result<(), KernelFailure> {
        self.processes.insert(pid, PodProcess(entry), 0).map_err(|error| KernelFailure::Refused {
            what: format!("watching process {pid}"),
            source: io::Error::other(chain(&error)),
        })
    }

    /// Takes a process out of the watched set; a process that is not in it is no error.
    pub fn forget(&mut self, pid: u32) {
        let _ = self.processes.remove(&pid);
    }

    /// Is the process in the watched set?
    pub fn is_watched(&self, pid: u32) -> bool {
        self.processes.get(&pid, 0).is_ok()
    }

    /// Drops what the kernel keeps of a connection whose holders are gone.
    pub fn forget_connection(&mut self, connection: u64) {
        let _ = self.connections.remove(&connection);
        self.carriers.forget(connection);
    }

    /// No more events of this connection: it speaks nothing we know.
    pub fn ignore_connection(&mut self, connection: u64) {
        if let Ok(mut state) = self.connections.get(&connection, 0) {
            if let Some(mode) = state.get_mut(MODE) {
                *mode = IGNORED;
            }
            let _ = self.connections.insert(connection, state, 0);
        }
    }

    /// Waits until the kernel wakes us or the time is over. Records that are there already do not count: they are few, or
    /// the kernel would have woken us, and taking each as it comes costs more than taking them together (and, on a
    /// sibling thread of the target's core, slows the target).
    pub fn wait(&self, longest: Duration) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: longest.subsec_nanos().into() };
        let mut woken = [MaybeUninit::uninit(); 1];
        let _ = epoll::wait(&self.wakes, &mut woken, Some(&timeout));
    }

    /// Hands each record that is there to `take`, at most `most` of them; returns how many.
    pub fn drain(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> usize {
        for count in 0..most {
            match self.events.next() {
                Some(record) => take(&record),
                None => return count,
            }
        }
        most
    }

    /// The kernel's counters, summed over processors.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        Counter::ALL
            .iter()
            .map(|&(counter, name)| {
                let sum = self.counts.get(&(counter as u32), 0).map_or(0, |values| values.iter().sum());
                (name, sum)
            })
            .collect()
    }

    /// Sets counters back to nothing.
    pub(super) fn uncount(&mut self, counters: &[Counter]) {
        for counter in counters {
            if let Ok(values) = self.counts.get(&(*counter as u32), 0)
                && let Ok(none) = PerCpuValues::try_from(vec![0; values.len()])
            {
                let _ = self.counts.set(*counter as u32, none, 0);
            }
        }
    }

    /// Instructions the verifier walked for each program (`verified_insns` of its fdinfo); kernels before 5.16 do not tell.
    pub fn verified_instructions(&self) -> Vec<(&'static str, Option<u32>)> {
        let programs = held(&self.programs);
        let count = |name: &str| programs.program(name)?.info().ok()?.verified_instruction_count();
        let names = self.chosen.iter().map(|program| program.name).chain(self.probed.programs());
        let names = names.chain(self.carriers.programs().iter().copied());
        names.map(|name| (name, count(name))).collect()
    }

    /// Bytes of kernel memory the maps take now (`memlock` of their fdinfo).
    pub fn map_bytes(&self) -> u64 {
        use std::os::fd::AsRawFd as _;
        self.map_fds
            .iter()
            .filter_map(|fd| std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok())
            .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse::<u64>().ok()))
            .sum()
    }
}

/// Nobody panics while holding programs or maps, and if somebody did, they would still be whole.
pub fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An epoll instance that tells of a ring buffer's wake-ups.
fn wakes_of(events: &RingBuf<MapData>) -> io::Result<OwnedFd> {
    let wakes = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&wakes, events.as_fd(), epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
    Ok(wakes)
}

fn map_fd(map: &aya::maps::Map) -> io::Result<OwnedFd> {
    use aya::maps::Map;
    let data = match map {
        Map::HashMap(data) | Map::LruHashMap(data) | Map::RingBuf(data) | Map::PerCpuArray(data) | Map::Array(data) => {
            data
        }
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    data.fd().as_fd().try_clone_to_owned()
}

/// An error with its causes, one sentence.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// A refusal for want of rights is told apart from everything else.
pub fn refused_or<E: std::error::Error + 'static>(
    what: &str,
    error: &E,
    otherwise: impl FnOnce(&E) -> KernelFailure,
) -> KernelFailure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let source = error.downcast_ref::<io::Error>();
        if source.is_some_and(|source| source.kind() == io::ErrorKind::PermissionDenied) {
            return KernelFailure::Refused { what: what.into(), source: io::ErrorKind::PermissionDenied.into() };
        }
        cause = error.source();
    }
    otherwise(error)
}
