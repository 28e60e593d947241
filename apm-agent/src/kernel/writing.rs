//! Puts the place in the trace into calls that no socket shows: programs write into the memory of probed processes.

use aya::{Ebpf, programs::UProbe};

use super::{
    Kernel, KernelFailure,
    load::{chain, held},
};

/// Attached nowhere: whether the kernel takes it says whether it lets programs write.
const TRIAL: &str = "may_write";

/// What the kernel calls the helper that writes.
const HELPER: &str = "bpf_probe_write_user";

impl Kernel {
    /// The place in the trace goes along with calls over TLS, HTTP/2 and gRPC of processes that are probed for it from now
    /// on. The first time it is found out whether that can be. False: nobody asked for it.
    ///
    /// # Errors
    /// Why it cannot be; it is asked only once.
    pub fn write_into_heads(&mut self) -> Result<bool, KernelFailure> {
        if !self.carriers.wants_memory() {
            return Ok(false);
        }
        match &self.carriers.memory {
            Some(found) => found.clone().map_err(KernelFailure::Load)?,
            None => {
                let found = trial(&mut held(&self.programs));
                self.carriers.memory = Some(found.clone());
                found.map_err(KernelFailure::Load)?;
                self.carriers.use_memory()?;
            }
        }
        Ok(true)
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
