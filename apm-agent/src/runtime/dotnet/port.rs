//! The diagnostics port of a process: the Unix socket `dotnet-diagnostic-PID-START-socket` in its temporary folder
//! (dotnet/diagnostics, documentation/design-docs/ipc-protocol.md). PID is the process's id in its own pid namespace,
//! START the start time of `/proc/PID/stat`.
//!
//! The folder is the process's, so it may hold anything. No link in it leads out of the process's root or is followed at
//! its end, and the socket found is connected to by its descriptor: it cannot be exchanged in between, and its path may be
//! longer than the 107 bytes of an address. Who listens there is asked of the kernel.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Dir, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt},
};

use super::{
    IpcError, ProcessInfo,
    ipc::{Refusal, Request},
};
use crate::{
    kernel::peer_pid,
    process::{Environ, Process},
};

/// Entries of the folder looked at, at most, for a socket of another start time.
const MOST_ENTRIES: usize = 64 * 1024;

/// The kernel takes 0 for no time-out at all.
const SHORTEST: Duration = Duration::from_millis(1);

/// Variables that switch the port off.
const SWITCHES: [&str; 4] = [
    "DOTNET_EnableDiagnostics",
    "DOTNET_EnableDiagnostics_IPC",
    "COMPlus_EnableDiagnostics",
    "COMPlus_EnableDiagnostics_IPC",
];

/// Why there is no connection to a diagnostics port.
#[derive(Debug, thiserror::Error)]
pub enum Absence {
    /// It is switched off.
    #[error("the diagnostics port is switched off: `{variable}` is set to 0 in the environment of the process")]
    SwitchedOff {
        /// By this variable.
        variable: &'static str,
    },
    /// There is none.
    #[error(
        "there is no diagnostics port: `{}` of the process has no socket `dotnet-diagnostic-{pid}-…-socket`; the run \
         time is still starting, the folder's name is too long for a socket, or the file was removed",
        folder.display()
    )]
    NoSocket {
        /// Where it should be, as the process sees it.
        folder: PathBuf,
        /// Process id in its name.
        pid: u32,
    },
    /// Nobody listens.
    #[error("nobody listens on the diagnostics port; the process has ended, or the port belonged to one before it")]
    Refused,
    /// The connection was not accepted in time.
    #[error("the diagnostics port did not take the connection in time; the process may be stopped")]
    TimedOut,
    /// We may not.
    #[error("the agent may not connect to the diagnostics port: {0}; only root and the user of the process may")]
    NotPermitted(io::Error),
    /// The socket belongs to another process.
    #[error("process {listener} listens on the diagnostics port of process {pid}")]
    Stranger {
        /// Who listens.
        listener: u32,
        /// Who should.
        pid: u32,
    },
    /// Something else went wrong.
    #[error("the diagnostics port cannot be reached: {0}")]
    Unreachable(io::Error),
}

impl From<Errno> for Absence {
    fn from(error: Errno) -> Self {
        match error {
            Errno::ACCESS | Errno::PERM => Self::NotPermitted(error.into()),
            Errno::CONNREFUSED => Self::Refused,
            Errno::AGAIN | Errno::TIMEDOUT => Self::TimedOut,
            _ => Self::Unreachable(error.into()),
        }
    }
}

/// The diagnostics port of a process.
#[derive(Debug)]
pub struct Port {
    socket: OwnedFd,
    pid: u32,
}

impl Port {
    /// Finds the port of a process. Nothing is sent.
    ///
    /// # Errors
    /// When there is none that we may look at.
    pub fn find(process: &Process) -> Result<Self, Absence> {
        let environ = process.environ();
        let folder = PathBuf::from(environ.get("TMPDIR").unwrap_or("/tmp"));
        let pid = process.status().and_then(|status| status.pid_inside).unwrap_or(process.pid);
        let exact = format!("dotnet-diagnostic-{pid}-{}-socket", process.stat().start_ticks);
        match find_socket(process, &folder, pid, &exact) {
            Ok(Some(socket)) => Ok(Self { socket, pid: process.pid }),
            Ok(None) | Err(Errno::NOENT | Errno::NOTDIR) => Err(absence(&environ, folder, pid)),
            Err(error) => Err(error.into()),
        }
    }

