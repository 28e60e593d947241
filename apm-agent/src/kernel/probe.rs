//! What `apm-agent doctor` tells of the kernel: not by version, but by doing what `run` does.

use super::{Admission, Kernel};
use crate::{
    command::Failure,
    report::{Check, Probe},
};

/// Loads, attaches and self-tests all programs, and lets go of them again.
pub struct KernelProbe;

impl Probe for KernelProbe {
    fn checks(&self) -> Vec<Check> {
        const NAME: &str = "kernel programs";
        match Kernel::load(Admission::default()) {
            Ok(kernel) => {
                let mebibytes = kernel.map_bytes() as f64 / f64::from(1 << 20);
                let how = kernel.access();
                vec![Check::ok(
                    NAME,
                    format!(
                        "all {} load, attach and see what they should; they read {how}; {mebibytes:.1} MiB of maps",
                        kernel.programs().len()
                    ),
                )]
            }
            Err(failure) => {
                let failure = Failure::from(failure);
                vec![Check::fail(NAME, failure.code, failure.sentence, failure.remedy)]
            }
        }
    }
}
