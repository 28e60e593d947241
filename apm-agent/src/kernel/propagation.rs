//! Puts the place in the trace into calls that leave selected processes: programs at the sockets these open.
//!
//! Nothing is pinned: with our descriptors the programs go, and the kernel gives the sockets their own functions back.

mod self_test;
mod taking_over;

use std::{collections::HashSet, ops::Range, sync::Mutex};

use anyhow::Context as _;
use apm_common::propagation::{AT_SOCKETS, IN_MEMORY, Propagation};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, MapData, SockHash},
    programs::{CgroupAttachMode, SkMsg, SockOps},
};

use super::{
    Kernel, KernelFailure, Written,
    load::{call_wanted, chain, held},
    stopping::Keeper,
    tools::cgroups,
};
use crate::config;

/// Names in the BPF object.
const JOIN: &str = "join";
const CARRY: &str = "carry";

#[repr(transparent)]
#[derive(Clone, Copy)]
struct PodPropagation(Propagation);
// SAFETY: `Propagation` is `repr(C)`, without padding, and made of integers only.
unsafe impl Pod for PodPropagation {}

/// What is written into calls, and of whom.
pub(super) struct Carriers {
    rules: Array<MapData, PodPropagation>,
    processes: HashMap<MapData, u32, [u64; 2]>,
    sockets: SockHash<MapData, u64>,
    /// What is written, in which ways by now.
    written: Propagation,
    /// In which ways it is to be.
    wanted: config::Propagation,
    /// Not tried yet.
    is_new: bool,
    /// How memory is written into; `None`: it was not tried.
    pub(super) memory: Option<Result<Written, String>>,
    /// Who sees to it that nothing stays stopped.
    pub(super) keeper: Option<Keeper>,
    /// Connections older than we that were taken over, or could not be.
    tried: HashSet<u64>,
    /// How many were, ever.
    taken_over: u64,
    /// That works here.
    takes_over: bool,
}

impl Carriers {
    /// None, as yet.
    pub(super) fn take(programs: &mut Ebpf) -> Result<Self, KernelFailure> {
        let mut take = |name: &str| {
            programs.take_map(name).ok_or_else(|| KernelFailure::Load(format!("the BPF object has no map `{name}`")))
        };
        let wrong = |error: aya::maps::MapError| KernelFailure::Load(chain(&error));
        Ok(Self {
            rules: Array::try_from(take("PROPAGATION")?).map_err(wrong)?,
            processes: HashMap::try_from(take("CARRYING")?).map_err(wrong)?,
            sockets: SockHash::try_from(take("CARRIERS")?).map_err(wrong)?,
            written: Propagation::OFF,
            wanted: config::Propagation::Off,
            is_new: false,
            memory: None,
            keeper: None,
            tried: HashSet::new(),
            taken_over: 0,
            takes_over: false,
        })
    }

    /// Names of the programs that are loaded.
    pub(super) fn programs(&self) -> &'static [&'static str] {
        if self.is_on() { &[JOIN, CARRY] } else { &[] }
    }

    fn is_on(&self) -> bool {
        self.written.ways & AT_SOCKETS != 0
    }

    /// Is anything to be written into memory?
    pub(super) fn wants_memory(&self) -> bool {
        matches!(self.wanted, config::Propagation::Full | config::Propagation::StopAndWrite)
    }

    /// May processes be stopped for it?
    pub(super) fn may_stop(&self) -> bool {
        self.wanted == config::Propagation::StopAndWrite
    }

    /// Memory is written into from now on.
    pub(super) fn use_memory(&mut self) -> Result<(), KernelFailure> {
        self.set(self.written.ways | IN_MEMORY).map_err(|error| KernelFailure::Load(chain(error.as_ref())))
    }

    fn attach(&mut self, programs: &Mutex<Ebpf>) -> Result<(), anyhow::Error> {
        let mut programs = held(programs);
        let carry: &mut SkMsg = programs.program_mut(CARRY).context("not in the BPF object")?.try_into()?;
        carry.load()?;
        carry.attach(self.sockets.fd())?;
        let join: &mut SockOps = programs.program_mut(JOIN).context("not in the BPF object")?.try_into()?;
        join.load()?;
        join.attach(cgroups().context("cgroup v2")?, CgroupAttachMode::Single)?;
        Ok(())
    }

    fn detach(&mut self, programs: &Mutex<Ebpf>) {
        let mut programs = held(programs);
        if let Some(Ok(join)) = programs.program_mut(JOIN).map(<&mut SockOps>::try_from) {
            let _ = join.unload();
        }
        if let Some(Ok(carry)) = programs.program_mut(CARRY).map(<&mut SkMsg>::try_from) {
            let _ = carry.unload();
        }
    }

    fn set(&mut self, ways: u32) -> Result<(), anyhow::Error> {
        self.written.ways = ways;
        Ok(self.rules.set(0, PodPropagation(self.written), 0)?)
    }
}

impl Kernel {
    /// From now on the place in the trace can go along with calls, written as `rules` say.
    pub fn propagate(&mut self, rules: Propagation, wanted: config::Propagation) {
        (self.carriers.written, self.carriers.wanted, self.carriers.is_new) = (rules, wanted, true);
    }

    /// The place in the trace goes along with the HTTP/1 calls of this process, on connections that its code between two
    /// addresses opens from now on, and on older ones from the second call on ([`carry_on`](Self::carry_on)).
    /// The first time it is shown before that this works here: that what arrives is what was sent, and the lines. False:
    /// nothing was asked for.
    ///
    /// # Errors
    /// Why it cannot be; nothing is left attached then, and later processes are told that nothing was asked for.
    pub fn carry_for(&mut self, pid: u32, code: Range<u64>) -> Result<bool, KernelFailure> {
        if std::mem::take(&mut self.carriers.is_new) {
            self.begin_to_carry()?;
        }
        if self.carriers.is_on() {
            let full = |error: aya::maps::MapError| KernelFailure::Load(chain(&error));
            self.carriers.processes.insert(pid, [code.start, code.end], 0).map_err(full)?;
        }
        Ok(self.carriers.is_on())
    }

    fn begin_to_carry(&mut self) -> Result<(), KernelFailure> {
        let others = self.carriers.written.ways;
        let begun = self.carriers.set(others | AT_SOCKETS).and_then(|()| self.carriers.attach(&self.programs));
        let tried =
            begun.map_err(|error| KernelFailure::Load(chain(error.as_ref()))).and_then(|()| self_test::run(self));
        self.carriers.takes_over = tried.is_ok() && self_test::takes_over(self);
        if tried.is_err() {
            self.carriers.detach(&self.programs);
            let _ = self.carriers.set(others);
        }
        tried
    }

    /// Not any more with those on connections that the process opens from now on.
    pub fn carry_no_more_for(&mut self, pid: u32) {
        let _ = self.carriers.processes.remove(&pid);
    }

    /// What is sent on this connection need not come by.
    pub fn carry_no_more_on(&mut self, connection: u64) {
        let _ = self.carriers.sockets.remove(&connection);
    }

    /// The next bytes on a connection of ours are a call into which lines of zeros are to be written.
    fn expect_call(&mut self, connection: u64) -> Result<(), KernelFailure> {
        let entered = self.connections.insert(connection, call_wanted(), 0);
        entered.map_err(|error| KernelFailure::Load(chain(&error)))
    }
}