    /// A new connection, with this time-out for all that is done with it.
    ///
    /// # Errors
    /// When nobody answers, or another process than the one the port was found for.
    pub fn connect(&self, timeout: Duration) -> Result<Connection, Absence> {
        let timeout = timeout.max(SHORTEST);
        let deadline = Instant::now() + timeout;
        let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A connection waits, like a write, where the listener's queue is full.
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(timeout))?;
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{}", self.socket.as_raw_fd()))?;
        net::connect(&socket, &address)?;
        match peer_pid(socket.as_fd()).map_err(Absence::Unreachable)? {
            Some(listener) if listener != self.pid => Err(Absence::Stranger { listener, pid: self.pid }),
            _ => Ok(Connection { stream: UnixStream::from(socket), deadline }),
        }
    }

    /// What the process says of itself.
    ///
    /// # Errors
    /// When it cannot be reached or does not answer in time.
    pub fn process_info(&self, timeout: Duration) -> Result<ProcessInfo, PortError> {
        let reply = match Request::process_info_2().exchange(&mut self.connect(timeout)?) {
            Err(IpcError::Refused(Refusal::UnknownCommand)) => {
                Request::process_info().exchange(&mut self.connect(timeout)?)
            }
            reply => reply,
        };
        Ok(ProcessInfo::read(&reply?)?)
    }
}

/// A connection to a port, of which every read and write ends at the same moment at the latest: a process that sends a
/// byte now and then does not hold us up.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    deadline: Instant,
}

