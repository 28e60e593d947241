//! Memory of a process's cgroup, version 1 or 2 (cgroups(7)).
//!
//! We look from outside: the path in a process's `cgroup` file is shown to us as our own cgroup namespace sees it, and
//! so are the roots of our mounts; together they give the folder. What lies outside of our mounts is unknown.

use std::path::{Component, Path, PathBuf};

use crate::process::{Proc, read_capped};

/// Each of the files holds one number.
const NUMBER_BYTES: u64 = 64;
/// Cap of our own `mountinfo`.
const MOUNTINFO_BYTES: u64 = 1 << 20;
/// Version 1 writes "no limit" as the largest number of whole pages: 0x7ffffffffffff000 with pages of 4 KiB, this with
/// pages of 64 KiB.
const UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;

/// Memory of a cgroup, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CgroupMemory {
    /// `None` also when there is no limit.
    pub limit: Option<u64>,
    pub usage: Option<u64>,
}

/// Where cgroups that count memory are mounted.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    first: Vec<Mount>,
    second: Vec<Mount>,
}

#[derive(Debug)]
struct Mount {
    /// The cgroup that is mounted.
    root: PathBuf,
    /// Where.
    point: PathBuf,
}

impl Mounts {
    /// Our own mounts.
    pub fn read(proc: &Proc) -> Self {
        let bytes = read_capped(&proc.root().join("self/mountinfo"), MOUNTINFO_BYTES).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads `mountinfo`: `id parent device root point options… - type source super-options`.
    pub fn parse(mountinfo: &str) -> Self {
        let mut mounts = Self::default();
        for line in mountinfo.lines() {
            let Some((head, tail)) = line.split_once(" - ") else { continue };
            let mut places = head.split(' ').skip(3).map(PathBuf::from);
            let (Some(root), Some(point)) = (places.next(), places.next()) else { continue };
            let mut kind = tail.split(' ');
            match kind.next() {
                Some("cgroup2") => mounts.second.push(Mount { root, point }),
                Some("cgroup")
                    if kind.nth(1).is_some_and(|options| options.split(',').any(|word| word == "memory")) =>
                {
                    mounts.first.push(Mount { root, point });
                }
                _ => {}
            }
        }
        if mounts.first.is_empty() {
            mounts.first.push(Mount { root: "/".into(), point: "/sys/fs/cgroup/memory".into() });
        }
        mounts
    }

    /// Memory of the cgroup a process's `cgroup` file names: the line of the controller `memory` (version 1), else the
    /// line `0::` (version 2).
    pub fn memory(&self, cgroup: &str) -> CgroupMemory {
        let line = |wanted: fn(&str, &str) -> bool| {
            cgroup.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                wanted(hierarchy, controllers).then_some(path)
            })
        };
        let number = |folder: &Path, name: &str| {
            let bytes = read_capped(&folder.join(name), NUMBER_BYTES).ok()?;
            std::str::from_utf8(&bytes).ok()?.trim_ascii().parse::<u64>().ok()
        };
        let read = |folder: PathBuf, limit, usage| CgroupMemory {
            limit: number(&folder, limit).filter(|limit| *limit < UNLIMITED),
            usage: number(&folder, usage),
        };
        if let Some(path) = line(|_, controllers| controllers.split(',').any(|word| word == "memory")) {
            let folder = folder(&self.first, path);
            return folder.map(|at| read(at, "memory.limit_in_bytes", "memory.usage_in_bytes")).unwrap_or_default();
        }
        let folder = line(|hierarchy, _| hierarchy == "0").and_then(|path| folder(&self.second, path));
        folder.map(|at| read(at, "memory.max", "memory.current")).unwrap_or_default()
    }
}

/// The folder of a cgroup below the first mount it lies in. A path with `..` is one outside of our namespace.
fn folder(mounts: &[Mount], path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    if path.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    mounts.iter().find_map(|mount| Some(mount.point.join(path.strip_prefix(&mount.root).ok()?)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const UNLIMITED_4K: &str = "9223372036854771712\n";

    struct Machine {
        folder: tempfile::TempDir,
        mounts: Mounts,
    }

    impl Machine {
        /// Version 1 mounted from its root, version 2 from `/docker` on.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path().display();
            let mounts = Mounts::parse(&format!(
                "bad\n31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                 32 31 0:29 / {at}/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                 35 31 0:32 / {at}/memory rw,relatime shared:7 - cgroup cgroup rw,memory\n\
                 41 31 0:38 /docker {at}/unified rw,relatime - cgroup2 cgroup2 rw\n"
            ));
            Self { folder, mounts }
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn memory(limit: Option<u64>, usage: Option<u64>) -> CgroupMemory {
        CgroupMemory { limit, usage }
    }

    #[test]
    fn version_1() {
        let machine = Machine::new();
        machine.write("memory/a/memory.limit_in_bytes", "1048576\n");
        machine.write("memory/a/memory.usage_in_bytes", "4096\n");
        machine.write("memory/b/memory.limit_in_bytes", UNLIMITED_4K);
        let both = "5:cpu:/\n4:hugetlb,memory:/a\n0::/docker/x\n";
        assert_eq!(machine.mounts.memory(both), memory(Some(1 << 20), Some(4096)));
        assert_eq!(machine.mounts.memory("4:memory:/b\n"), CgroupMemory::default(), "no limit, usage unreadable");
    }

    #[test]
    fn version_2() {
        let machine = Machine::new();
        machine.write("unified/x/memory.max", "max\n");
        machine.write("unified/x/memory.current", "8192\n");
        machine.write("unified/y/memory.max", "5000\n");
        assert_eq!(machine.mounts.memory("3:cpuset:/\n0::/docker/x\n"), memory(None, Some(8192)));
        assert_eq!(machine.mounts.memory("0::/docker/y"), memory(Some(5000), None));
        assert_eq!(machine.mounts.memory("0::/elsewhere/x"), CgroupMemory::default(), "not in our mount");
        assert_eq!(machine.mounts.memory("0::/dockerx"), CgroupMemory::default(), "another name");
    }

    #[test]
    fn nothing_outside_is_read() {
        let machine = Machine::new();
        machine.write("secret/memory.current", "7\n");
        machine.write("unified/z/memory.current", "-7\n");
        for hostile in ["0::/docker/../secret", "0::/docker/z", "0::", "0:/", "", ":::\n0:memory", "4:memory:x"] {
            assert_eq!(machine.mounts.memory(hostile), CgroupMemory::default(), "{hostile}");
        }
        assert_eq!(Mounts::parse("").first[0].point, Path::new("/sys/fs/cgroup/memory"));
    }

    proptest::proptest! {
        #[test]
        fn takes_anything(text in "[0-9: /a\\n.cgroup2memory,-]{0,200}") {
            let _ = Mounts::parse(&text).memory(&text);
        }
    }
}
