//! Processes: what `/proc` says of them, which of them are watched, and what they listen on.
//!
//! Own small readers: a process may vanish between two reads and may name itself as it likes, so everything is an
//! [`Option`] or a [`ProcessError`], every read has a cap, and no text from a process is trusted to be UTF-8.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable, clippy::indexing_slicing)
)]

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

pub mod discover;
pub mod environ;
pub mod glob;
pub mod listen;
mod mapping;
pub mod stat;

pub use discover::{Reason, Rules};
pub use environ::Environ;
pub use listen::ListenTable;
pub use stat::{Stat, Status};

/// Why a process cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such process, or it has just ended.
    #[error("there is no process with id {0}")]
    Absent(u32),
    /// It is there and may not be looked at.
    #[error("process {pid} cannot be read: {source}")]
    Unreadable {
        /// Process id.
        pid: u32,
        /// Reason.
        source: io::Error,
    },
}

/// A `/proc` file system.
#[derive(Clone, Debug)]
pub struct Proc {
    root: PathBuf,
}

impl Default for Proc {
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// The `/proc` mounted (or, in tests, built) at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Ids of all processes, ascending.
    pub fn pids(&self) -> Vec<u32> {
        let Ok(folder) = fs::read_dir(&self.root) else { return Vec::new() };
        let mut pids: Vec<u32> =
            folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        pids
    }

    /// A process.
    ///
    /// # Errors
    /// [`ProcessError::Absent`] when there is none, [`ProcessError::Unreadable`] when it may not be looked at.
    pub fn process(&self, pid: u32) -> Result<Process, ProcessError> {
        let root = self.root.join(pid.to_string());
        let text = match read_capped(&root.join("stat"), SMALL) {
            Ok(bytes) => bytes,
            Err(error) if is_gone(&error) => return Err(ProcessError::Absent(pid)),
            Err(source) => return Err(ProcessError::Unreadable { pid, source }),
        };
        let stat = Stat::parse(&text).ok_or(ProcessError::Absent(pid))?;
        Ok(Process { pid, root, stat })
    }
}

/// Gone: no file (`ENOENT`), or gone while it was read (`ESRCH`).
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Cap of files that are small by their nature: stat, status, cgroup.
const SMALL: u64 = 64 * 1024;
/// Cap of files a process can make large: environ, cmdline, maps, mountinfo.
const LARGE: u64 = 1 << 20;

