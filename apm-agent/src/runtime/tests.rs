//! Run times recognised in real processes; a tool chain that is absent is named and skipped.

use std::{fs, path::Path, process::Command};

use super::*;
use crate::process::{
    Proc,
    tests::{Ended, FakeProc, spawn, wait_for},
};

/// The child as the agent sees it once `ready`.
fn look(child: &Ended, ready: impl Fn(&Process) -> bool) -> Process {
    wait_for(|| Proc::default().process(child.0.id()).ok().filter(|process| ready(process)))
}

fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: `{program}` is not on this machine");
    }
    there
}

#[test]
fn node_by_its_binary_and_package() {
    if !is_there("node") {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    fs::create_dir_all(folder.path().join("src/deep")).expect("folder");
    fs::write(folder.path().join("package.json"), r#"{"name":"@shop/web","version":"1.2.3"}"#).expect("package");
    let script = folder.path().join("src/deep/main.js");
    fs::write(&script, "process.stdin.resume()").expect("script");
    let child = spawn(Command::new("node").arg("--no-warnings").arg(&script).env("NODE_ENV", "staging"));
    let process = look(&child, |process| process.arguments().len() == 3);
    let subject = Subject::of_process(&process).expect("readable");
    let (runtime, detected) = subject.runtime();
    let version = Command::new("node").arg("--version").output().expect("version").stdout;
    let version = String::from_utf8_lossy(&version).trim().trim_start_matches('v').to_string();
    assert_eq!(runtime.name(), "Node.js");
    assert_eq!(detected.agent_name, "nodejs");
    assert_eq!(detected.runtime, Some(("node".into(), version)));
    let named = runtime.service(&subject).expect("named");
    assert_eq!((named.name.as_str(), named.version.as_deref()), ("shop-web", Some("1.2.3")));
    assert_eq!(runtime.environment(&subject).as_deref(), Some("staging"));
}

#[test]
fn python_by_its_binary_and_script() {
    if !is_there("python3") {
        return;
    }
    let said = Command::new("python3")
        .args(["-c", "import sys;print(sys.executable, sys.version.split()[0])"])
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&said.stdout).trim().to_string();
    let (executable, version) = said.rsplit_once(' ').expect("two words");
    let folder = tempfile::tempdir().expect("folder");
    let script = folder.path().join("billing.py");
    fs::write(&script, "import sys\nsys.stdin.read()\n").expect("script");
    let child = spawn(Command::new(executable).arg("-u").arg(&script));
    // Its library, which knows the version best, is mapped a moment after the executable.
    let known = Some(("CPython".into(), version.to_string()));
    let process =
        look(&child, |process| Subject::of_process(process).is_ok_and(|subject| subject.runtime().1.runtime == known));
    let subject = Subject::of_process(&process).expect("readable");
    let (runtime, detected) = subject.runtime();
    assert_eq!(runtime.name(), "Python");
    assert_eq!(detected.runtime, known);
    assert_eq!(runtime.service(&subject).map(|named| named.name).as_deref(), Some("billing"));
}

#[test]
fn go_by_its_build_information() {
    let Ok(found) = Command::new("go").arg("version").output() else {
        eprintln!("skipped: `go` is not on this machine");
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("main.go"), "package main\nfunc main() {}\n").expect("source");
    fs::write(folder.path().join("go.mod"), "module example.com/shop\n").expect("module");
    let mut build = Command::new("go");
    build.args(["build", "-ldflags=-s -w", "-o", "orders", "."]).current_dir(folder.path());
    let built =
        build.env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local").env("GOPROXY", "off").output().expect("runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let subject = Subject::of_binary(&folder.path().join("orders")).expect("readable");
    let (runtime, detected) = subject.runtime();
    assert_eq!(detected.agent_name, "go");
    let version = detected.runtime.expect("version").1;
    assert!(String::from_utf8_lossy(&found.stdout).contains(&version), "{version}");
    assert_eq!(runtime.service(&subject).map(|named| named.name).as_deref(), Some("orders"));
    assert_eq!(subject.binary.go.as_ref().and_then(|go| go.path.as_deref()), Some("example.com/shop"));
}

#[test]
fn nginx_java_and_native_by_their_binaries() {
    for (path, expected) in [("/usr/sbin/nginx", "nginx"), ("/usr/bin/java", "Java"), ("/bin/sleep", "native code")] {
        if !Path::new(path).exists() {
            eprintln!("skipped: `{path}` is not on this machine");
            continue;
        }
        let subject = Subject::of_binary(Path::new(path)).expect("readable");
        let (runtime, detected) = subject.runtime();
        assert_eq!(runtime.name(), expected);
        assert_eq!(detected.runtime.is_some(), expected != "native code", "{detected:?}");
    }
}

#[test]
fn dotnet_by_the_files_beside_it() {
    // A tool chain is not needed: an app host is any executable with its `.dll` and configuration beside it.
    let folder = tempfile::tempdir().expect("folder");
    let host = folder.path().join("Shop.Api");
    fs::copy("/bin/sleep", &host).expect("host");
    fs::write(
        folder.path().join("Shop.Api.deps.json"),
        r#"{"libraries":{"Npgsql/9.0.3":{},"Shop.Api/2.1.0":{"type":"project"}}}"#,
    )
    .expect("deps");
    let configuration = r#"{"runtimeOptions":{"framework":{"name":"Microsoft.NETCore.App","version":"10.0.0"}}}"#;
    fs::write(folder.path().join("Shop.Api.runtimeconfig.json"), configuration).expect("configuration");
    let subject = Subject::of_binary(&host).expect("readable");
    let (runtime, detected) = subject.runtime();
    assert_eq!((runtime.name(), detected.runtime), (".NET", Some((".NET 10".into(), "10.0.0".into()))));
    let named = runtime.service(&subject).expect("named");
    assert_eq!((named.name.as_str(), named.version.as_deref()), ("Shop.Api", Some("2.1.0")));
}

#[test]
fn dotnet_by_the_library_it_maps() {
    let fake = FakeProc::new();
    let root = fake.add(7, 1, "/usr/bin/dotnet");
    fs::remove_file(root.join("exe")).expect("removed");
    let host = fake.folder.path().join("dotnet");
    fs::copy("/bin/sleep", &host).expect("host");
    std::os::unix::fs::symlink(&host, root.join("exe")).expect("exe");
    std::os::unix::fs::symlink("/srv/shop", root.join("cwd")).expect("cwd");
    fs::write(root.join("cmdline"), "dotnet\0exec\0Shop.dll\0--urls=x.dll\0").expect("cmdline");
    let line =
        "7f00-7f01 r-xp 00000000 08:01 42      /usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.31/libcoreclr.so\n";
    fs::write(root.join("maps"), line).expect("maps");
    fs::create_dir_all(root.join("root/srv/shop")).expect("folder");
    fs::write(root.join("root/srv/shop/Shop.deps.json"), r#"{"libraries":{"Shop/3.0.0":{}}}"#).expect("deps");
    let process = fake.proc().process(7).expect("process");
    let subject = Subject::of_process(&process).expect("readable");
    let (runtime, detected) = subject.runtime();
    assert_eq!((runtime.name(), detected.runtime), (".NET", Some((".NET 8".into(), "8.0.31".into()))));
    let named = runtime.service(&subject).expect("named");
    assert_eq!((named.name.as_str(), named.version.as_deref()), ("Shop", Some("3.0.0")));
}

#[test]
fn versions() {
    for (text, expected) in [
        ("20.20.2", true),
        ("3.11", true),
        ("21.0.0-rc.1", true),
        ("20", false),
        ("", false),
        ("1..2", false),
        ("a.b", false),
    ] {
        assert_eq!(is_version(text), expected, "{text}");
    }
}
