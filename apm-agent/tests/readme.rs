//! The README's support matrix is the one that the list of protocols gives. `cargo xtask matrix` writes it.

use std::{fmt::Write as _, fs, path::Path};

use apm_agent::protocol::PROTOCOLS;

const BEGIN: &str = "<!-- matrix: written by `cargo xtask matrix` -->\n";
const END: &str = "<!-- end of matrix -->\n";

#[test]
fn matrix_is_that_of_the_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).expect("there is a README.md in the root");
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the matrix's first marker");
    let (_, after) = rest.split_once(END).expect("the README has the matrix's last marker");
    let expected = [before, BEGIN, &matrix(), END, after].concat();
    if std::env::var_os("APM_WRITE_README").is_some() {
        fs::write(&path, &expected).expect("README.md can be written");
    } else {
        assert!(readme == expected, "the README's support matrix is stale. Run `cargo xtask matrix`.");
    }
}

fn matrix() -> String {
    let mut text = "| protocol | what is followed |\n|---|---|\n".to_owned();
    for protocol in PROTOCOLS {
        let coverage = protocol.coverage().replace('|', "\\|").replace('\n', " ");
        writeln!(text, "| {} | {coverage} |", protocol.title()).expect("a string takes everything");
    }
    text
}
