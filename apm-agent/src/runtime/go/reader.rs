//! Reads the binaries of Go processes on threads of their own: a large one takes longer than the kernel's events can wait.

use std::{
    fs::File,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use super::{
    Code,
    plan::{self, Plan},
};
use crate::{binary::go::GoBinary, process::Proc};

/// Binaries read at once; more wait for their turn in the channel.
const AT_ONCE: usize = 64;

/// What came of reading one.
pub type Read = (u32, Result<(Plan, Code), String>);

/// The readers.
#[derive(Debug)]
pub struct Readers {
    routes: bool,
    sender: SyncSender<Read>,
    receiver: Receiver<Read>,
}

impl Readers {
    /// `routes`: requests are named by the patterns of `ServeMux`.
    pub fn new(routes: bool) -> Self {
        let (sender, receiver) = sync_channel(AT_ONCE);
        Self { routes, sender, receiver }
    }

    /// Begins to read the executable of a process.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn begin(&self, pid: u32) -> std::io::Result<()> {
        let (sender, routes) = (self.sender.clone(), self.routes);
        let read = move || {
            let _ = sender.send((pid, read(pid, routes)));
        };
        std::thread::Builder::new().name(format!("reader {pid}")).spawn(read).map(|_| ())
    }

    /// What has been read since the last call.
    pub fn done(&self) -> Vec<Read> {
        self.receiver.try_iter().collect()
    }
}

fn read(pid: u32, routes: bool) -> Result<(Plan, Code), String> {
    let process = Proc::default().process(pid).map_err(|error| error.to_string())?;
    let file = File::open(process.executable_file()).map_err(|error| error.to_string())?;
    let mut binary = GoBinary::read(&file).map_err(|refusal| refusal.to_string())?;
    let bias = plan::bias(&binary, &process).ok_or("it is not mapped as its file says")?;
    let plan = Plan::new(&binary, bias, routes)?;
    binary.forget();
    Ok((plan, Code { binary, bias }))
}
