//! Reads the binaries of Go processes on a thread of its own: a large one takes longer than the kernel's events can wait.
//! One after the other, so that memory is taken for one at a time.

use std::{
    fs::File,
    io,
    sync::mpsc::{Receiver, Sender, channel},
};

use super::{
    Code, Vitals,
    plan::{self, Plan},
};
use crate::{binary::go::GoBinary, priority, process::Proc};

/// What is to be found out about each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which probes it gets.
    pub probes: bool,
    /// Requests are named by the patterns of `ServeMux`.
    pub routes: bool,
    /// Calls without a context are linked by the request in which their goroutine was made.
    pub ancestry: bool,
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
            for pid in next {
                if sender.send((pid, read(pid, asked))).is_err() {
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

fn read(pid: u32, asked: Asked) -> Result<Known, String> {
    let process = Proc::default().process(pid).map_err(|error| error.to_string())?;
    let file = File::open(process.executable_file()).map_err(|error| error.to_string())?;
    let mut binary = GoBinary::read(&file).map_err(|refusal| refusal.to_string())?;
    let bias = plan::bias(&binary, &process).ok_or("it is not mapped as its file says")?;
    let plan = asked.probes.then(|| Plan::new(&binary, bias, asked).map_err(str::to_owned));
    let vitals = asked.vitals.then(|| Vitals::find(&binary, bias, &process));
    binary.forget();
    Ok(Known { plan, code: Code { binary, bias }, vitals })
}
