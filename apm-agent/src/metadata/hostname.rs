//! The host name a process would find, without running anything in its place.
//!
//! A process in our UTS namespace has the kernel's host name as we see it. One in another (a container) has a name
//! only the kernel knows; container engines write it to `/etc/hostname` and into `HOSTNAME`.

use std::{fs::File, io::Read, path::Path};

use crate::process::{Environ, Process};

/// The host name of a process: lower case, blanks around it removed.
pub fn detect(process: &Process, environ: &Environ) -> Option<String> {
    let ours = process.namespace("uts").is_some() && process.namespace("uts") == own_namespace();
    let kernel = || ours.then(|| read(File::open("/proc/sys/kernel/hostname").ok()?)).flatten();
    let file = || read(process.open_inside(Path::new("/etc/hostname")).ok()?);
    let variable = |name| environ.get(name).and_then(normalise);
    kernel().or_else(|| variable("HOSTNAME")).or_else(|| variable("HOST")).or_else(file)
}

fn own_namespace() -> Option<u64> {
    crate::process::Proc::default().process(std::process::id()).ok()?.namespace("uts")
}

fn read(file: File) -> Option<String> {
    let mut text = Vec::new();
    file.take(1024).read_to_end(&mut text).ok()?;
    normalise(&String::from_utf8_lossy(&text))
}

/// Elastic's rule: A–Z to lower case, characters up to U+0020 removed at both ends.
fn normalise(text: &str) -> Option<String> {
    let name = text.trim_matches(|letter: char| letter <= ' ').to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::process::{Proc, tests::FakeProc};

    #[test]
    fn our_own_is_the_kernels() {
        let own = Proc::default().process(std::process::id()).expect("ourselves");
        let expected = fs::read_to_string("/proc/sys/kernel/hostname").expect("name").trim().to_lowercase();
        assert_eq!(detect(&own, &Environ::default()), Some(expected));
    }

    #[test]
    fn a_container_tells_its_own() {
        let fake = FakeProc::new();
        let root = fake.add(7, 1, "/app");
        fs::create_dir_all(root.join("root/etc")).expect("folder");
        fs::write(root.join("root/etc/hostname"), "  Pod-1\n").expect("written");
        let process = fake.proc().process(7).expect("process");
        assert_eq!(detect(&process, &Environ::default()).as_deref(), Some("pod-1"));
        assert_eq!(detect(&process, &Environ::parse(b"HOSTNAME=Named\0")).as_deref(), Some("named"));
    }
}
