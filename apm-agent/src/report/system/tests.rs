//! Machines made of files.

use std::os::unix::fs::symlink;

use super::*;
use crate::report::Status as Went;

struct Machine(tempfile::TempDir);

impl Machine {
    fn good() -> Self {
        let machine = Self(tempfile::tempdir().expect("folder"));
        machine.write("proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n");
        machine.write("proc/self/cgroup", "0::/agent\n");
        machine.write("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
        machine.write("proc/filesystems", "nodev\ttracefs\n");
        machine.write("sys/kernel/btf/vmlinux", "");
        machine.write("sys/kernel/tracing/events/syscalls/sys_enter_read/id", "1");
        machine.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        fs::create_dir_all(machine.0.path().join("proc/self/ns")).expect("folder");
        symlink("pid:[4026531836]", machine.0.path().join("proc/self/ns/pid")).expect("link");
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, text).expect("written");
    }

    fn remove(&self, path: &str) {
        let path = self.0.path().join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
    }

    fn check(&self, name: &str) -> Check {
        System::at(self.0.path()).checks().into_iter().find(|check| check.name == name).expect("known")
    }
}

#[test]
fn a_good_machine_has_no_complaint() {
    for check in System::at(Machine::good().0.path()).checks() {
        assert_eq!(check.status, Went::Ok, "{}", check.line(false));
    }
}

type Lack = (&'static str, ExitCode, fn(&Machine));

#[test]
fn each_lack_has_its_code_and_remedy() {
    let lacks: [Lack; 7] = [
        ("privileges", ExitCode::Privileges, |one| one.write("proc/self/status", "Uid:\t7\t7\t7\t7\nCapEff:\t0\n")),
        ("BTF", ExitCode::Kernel, |one| one.remove("sys/kernel/btf/vmlinux")),
        ("tracepoints", ExitCode::Kernel, |one| one.remove("sys/kernel/tracing/events/syscalls")),
        ("tracepoints", ExitCode::Privileges, |one| {
            one.remove("sys/kernel/tracing");
            one.write("proc/self/status", "CapEff:\t000000c000000000\n");
        }),
        ("tracepoints", ExitCode::Kernel, |one| {
            one.remove("sys/kernel/tracing");
            one.write("proc/filesystems", "nodev\tproc\n");
        }),
        ("lockdown", ExitCode::Kernel, |one| {
            one.write("sys/kernel/security/lockdown", "none integrity [confidentiality]")
        }),
        ("process ids", ExitCode::Privileges, |one| {
            one.remove("proc/self/ns/pid");
            symlink("pid:[4026532000]", one.0.path().join("proc/self/ns/pid")).expect("link");
        }),
    ];
    for (name, code, harm) in lacks {
        let machine = Machine::good();
        harm(&machine);
        let check = machine.check(name);
        assert_eq!((check.status, check.code), (Went::Fail, code), "{}", check.line(false));
        assert!(!check.remedy.is_empty(), "{name}");
    }
}

#[test]
fn what_works_with_less_is_a_warning() {
    let machine = Machine::good();
    machine.write("proc/self/status", "CapEff:\t000000c000000000\n");
    assert_eq!(machine.check("privileges").status, Went::Ok, "CAP_BPF and CAP_PERFMON are enough");
    assert_eq!(machine.check("other users' processes").status, Went::Warn);
    machine.write("proc/sys/kernel/osrelease", "4.19.0\n");
    assert_eq!(machine.check("kernel").status, Went::Warn);
    machine.write("sys/fs/cgroup/agent/memory.max", "1048576\n");
    assert_eq!(machine.check("memory limit").status, Went::Warn);
    machine.write("sys/fs/cgroup/agent/memory.max", "max\n");
    assert_eq!(machine.check("memory limit").finding, "none");
}

#[test]
fn as_root_tracefs_may_be_unmounted() {
    let machine = Machine::good();
    machine.remove("sys/kernel/tracing");
    assert_eq!(machine.check("tracepoints").status, Went::Ok);
}

#[test]
fn outputs_are_tried() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let outputs = Outputs { server_url: Some(url), file: Some("/nonexistent/folder/x".into()), ..Outputs::default() };
    let went: Vec<Went> = OutputCheck(&outputs).checks().iter().map(|check| check.status).collect();
    assert_eq!(went, [Went::Ok, Went::Fail]);
    drop(listener);
    assert_eq!(OutputCheck(&outputs).checks().first().map(|check| check.status), Some(Went::Warn));
}

#[test]
fn addresses_of_urls() {
    for (url, expected) in [
        ("http://host", Some("host:80")),
        ("https://host/base", Some("host:443")),
        ("https://user@host:8200", Some("host:8200")),
        ("http://[::1]:8200", Some("[::1]:8200")),
        ("http://[::1]", Some("[::1]:80")),
        ("http://", None),
    ] {
        assert_eq!(address(url).as_deref(), expected, "{url}");
    }
}