/// The first `cap` bytes of a file.
pub(crate) fn read_capped(path: &Path, cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(cap).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The root folder of a process, as the process sees it.
#[derive(Debug)]
pub struct RootFolder(std::os::fd::OwnedFd);

impl RootFolder {
    /// As [`Process::open_inside`].
    ///
    /// # Errors
    /// Like it.
    pub fn open(&self, path: &Path) -> io::Result<fs::File> {
        use rustix::fs::{Mode, OFlags, ResolveFlags};
        // A pipe without a writer must not make us wait, a terminal must not become ours.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = fs::File::from(rustix::fs::openat2(&self.0, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(file)
    }
}

/// A process at the time it was looked at. Its id may be another process's by now: compare [`Stat::start_ticks`].
#[derive(Clone, Debug)]
pub struct Process {
    /// Process id in our pid namespace.
    pub pid: u32,
    root: PathBuf,
    stat: Stat,
}

impl Process {
    /// What `stat` said.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// What `status` says.
    pub fn status(&self) -> Option<Status> {
        self.read("status", SMALL).map(|bytes| Status::parse(&bytes))
    }

    /// Its threads: the id in our pid namespace, and the one in the process's own.
    pub fn threads(&self) -> Vec<(u32, u32)> {
        let tasks = fs::read_dir(self.root.join("task")).into_iter().flatten().flatten();
        let ids = tasks.filter_map(|task| {
            let tid = task.file_name().to_str()?.parse().ok()?;
            let status = Status::parse(&fs::read(task.path().join("status")).ok()?);
            Some((tid, status.pid_inside.unwrap_or(tid)))
        });
        ids.collect()
    }

    /// Path of the executable as the process sees it, ` (deleted)` removed. `None` for kernel threads and when we may
    /// not look.
    pub fn executable(&self) -> Option<PathBuf> {
        let link = fs::read_link(self.root.join("exe")).ok()?;
        let plain = link.to_str().and_then(|text| text.strip_suffix(" (deleted)")).map(PathBuf::from);
        Some(plain.unwrap_or(link))
    }

    /// A path under which the executable's bytes can be read by us, whatever the process's mount namespace, also when
    /// it was deleted.
    pub fn executable_file(&self) -> PathBuf {
        self.root.join("exe")
    }

    /// Its memory, by its own addresses, as a path of ours.
    pub fn memory_file(&self) -> PathBuf {
        self.root.join("mem")
    }

    /// A path of the process, as a path of ours. To read a file use [`Self::open_inside`]: absolute links on this path
    /// would lead into our own root.
    pub fn inside(&self, path: &Path) -> PathBuf {
        self.root.join("root").join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Opens a file of the process for reading, links followed as the process would follow them: a link in a container
    /// leads nowhere else (`RESOLVE_IN_ROOT` of openat2(2), Linux 5.6). Only regular files are opened.
    ///
    /// # Errors
    /// When there is no such file, it may not be read or it is no regular file.
    pub fn open_inside(&self, path: &Path) -> io::Result<fs::File> {
        self.root_folder()?.open(path)
    }

    /// Its root folder, held: what is in it can be read when the process has ended, too.
    ///
    /// # Errors
    /// When it may not be looked at.
    pub fn root_folder(&self) -> io::Result<RootFolder> {
        use rustix::fs::{Mode, OFlags};
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(RootFolder(rustix::fs::open(self.root.join("root"), folder, Mode::empty())?))
    }

    /// Current folder as the process sees it.
    pub fn folder(&self) -> Option<PathBuf> {
        fs::read_link(self.root.join("cwd")).ok()
    }

    /// Arguments, the program's name first. Empty for kernel threads.
    pub fn arguments(&self) -> Vec<String> {
        let bytes = self.read("cmdline", LARGE).unwrap_or_default();
        let trimmed = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        if trimmed.is_empty() {
            return Vec::new();
        }
        trimmed.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// The environment the process was started with.
    pub fn environ(&self) -> Environ {
        Environ::parse(&self.read("environ", LARGE).unwrap_or_default())
    }

    /// The `cgroup` file.
    pub fn cgroup(&self) -> String {
        self.text("cgroup", SMALL)
    }

    /// The `mountinfo` file.
    pub fn mountinfo(&self) -> String {
        self.text("mountinfo", LARGE)
    }

    /// Files mapped into the process, each once, in order of address.
    pub fn mapped_files(&self) -> Vec<PathBuf> {
        let text = self.text("maps", 4 * LARGE);
        let mut files: Vec<PathBuf> = Vec::new();
        for path in text.lines().filter_map(|line| line.find('/').and_then(|start| line.get(start..))) {
            let path = Path::new(path.strip_suffix(" (deleted)").unwrap_or(path));
            if files.last().map(PathBuf::as_path) != Some(path) {
                files.push(path.to_path_buf());
            }
        }
        files.sort();
        files.dedup();
        files
    }

    /// The file that is mapped at an address of the process, and the place in it.
    pub fn mapped_at(&self, address: u64) -> Option<(PathBuf, u64)> {
        self.text("maps", 4 * LARGE).lines().find_map(|line| {
            let mut words = line.splitn(6, ' ');
            let (start, end) = words.next()?.split_once('-')?;
            let hex = |text| u64::from_str_radix(text, 16).ok();
            let (start, end, offset) = (hex(start)?, hex(end)?, hex(words.nth(1)?)?);
            let path = words.nth(2)?.trim_start();
            let within = (start..end).contains(&address) && path.starts_with('/');
            let path = path.strip_suffix(" (deleted)").unwrap_or(path);
            within.then(|| Some((PathBuf::from(path), offset.checked_add(address - start)?))).flatten()
        })
    }

    /// A descriptor of one of its namespaces.
    ///
    /// # Errors
    /// When the process is gone, or we may not look.
    pub fn open_namespace(&self, kind: &str) -> io::Result<fs::File> {
        fs::File::open(self.root.join("ns").join(kind))
    }

    /// Identity of a namespace: `net`, `pid`, `uts`, `mnt`.
    pub fn namespace(&self, kind: &str) -> Option<u64> {
        let link = fs::read_link(self.root.join("ns").join(kind)).ok()?;
        let text = link.to_str()?;
        text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
    }

    /// Inode numbers of the sockets it holds.
    pub fn sockets(&self) -> Vec<u64> {
        let Ok(folder) = fs::read_dir(self.root.join("fd")) else { return Vec::new() };
        let socket = |link: PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
        folder.flatten().filter_map(|entry| socket(fs::read_link(entry.path()).ok()?)).collect()
    }

    /// Sockets on which anybody in this process's network namespace listens.
    pub fn listen_table(&self) -> ListenTable {
        let table = |name| -> Box<dyn BufRead> {
            match fs::File::open(self.root.join(name)) {
                Ok(file) => Box::new(BufReader::new(file)),
                Err(_) => Box::new(io::empty()),
            }
        };
        ListenTable::parse(table("net/tcp"), table("net/tcp6"))
    }

    /// TCP ports this process listens on, ascending.
    pub fn listening_ports(&self) -> Vec<u16> {
        self.listen_table().ports_of(&self.sockets())
    }

    /// A kernel thread: it has no executable, and its ancestor is `kthreadd`.
    pub fn is_kernel_thread(&self) -> bool {
        self.stat.is_kernel_thread()
    }

    fn read(&self, name: &str, cap: u64) -> Option<Vec<u8>> {
        read_capped(&self.root.join(name), cap).ok()
    }

    fn text(&self, name: &str, cap: u64) -> String {
        String::from_utf8_lossy(&self.read(name, cap).unwrap_or_default()).into_owned()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        os::unix::fs::symlink,
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// A `/proc` made of files: one process.
    pub struct FakeProc {
        pub folder: tempfile::TempDir,
    }

    impl FakeProc {
        pub fn new() -> Self {
            Self { folder: tempfile::tempdir().expect("folder") }
        }

        pub fn proc(&self) -> Proc {
            Proc::at(self.folder.path())
        }

        /// Adds a process with an executable.
        pub fn add(&self, pid: u32, parent: u32, executable: &str) -> PathBuf {
            let root = self.folder.path().join(pid.to_string());
            fs::create_dir_all(root.join("fd")).expect("folder");
            fs::create_dir_all(root.join("net")).expect("folder");
            let stat = format!("{pid} (a) b) S {parent} 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 5000 0 0\n");
            fs::write(root.join("stat"), stat).expect("stat");
            symlink(executable, root.join("exe")).expect("exe");
            root
        }
    }

    /// A child that is ended when the test is over.
    pub struct Ended(pub Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    pub fn spawn(command: &mut Command) -> Ended {
        Ended(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("spawned"))
    }

    /// Waits for a condition, ten seconds at most.
    pub fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            if let Some(value) = condition() {
                return value;
            }
            assert!(std::time::Instant::now() < deadline, "not within ten seconds");
            std::thread::yield_now();
        }
    }

    #[test]
    fn reads_a_real_process() {
        let child = spawn(Command::new("sleep").arg("600").env("COLOUR", "blue"));
        let pid = child.0.id();
        let process = wait_for(|| {
            let process = Proc::default().process(pid).ok()?;
            (process.arguments() == ["sleep", "600"]).then_some(process)
        });
        assert_eq!(process.stat().parent, std::process::id());
        assert_eq!(process.environ().get("COLOUR"), Some("blue"));
        assert_eq!(
            process.executable().and_then(|path| Some(path.file_name()?.to_owned())).as_deref(),
            Some("sleep".as_ref())
        );
        assert!(process.executable_file().exists());
        assert_eq!(process.status().map(|status| status.pid_inside), Some(Some(pid)));
        assert!(process.listening_ports().is_empty());
        assert!(process.namespace("net").is_some());
        assert!(!process.is_kernel_thread());
        let ours = Proc::default().process(std::process::id()).expect("ourselves");
        let (file, _) = ours.mapped_at(is_gone as *const () as u64).expect("it is code of ours");
        assert_eq!(Some(file), std::env::current_exe().ok());
        assert_eq!(ours.mapped_at(0), None);
        assert!(process.mapped_files().iter().any(|file| file.to_string_lossy().contains("libc")));
        drop(child);
        assert!(matches!(Proc::default().process(pid), Err(ProcessError::Absent(_))));
        assert_eq!(process.arguments(), Vec::<String>::new(), "gone, and nothing breaks");
    }

    #[test]
    fn sees_the_port_it_listens_on() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let own = Proc::default().process(std::process::id()).expect("ourselves");
        assert!(own.listening_ports().contains(&port));
        assert!(own.listen_table().listens(port, "127.0.0.1".parse().expect("address")));
        drop(listener);
        assert!(!own.listening_ports().contains(&port));
    }

    #[test]
    fn links_stay_inside_the_process_and_pipes_are_refused() {
        let fake = FakeProc::new();
        let root = fake.add(7, 1, "/app").join("root");
        fs::create_dir_all(root.join("etc")).expect("folder");
        fs::write(root.join("etc/hostname"), "inside").expect("written");
        symlink("/etc/hostname", root.join("absolute")).expect("link");
        symlink("../../../../../../../../etc/hostname", root.join("relative")).expect("link");
        let process = fake.proc().process(7).expect("process");
        for path in ["/etc/hostname", "/absolute", "/relative"] {
            let text = process.open_inside(Path::new(path)).and_then(io::read_to_string).expect("readable");
            assert_eq!(text, "inside", "{path}");
        }
        let pipe = root.join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("runs").success());
        assert!(process.open_inside(Path::new("/pipe")).is_err());
        assert!(process.open_inside(Path::new("/none")).is_err());
    }

    #[test]
    fn a_deleted_executable_keeps_its_name() {
        let fake = FakeProc::new();
        fake.add(7, 1, "/srv/app/server (deleted)");
        let process = fake.proc().process(7).expect("process");
        assert_eq!(process.executable(), Some(PathBuf::from("/srv/app/server")));
        assert_eq!(process.stat().name, "a) b");
        assert_eq!(process.stat().start_ticks, 5000);
    }
}
