//! A loaded kernel, an actor, and what was seen of it.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use apm_agent::kernel::{Admission, Kernel};
use apm_common::event::{PROCESS_WATCHED, ProcessEntry};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::seen::{Seen, Told, read};

/// How long what happens at once may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Held by each test that attaches. The same lock as the end-to-end tests' (`lock` of `tests/src/turn.rs`).
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for the turn; `None`, with the reason printed past libtest's capture, when the test cannot run.
    pub fn take() -> Option<Self> {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        let skip = |reason: &str| {
            let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {reason}");
            None
        };
        if !rustix::process::geteuid().is_root() {
            return skip("it loads kernel programs, so it needs root");
        }
        if actor_path().is_none() {
            return skip("it needs a C compiler, `cc`");
        }
        let path = std::env::temp_dir().join("apm-agent-tests.lock");
        let lock = File::options().create(true).append(true).open(path).expect("the lock file can be opened");
        lock.lock().expect("the lock can be taken");
        Some(Self { _lock: lock })
    }
}

/// The compiled actor; `None` without a compiler.
fn actor_path() -> Option<&'static Path> {
    static ACTOR: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/actor.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("actor-{}", std::process::id()));
        let arguments = ["-O1", "-Wall", "-Werror", "-pthread", "-o"];
        let status = Command::new("cc").args(arguments).arg(&program).arg(source).status().ok()?;
        assert!(status.success(), "the actor compiles");
        Some(program)
    };
    ACTOR.get_or_init(compile).as_deref()
}

/// The process that acts.
pub struct Actor {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    pub fn start() -> Self {
        let mut command = Command::new(actor_path().expect("compiled when the turn was taken"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the actor starts");
        let orders = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, orders, answers }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order that is not answered.
    pub fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("the actor listens");
    }

    /// Gives an order; its result, or its negative errno. All events of it are in the ring buffer then.
    pub fn act(&mut self, order: &str) -> i64 {
        self.order(order);
        let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(self.answers.get_ref(), PollFlags::IN)], Some(&patience));
        assert_eq!(ready, Ok(1), "`{order}` is answered in time");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the actor answers");
        let numbers: Vec<i64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [-1, error] => -error,
            [result, 0] => result,
            _ => panic!("`{order}` was answered by {line:?}"),
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything a test needs. Declared in the order in which it must go.
pub struct Stage {
    pub kernel: Kernel,
    pub actor: Actor,
    names: HashMap<u64, char>,
    /// Processes whose events are told; others may be active.
    pub family: Vec<u32>,
    _turn: Turn,
}

impl Stage {
    /// A kernel and an actor that is not watched.
    pub fn unwatched(admission: Admission) -> Option<Self> {
        Self::unwatched_without(admission, 0)
    }

    fn unwatched_without(admission: Admission, skipped: usize) -> Option<Self> {
        let turn = Turn::take()?;
        let kernel = Kernel::load_without(admission, skipped)
            .unwrap_or_else(|failure| panic!("{failure}: {}", failure.remedy()));
        let actor = Actor::start();
        let family = vec![actor.pid()];
        let mut stage = Self { kernel, actor, names: HashMap::new(), family, _turn: turn };
        // It is in `main` now: its own exec and what the C library does before are past.
        stage.act("inode -");
        stage.told();
        Some(stage)
    }

    /// A kernel and a watched actor.
    pub fn set() -> Option<Self> {
        let mut stage = Self::unwatched(Admission::default())?;
        stage.watch();
        Some(stage)
    }

    /// A watched actor with a pair of connected sockets `a` and `b`, both already announced: one byte has passed from
    /// each to the other.
    pub fn with_pair() -> Option<Self> {
        Self::with_pair_without(0)
    }

    /// As [`Self::with_pair`], with a kernel loaded as by [`Kernel::load_without`].
    pub fn with_pair_without(skipped: usize) -> Option<Self> {
        let mut stage = Self::unwatched_without(Admission::default(), skipped)?;
        stage.watch();
        stage.acts(&[("pair a b", 0), ("write a 1", 1), ("read b 1", 1), ("write b 1", 1), ("read a 1", 1)]);
        stage.name("ab");
        stage.told();
        Some(stage)
    }

    pub fn watch(&mut self) {
        let entry = ProcessEntry { start_time: 0, state: PROCESS_WATCHED, reserved: 0 };
        self.kernel.watch(self.actor.pid(), entry).expect("room for one");
    }

    pub fn act(&mut self, order: &str) -> i64 {
        self.actor.act(order)
    }

    /// Gives orders whose results are known.
    pub fn acts(&mut self, orders: &[(&str, i64)]) {
        for (order, result) in orders {
            assert_eq!(self.act(order), *result, "result of `{order}`");
        }
    }

    /// Asks for a descriptor's identity, so that events name it.
    pub fn name(&mut self, letters: &str) {
        for letter in letters.chars() {
            let inode = self.act(&format!("inode {letter}"));
            self.names.insert(inode.cast_unsigned(), letter);
        }
    }

    /// A socket's own port.
    pub fn port(&mut self, letter: char) -> u16 {
        u16::try_from(self.act(&format!("port {letter}"))).expect("a port")
    }

    /// What was told since the last call.
    pub fn told(&mut self) -> Vec<Told> {
        let (names, family, mut all) = (&self.names, &self.family, Vec::new());
        self.kernel.drain(usize::MAX, |record| {
            all.push(read(record, |connection| names.get(&connection).copied().unwrap_or('?')));
        });
        all.retain(|told| family.contains(&told.pid) || matches!(told.what, Seen::Failed(name, _) if name != '?'));
        all
    }

    /// As [`Self::told`], without pids and times.
    pub fn seen(&mut self) -> Vec<Seen> {
        self.told().into_iter().map(|told| told.what).collect()
    }

    /// As [`Self::seen`], without announcements of connections.
    pub fn passed(&mut self) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|what| !matches!(what, Seen::Open(..)));
        seen
    }

    /// Waits for something that happens behind the actor's back.
    pub fn wait_for(&mut self, mut wanted: impl FnMut(&Told) -> bool) -> Told {
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        loop {
            all.extend(self.told());
            if let Some(found) = all.iter().find(|told| wanted(told)) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "not seen: all there is is {all:?}");
            self.kernel.wait(Duration::from_millis(5));
        }
    }

    /// Value of a kernel counter.
    pub fn counter(&self, name: &str) -> u64 {
        let counters = self.kernel.counters();
        counters.iter().find(|(known, _)| *known == name).expect("a counter's name").1
    }
}
