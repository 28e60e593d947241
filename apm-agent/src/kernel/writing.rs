//! Puts the place in the trace into calls that no socket shows, in the memory of probed processes.

use aya::{Ebpf, programs::UProbe};

use super::{
    Kernel, KernelFailure,
    load::{chain, held},
    stopping::Keeper,
};

/// Attached nowhere: whether the kernel takes it says whether it lets programs write.
const TRIAL: &str = "may_write";

/// What the kernel calls the helper that writes.
const HELPER: &str = "bpf_probe_write_user";

/// How heads are written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// By the kernel, where the program stands.
    Directly,
    /// By us, while the process is stopped.
    Stopped,
}

impl Written {
    /// The program that does it in this way, by the name of the one that does it directly.
    pub fn program(self, name: &'static str) -> &'static str {
        match (self, name) {
            (Self::Stopped, "go_tls_head") => "go_tls_head_stopped",
            (Self::Stopped, "go_http2_head") => "go_http2_head_stopped",
            (Self::Stopped, "go_grpc_headed") => "go_grpc_headed_stopped",
            (_, other) => other,
        }
    }
}

impl Kernel {
    /// The place in the trace goes along with calls over TLS, HTTP/2 and gRPC of processes that are probed for it from now
    /// on, in this way. The first time it is found out which there is. `None`: nobody asked for it.
    ///
    /// # Errors
    /// Why it cannot be; it is asked only once.
    pub fn write_into_heads(&mut self) -> Result<Option<Written>, KernelFailure> {
        if !self.carriers.wants_memory() {
            return Ok(None);
        }
        if self.carriers.memory.is_none() {
            let found = self.find_way();
            if found.is_ok() {
                self.carriers.use_memory()?;
            }
            self.carriers.memory = Some(found);
        }
        self.carriers.memory.clone().transpose().map_err(KernelFailure::Load)
    }

    fn find_way(&mut self) -> Result<Written, String> {
        let mut programs = held(&self.programs);
        match trial(&mut programs) {
            Ok(()) => Ok(Written::Directly),
            Err(_) if self.carriers.may_stop() => {
                self.carriers.keeper = Some(Keeper::start(&mut programs)?);
                Ok(Written::Stopped)
            }
            Err(reason) => Err(reason),
        }
    }
}

/// Would the kernel let a program write?
fn trial(programs: &mut Ebpf) -> Result<(), String> {
    let program: &mut UProbe = match programs.program_mut(TRIAL).map(TryInto::try_into) {
        Some(Ok(program)) => program,
        _ => return Err(format!("the BPF object has no user probe `{TRIAL}`")),
    };
    program.load().map_err(|error| {
        let text = chain(&error);
        let is_refused = text.contains(HELPER) || format!("{error:?}").contains(HELPER);
        if is_refused { refused(lockdown().as_deref()) } else { text }
    })?;
    let _ = program.unload();
    Ok(())
}

fn refused(lockdown: Option<&str>) -> String {
    let level = lockdown.map_or_else(String::new, |level| format!(" (`{level}`)"));
    format!("nothing may be written into a process' memory on a locked-down kernel{level}")
}

/// How far the kernel is locked down; `None`: it does not say.
fn lockdown() -> Option<String> {
    let text = std::fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let (_, chosen) = text.split_once('[')?;
    chosen.split_once(']').map(|(level, _)| level.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_why() {
        assert_eq!(refused(None), "nothing may be written into a process' memory on a locked-down kernel");
        assert!(refused(Some("integrity")).ends_with("kernel (`integrity`)"));
    }
}
