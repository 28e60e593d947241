//! The BPF object in the repository is the one that the sources in the repository give.

use std::path::Path;

#[path = "../../xtask/src/ebpf/sources.rs"]
mod sources;

#[test]
fn object_was_built_from_these_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
    let differences = sources::differences(root).expect("the sources can be read");
    assert!(differences.is_empty(), "{}", sources::complaint(&differences));
}
