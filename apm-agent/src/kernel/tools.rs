//! What the kernel does for the bridges to run times, from their threads. Nothing of it is loaded before it is wanted.

use std::{
    fs::File,
    io::Read as _,
    net::Ipv4Addr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use aya::{
    Btf, Ebpf, Endianness,
    maps::{HashMap, MapData},
    programs::{CgroupAttachMode, CgroupSockAddr, Iter, TracePoint},
};
use rustix::{
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

use super::{
    KernelFailure,
    load::{chain, held},
};

/// Names in the BPF object.
const HANDLERS: &str = "usr1_handlers";
const WRITES: &str = "enter_write";
const BINDS: &str = "divert_bind";

/// Bytes read of the iterator at most: two words for each process.
const LONGEST_LIST: u64 = 16 << 20;

/// What the kernel does for bridges. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Tools(Arc<Shared>);

struct Shared {
    programs: Arc<Mutex<Ebpf>>,
    /// BTF with the number of the iterator over all tasks.
    tasks: Mutex<Option<Vec<u8>>>,
    channels: Mutex<HashMap<MapData, u64, u8>>,
    diversions: Mutex<HashMap<MapData, u32, u32>>,
}

impl Tools {
    pub(super) fn new(
        programs: Arc<Mutex<Ebpf>>,
        channels: HashMap<MapData, u64, u8>,
        diversions: HashMap<MapData, u32, u32>,
    ) -> Self {
        let (channels, diversions) = (Mutex::new(channels), Mutex::new(diversions));
        Self(Arc::new(Shared { programs, tasks: Mutex::default(), channels, diversions }))
    }

    pub(super) fn know_tasks(&mut self, btf: Option<Vec<u8>>) {
        *held(&self.0.tasks) = btf;
    }

    /// Address of the function that handles SIGUSR1 in a process, 0 when it is the default, 1 when it is ignored; `None`:
    /// there is no such process.
    ///
    /// # Errors
    /// When the kernel does not let us look.
    pub fn usr1_handler(&self, pid: u32) -> Result<Option<u64>, KernelFailure> {
        let mut list = Vec::new();
        let mut told = self.handlers().map_err(|error| failure(HANDLERS, error))?.take(LONGEST_LIST);
        told.read_to_end(&mut list).map_err(|error| failure(HANDLERS, error))?;
        let words = list.chunks_exact(8).filter_map(|word| word.first_chunk().map(|word| u64::from_ne_bytes(*word)));
        let words: Vec<u64> = words.collect();
        let mut pairs = words.chunks_exact(2).filter_map(|pair| pair.first_chunk::<2>());
        Ok(pairs.find_map(|[process, handler]| (*process == u64::from(pid)).then_some(*handler)))
    }

    fn handlers(&self) -> Result<File, anyhow::Error> {
        let mut programs = held(&self.0.programs);
        let program: &mut Iter = programs.program_mut(HANDLERS).context("not in the BPF object")?.try_into()?;
        if program.fd().is_err() {
            let btf = held(&self.0.tasks);
            let bytes = btf.as_deref().context("the kernel has no iterator over tasks")?;
            program.load("task", &Btf::parse(bytes, Endianness::default())?)?;
        }
        let link = program.attach()?;
        Ok(program.take_link(link)?.into_file()?)
    }

    /// From now on what `pid` writes to its descriptor `fd` comes as events of the kernel.
    ///
    /// # Errors
    /// When there are too many channels, or the kernel refuses.
    pub fn open_channel(&self, pid: u32, fd: u32) -> Result<Channel, KernelFailure> {
        let key = u64::from(pid) << 32 | u64::from(fd);
        let mut channels = held(&self.0.channels);
        channels.insert(key, 0, 0).map_err(|error| KernelFailure::Load(format!("a channel: {}", chain(&error))))?;
        drop(channels);
        let channel = Channel { key, tools: self.clone() };
        self.watch_writes().map_err(|error| failure(WRITES, error))?;
        Ok(channel)
    }

    fn watch_writes(&self) -> Result<(), anyhow::Error> {
        let mut programs = held(&self.0.programs);
        let program: &mut TracePoint = programs.program_mut(WRITES).context("not in the BPF object")?.try_into()?;
        if program.fd().is_ok() {
            return Ok(());
        }
        program.load()?;
        if let Err(error) = program.attach("syscalls", "sys_enter_write") {
            program.unload()?;
            return Err(error.into());
        }
        Ok(())
    }

    /// The next inspector that `pid` opens at its usual place opens at `address` and any port instead.
    ///
    /// # Errors
    /// When the kernel has no cgroup of version 2, or refuses.
    pub fn divert_inspector(&self, pid: u32, address: Ipv4Addr) -> Result<Diversion, KernelFailure> {
        self.watch_binds().map_err(|error| failure(BINDS, error))?;
        let mut diversions = held(&self.0.diversions);
        let inserted = diversions.insert(pid, u32::from_ne_bytes(address.octets()), 0);
        inserted.map_err(|error| KernelFailure::Load(format!("a diversion: {}", chain(&error))))?;
        Ok(Diversion { pid, tools: self.clone() })
    }

    fn watch_binds(&self) -> Result<(), anyhow::Error> {
        let mut programs = held(&self.0.programs);
        let program: &mut CgroupSockAddr = programs.program_mut(BINDS).context("not in the BPF object")?.try_into()?;
        if program.fd().is_ok() {
            return Ok(());
        }
        let root = cgroups().context("cgroup v2")?;
        program.load()?;
        if let Err(error) = program.attach(root, CgroupAttachMode::Single) {
            program.unload()?;
            return Err(error.into());
        }
        Ok(())
    }
}

/// The root of the second version's cgroups, in which every process is: a mount of our own that nobody sees.
pub(super) fn cgroups() -> Result<OwnedFd, Errno> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn failure<E: Into<anyhow::Error>>(program: &str, error: E) -> KernelFailure {
    KernelFailure::Load(format!("{program}: {:#}", error.into()))
}

/// A channel of a run time; dropping it closes it.
pub struct Channel {
    key: u64,
    tools: Tools,
}

impl Drop for Channel {
    fn drop(&mut self) {
        let _ = held(&self.tools.0.channels).remove(&self.key);
    }
}

/// An inspector that is to open elsewhere; dropping it ends that.
pub struct Diversion {
    pid: u32,
    tools: Tools,
}

impl Drop for Diversion {
    fn drop(&mut self) {
        let _ = held(&self.tools.0.diversions).remove(&self.pid);
    }
}