impl Connection {
    /// The socket, which no longer has an end set.
    pub fn into_stream(self) -> UnixStream {
        self.stream
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left < SHORTEST { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// There is no connection.
    #[error(transparent)]
    Absent(#[from] Absence),
    /// There was one.
    #[error(transparent)]
    Ipc(#[from] IpcError),
}

/// The reason for what was not found.
fn absence(environ: &Environ, folder: PathBuf, pid: u32) -> Absence {
    match SWITCHES.into_iter().find(|name| environ.get(name).is_some_and(is_zero)) {
        Some(variable) => Absence::SwitchedOff { variable },
        None => Absence::NoSocket { folder, pid },
    }
}

/// The run time reads its variables as hexadecimal numbers.
fn is_zero(value: &str) -> bool {
    let digits = value.strip_prefix("0x").unwrap_or(value);
    !digits.is_empty() && digits.chars().all(|digit| digit == '0')
}

/// The socket of this name, or of this process id and another start time: in a time namespace the process sees another.
fn find_socket(process: &Process, folder: &Path, pid: u32, exact: &str) -> Result<Option<OwnedFd>, Errno> {
    let only_path = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(process.inside(Path::new("/")), only_path, Mode::empty())?;
    let folder = rustix::fs::openat2(root, folder, only_path, Mode::empty(), ResolveFlags::IN_ROOT)?;
    match open_socket(&folder, exact) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    let start = format!("dotnet-diagnostic-{pid}-");
    let readable =
        rustix::fs::openat(&folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for entry in Dir::new(readable)?.take(MOST_ENTRIES) {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with(&start)
            && name.ends_with("-socket")
            && let Ok(Some(socket)) = open_socket(&folder, name)
        {
            return Ok(Some(socket));
        }
    }
    Ok(None)
}

/// A descriptor of a socket's file; `None` when the file is something else.
fn open_socket(folder: &OwnedFd, name: &str) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(folder, name, flags, Mode::empty(), ResolveFlags::BENEATH)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    Ok((kind == FileType::Socket).then_some(file))
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        fs,
        os::unix::{fs::symlink, net::UnixListener},
    };

    use super::*;
    use crate::process::tests::FakeProc;

    const SOON: Duration = Duration::from_millis(200);

    /// A process of our own id with a root of its own, and its temporary folder.
    pub struct Pretended {
        fake: FakeProc,
        folder: PathBuf,
        pid: u32,
    }

    impl Pretended {
        pub fn new(environ: &str, temporary: &str) -> Self {
            let fake = FakeProc::new();
            let pid = std::process::id();
            let root = fake.add(pid, 1, "/app");
            fs::write(root.join("status"), format!("NSpid:\t{pid}\t7\n")).expect("status");
            fs::write(root.join("environ"), environ).expect("environ");
            let folder = root.join("root").join(temporary);
            fs::create_dir_all(&folder).expect("folder");
            Self { fake, folder, pid }
        }

        /// Listens under a name in the folder, which may be deep.
        pub fn listen(&self, name: &str) -> UnixListener {
            let short = tempfile::tempdir().expect("folder");
            let listener = UnixListener::bind(short.path().join("s")).expect("bound");
            fs::rename(short.path().join("s"), self.folder.join(name)).expect("moved");
            listener
        }

        pub fn find(&self) -> Result<Port, Absence> {
            Port::find(&self.fake.proc().process(self.pid).expect("process"))
        }
    }

    #[test]
    fn the_socket_is_found_and_connected_to() {
        for (environ, folder) in [("", "tmp"), ("TMPDIR=/var/tmp\0", "var/tmp")] {
            let process = Pretended::new(environ, folder);
            let _listener = process.listen("dotnet-diagnostic-7-5000-socket");
            process.find().expect("found").connect(SOON).expect("connected");
        }
    }

    #[test]
    fn a_long_path_and_another_start_time_do_not_matter() {
        let deep = format!("{}/{}", "a".repeat(120), "b".repeat(120));
        let process = Pretended::new(&format!("TMPDIR=/{deep}\0"), &deep);
        let _listener = process.listen("dotnet-diagnostic-7-4999-socket");
        process.find().expect("found").connect(SOON).expect("connected");
    }

    #[test]
    fn absence_has_a_reason() {
        let reason = |process: &Pretended| process.find().expect_err("absent").to_string();
        let none = Pretended::new("", "tmp");
        let _other = none.listen("dotnet-diagnostic-77-5000-socket");
        assert!(
            reason(&none).contains("`/tmp` of the process has no socket `dotnet-diagnostic-7-…"),
            "{}",
            reason(&none)
        );
        for variable in SWITCHES {
            let off = Pretended::new(&format!("{variable}=0x0\0"), "tmp");
            assert!(reason(&off).contains(&format!("`{variable}` is set to 0")));
        }
        let on = Pretended::new("DOTNET_EnableDiagnostics=1\0", "tmp");
        assert!(matches!(on.find(), Err(Absence::NoSocket { pid: 7, .. })));
        let gone = Pretended::new("TMPDIR=/none\0", "tmp");
        assert!(matches!(gone.find(), Err(Absence::NoSocket { folder, .. }) if folder == Path::new("/none")));
    }

    #[test]
    fn a_socket_that_is_left_over_refuses() {
        let process = Pretended::new("", "tmp");
        drop(process.listen("dotnet-diagnostic-7-5000-socket"));
        assert!(matches!(process.find().expect("found").connect(SOON), Err(Absence::Refused)));
    }

    #[test]
    fn a_full_queue_is_not_waited_for() {
        let process = Pretended::new("", "tmp");
        let listener = process.listen("dotnet-diagnostic-7-5000-socket");
        rustix::net::listen(&listener, 0).expect("a queue of one");
        let port = process.find().expect("found");
        let _first = port.connect(SOON).expect("connected");
        assert!(matches!(port.connect(SOON), Err(Absence::TimedOut)));
    }

    #[test]
    fn an_answer_in_drops_is_not_waited_for() {
        let process = Pretended::new("", "tmp");
        let listener = process.listen("dotnet-diagnostic-7-5000-socket");
        let dripping = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().expect("a client");
            while connection.write_all(b"D").is_ok() {
                std::thread::sleep(SOON / 20);
            }
        });
        let mut connection = process.find().expect("found").connect(SOON).expect("connected");
        let mut answer = [0; 4096];
        let error = connection.read_exact(&mut answer).expect_err("not whole");
        assert!(matches!(IpcError::from(error), IpcError::TimedOut));
        drop(connection);
        dripping.join().expect("our end is closed");
    }

    #[test]
    fn what_leads_elsewhere_is_not_followed() {
        let elsewhere = tempfile::tempdir().expect("folder");
        let socket = elsewhere.path().join("s");
        let _listener = UnixListener::bind(&socket).expect("bound");
        let process = Pretended::new("", "tmp");
        symlink(&socket, process.folder.join("dotnet-diagnostic-7-5000-socket")).expect("link");
        fs::write(process.folder.join("dotnet-diagnostic-7-1-socket"), "no socket").expect("file");
        assert!(process.find().is_err());
    }

    #[test]
    fn another_listener_is_a_stranger() {
        let process = Pretended::new("", "tmp");
        let _listener = process.listen("dotnet-diagnostic-7-5000-socket");
        let found = process.find().expect("found");
        let port = Port { pid: 1, ..found };
        let refused = port.connect(SOON).expect_err("not ours");
        assert_eq!(
            refused.to_string(),
            format!("process {} listens on the diagnostics port of process 1", process.pid)
        );
    }
}
