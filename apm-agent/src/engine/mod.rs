//! Runs the pipeline: on live events of the kernel, or on a recording.

mod admission;
mod bridges;
mod live;
mod probes;
mod registry;
mod replay;

pub use admission::{Admit, Decision};
pub use live::{Live, Parts, Stop};
pub use registry::{Found, Registry};
pub use replay::replay;
