//! What `apm-agent doctor` tells of the kernel: not by version, but by doing what `run` does.

use apm_common::propagation::{CONTINUE, Propagation};

use super::{Admission, Kernel};
use crate::{
    command::Failure,
    config,
    report::{Check, Probe},
};

/// Loads, attaches and self-tests all programs, and lets go of them again.
pub struct KernelProbe;

impl Probe for KernelProbe {
    fn checks(&self) -> Vec<Check> {
        const NAME: &str = "kernel programs";
        match Kernel::load(Admission::default()) {
            Ok(mut kernel) => {
                let mebibytes = kernel.map_bytes() as f64 / f64::from(1 << 20);
                let how = kernel.access();
                let programs = Check::ok(
                    NAME,
                    format!(
                        "all {} load, attach and see what they should; they read {how}; {mebibytes:.1} MiB of maps",
                        kernel.programs().len()
                    ),
                );
                vec![programs, propagation(&mut kernel), writing(&mut kernel)]
            }
            Err(failure) => {
                let failure = Failure::from(failure);
                vec![Check::fail(NAME, failure.code, failure.sentence, failure.remedy)]
            }
        }
    }
}

/// Can the place in the trace be put into calls?
fn propagation(kernel: &mut Kernel) -> Check {
    const NAME: &str = "trace context in calls";
    kernel.propagate(Propagation::new([0; 2], 1.0, CONTINUE, "es=s:1"), config::Propagation::Full);
    match kernel.carry_for(std::process::id(), 0..0) {
        Ok(_) => Check::ok(NAME, "what is put into plain HTTP/1 arrives, and all else as it was sent"),
        Err(failure) => Check::warn(NAME, failure.to_string(), "calls of Go programs are told without it"),
    }
}

/// Can it be put into those that the socket does not show?
fn writing(kernel: &mut Kernel) -> Check {
    const NAME: &str = "trace context over TLS, HTTP/2 and gRPC";
    match kernel.write_into_heads() {
        Ok(_) => Check::ok(NAME, "programs may write it into the memory of Go programs"),
        Err(failure) => Check::warn(
            NAME,
            failure.to_string(),
            "such calls of Go programs go without it, or are stopped for it by `--propagation=stop-and-write`",
        ),
    }
}
