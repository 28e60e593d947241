//! Reads the binaries of Go processes on a thread of its own: a large one takes longer than the kernel's events can wait.
//! One after the other, so that memory is taken for one at a time.

use std::{
    collections::VecDeque,
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    sync::mpsc::{Receiver, Sender, channel},
};

use super::{
    Code, Vitals,
    plan::{self, Plan},
};
use crate::{
    binary::go::{GoBinary, Refusal},
    priority,
    process::Proc,
};

/// Binaries kept for other processes that run them: some bytes for each of their functions and types.
const MOST_KEPT: usize = 8;

/// What is to be found out about each process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which probes it gets.
    pub probes: bool,
    /// Requests are named by the patterns of `ServeMux`.
    pub routes: bool,
    /// Groups of probes that are not wanted.
    pub left_alone: Vec<String>,
    /// Where its run time counts.
    pub vitals: bool,
}

/// What is known of a process.
#[derive(Debug)]
pub struct Known {
    /// Its probes, or why it can have none; `None`: not asked for.
    pub plan: Option<Result<Plan, String>>,
    /// What is needed to put errors and panics into words.
    pub code: Code,
    /// Where its run time counts, or why that is not known; `None`: not asked for.
    pub vitals: Option<Result<Vitals, String>>,
}

/// What came of reading one.
pub type Read = (u32, Result<Known, String>);

/// The reader, and the thread it works on. It ends when this is dropped, behind the binary it is reading.
#[derive(Debug)]
pub struct Reader {
    wanted: Sender<u32>,
    done: Receiver<Read>,
}

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(asked: Asked) -> io::Result<Self> {
        let ((wanted, next), (sender, done)) = (channel(), channel());
        let work = move || {
            priority::take_turns();
            let mut kept = Kept::default();
            for pid in next {
                if sender.send((pid, read(pid, &asked, &mut kept))).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("go reader".into()).spawn(work)?;
        Ok(Self { wanted, done })
    }

    /// Will read the executable of a process.
    pub fn ask(&self, pid: u32) {
        // The thread lives as long as this.
        let _ = self.wanted.send(pid);
    }

    /// What has been read since the last call.
    pub fn done(&self) -> Vec<Read> {
        self.done.try_iter().collect()
    }
}

fn read(pid: u32, asked: &Asked, kept: &mut Kept) -> Result<Known, String> {
    let process = Proc::default().process(pid).map_err(|error| error.to_string())?;
    let file = File::open(process.executable_file()).map_err(|error| error.to_string())?;
    let mut binary = kept.read(&file).map_err(|refusal| refusal.to_string())?;
    let bias = plan::bias(&binary, &process).ok_or("it is not mapped as its file says")?;
    let plan = asked.probes.then(|| Plan::new(&binary, bias, asked.routes, &asked.left_alone).map_err(str::to_owned));
    let vitals = asked.vitals.then(|| Vitals::find(&binary, bias, &process));
    binary.forget();
    Ok(Known { plan, code: Code { binary, bias }, vitals })
}

/// The binaries read last. By the file and not by its build id: any program may claim another one's, and would have its
/// probes set where that one's functions are.
#[derive(Debug, Default)]
struct Kept(VecDeque<(FileKey, GoBinary)>);

impl Kept {
    /// Reads a binary, or takes what is known of it.
    fn read(&mut self, file: &File) -> Result<GoBinary, Refusal> {
        let key = FileKey::of(&file.metadata()?);
        if let Some((_, binary)) = self.0.iter().find(|(known, _)| *known == key) {
            return Ok(binary.another());
        }
        let binary = GoBinary::read(file)?;
        if self.0.len() >= MOST_KEPT {
            self.0.pop_front();
        }
        self.0.push_back((key, binary.another()));
        Ok(binary)
    }
}

/// What a file has as long as nobody writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileKey {
    device: u64,
    inode: u64,
    size: u64,
    /// When it was changed last: seconds and nanoseconds. Nobody can set this time.
    changed: (i64, i64),
}

impl FileKey {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_again_until_it_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        let key = || FileKey::of(&std::fs::metadata(&path).expect("there"));
        std::fs::write(&path, "one").expect("written");
        let first = key();
        assert_eq!(first, key());
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "two").expect("written");
        assert_ne!(first, key());
        assert!(Kept::default().read(&File::open(&path).expect("open")).is_err(), "it is no program");
    }
}
