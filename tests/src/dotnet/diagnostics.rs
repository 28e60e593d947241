//! The diagnostics port of a .NET process, as far as a test needs it: what sessions it has.
//!
//! The port has no command that lists them, so they are told by what each takes: a thread, a connection, and one of the
//! run time's places for sessions (dotnet/diagnostics, `ipc-protocol.md`).

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::process;

/// Sessions a run time can have at once (`EP_MAX_NUMBER_OF_SESSIONS`, dotnet/runtime `ep-types-forward.h`).
pub const PLACES: usize = 64;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads by which a process sends events to sessions: one each. The port's own has the same name.
///
/// # Errors
/// If the process is gone.
pub fn session_threads(pid: u32) -> Result<usize> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))?.flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    Ok(names.filter(|name| name.trim_end() == ".NET EventPipe").count().saturating_sub(1))
}

/// Connections to the port that the process has open.
///
/// # Errors
/// If the process is gone.
pub fn connections(pid: u32) -> Result<usize> {
    let own: Vec<String> = process::descriptors(pid)?.into_iter().map(|(_, target)| target).collect();
    let all = fs::read_to_string("/proc/net/unix")?;
    let name = format!("/dotnet-diagnostic-{pid}-");
    // Columns: address, references, protocol, flags (of a listener), type, state, inode, path.
    let sockets = all.lines().filter(|line| line.contains(&name)).map(|line| line.split_whitespace().collect());
    let accepted = sockets.filter(|words: &Vec<&str>| words.get(3) == Some(&"00000000"));
    let open = |words: &Vec<&str>| words.get(6).is_some_and(|inode| own.contains(&format!("socket:[{inode}]")));
    Ok(accepted.filter(open).count())
}

/// How many sessions the process can begin now: opens as many as it lets us, and ends them.
///
/// # Errors
/// If the port does not answer.
pub fn places(pid: u32) -> Result<usize> {
    let mut sessions = Vec::new();
    while sessions.len() <= PLACES {
        match begin(pid)? {
            Some(session) => sessions.push(session),
            None => break,
        }
    }
    let count = sessions.len();
    for (mut stream, id) in sessions {
        let mut connection = connect(pid)?;
        // CollectTracing's end: StopTracing. It is answered once all that is told at the end has been read.
        connection.write_all(&message(1, &id))?;
        stream.read_to_end(&mut Vec::new())?;
        reply(&mut connection)?.context("a session can be stopped")?;
    }
    Ok(count)
}

/// A session that says nothing: its provider does not exist.
fn begin(pid: u32) -> Result<Option<(UnixStream, Vec<u8>)>> {
    let mut connection = connect(pid)?;
    let mut payload = Vec::new();
    // CollectTracing: buffer in MiB, format (Nettrace), providers; of each keywords, level, name, argument.
    for number in [1_u32, 1, 1] {
        payload.extend(number.to_le_bytes());
    }
    payload.extend(1_u64.to_le_bytes());
    payload.extend(1_u32.to_le_bytes());
    payload.extend(text("apm-tests-nobody"));
    payload.extend(text(""));
    connection.write_all(&message(2, &payload))?;
    Ok(reply(&mut connection)?.map(|id| (connection, id)))
}

fn connect(pid: u32) -> Result<UnixStream> {
    let stream = UnixStream::connect(path(pid)?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn path(pid: u32) -> Result<PathBuf> {
    let name = format!("dotnet-diagnostic-{pid}-");
    let mut entries = fs::read_dir(std::env::temp_dir())?.flatten().map(|entry| entry.path());
    let found = entries.find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name)));
    found.with_context(|| format!("process {pid} has no diagnostics port"))
}

/// A message of the command set EventPipe.
fn message(command: u8, payload: &[u8]) -> Vec<u8> {
    let size = (20 + payload.len()) as u16;
    [b"DOTNET_IPC_V1\0".as_slice(), &size.to_le_bytes(), &[2, command, 0, 0], payload].concat()
}

/// What was answered; nothing for a refusal.
fn reply(connection: &mut UnixStream) -> Result<Option<Vec<u8>>> {
    let mut header = [0; 20];
    connection.read_exact(&mut header)?;
    ensure!(header.starts_with(b"DOTNET_IPC_V1\0"), "{header:?}");
    let size = usize::from(u16::from_le_bytes([header[14], header[15]]));
    let mut payload = vec![0; size.saturating_sub(header.len())];
    match connection.read_exact(&mut payload) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error.into()),
        _ => {}
    }
    Ok((header[16..18] == [255, 0]).then_some(payload))
}

/// Characters with the zero at their end, counted with it, in UTF-16.
fn text(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    let length = units.len() as u32;
    length.to_le_bytes().into_iter().chain(units.into_iter().flat_map(u16::to_le_bytes)).collect()
}
