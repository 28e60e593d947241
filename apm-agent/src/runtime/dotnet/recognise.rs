//! Recognises .NET (Core 3 and later), and how a program was deployed:
//!
//! | deployment | known by |
//! |---|---|
//! | with an installed run time | `libcoreclr.so` mapped from `…/shared/Microsoft.NETCore.App/10.0.12/`, its version |
//! | the same, as a single file | as before, and no `.dll` of the program's name beside it |
//! | self-contained | `libcoreclr.so` mapped from the program's own folder |
//! | self-contained, as a single file | the executable's export `DotNetRuntimeInfo`: the run time is linked in |
//! | Native AOT | the executable's section `__managedcode` or export `DotNetRuntimeDebugHeader`, and none of the above |
//!
//! A file that does not run is known by the last two, or by the `.runtimeconfig.json` beside it.

use std::path::{Path, PathBuf};

use super::super::{ARCHITECTURE, Detected, Named, Runtime, Subject, is_version, stem};

/// `service.agent.name` of Elastic's .NET agent.
pub const AGENT_NAME: &str = "dotnet";

/// Recognises .NET.
pub struct DotNet;

/// Export of executables that the run time is linked into.
const LINKED_IN: &str = "DotNetRuntimeInfo";

/// Export of what Native AOT made, and of nothing else that is an executable.
const NATIVE_AOT: &str = "DotNetRuntimeDebugHeader";

impl Runtime for DotNet {
    fn name(&self) -> &'static str {
        ".NET"
    }

    fn detect(&self, subject: &Subject) -> Option<Detected> {
        let (version, evidence) = if let Some(library) = subject.mapped("libcoreclr.so") {
            let version = library.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            let version = version.filter(|text| is_version(text)).or_else(|| configured(subject));
            (version, format!("`libcoreclr.so` is mapped{}", deployment(subject, library)))
        } else if subject.binary.exports(LINKED_IN) {
            (configured(subject), format!("the executable exports `{LINKED_IN}` (self-contained single-file program)"))
        } else if let Some(evidence) = native_aot(subject) {
            (None, format!("{evidence} (Native AOT: compiled ahead of time, with a run time of its own)"))
        } else {
            let configuration = assembly(subject)?.with_extension("runtimeconfig.json");
            subject.text(&configuration)?;
            (configured(subject), format!("`{}` lies beside it", configuration.display()))
        };
        Some(Detected {
            agent_name: AGENT_NAME,
            language: Some(("C#".into(), None)),
            runtime: version.map(|version| (runtime_name(&version), version)),
            architecture: ARCHITECTURE,
            evidence,
        })
    }

    fn service(&self, subject: &Subject) -> Option<Named> {
        let is_managed = subject.mapped("libcoreclr.so").is_some() || subject.binary.exports(LINKED_IN);
        if !is_managed && native_aot(subject).is_some() {
            return Some(Named::new(subject.executable_name()?, "name of the executable"));
        }
        let assembly = assembly(subject)?;
        let name = stem(&assembly)?;
        let version = assembly_version(subject, &assembly, &name);
        Some(Named { name, version, source: format!("entry assembly `{}`", assembly.display()) })
    }

    /// Its assemblies are mapped from `…/shared/Microsoft.AspNetCore.App/10.0.12/`, or from the program's own folder.
    fn framework(&self, subject: &Subject) -> Option<(String, String)> {
        let assembly = subject.mapped("Microsoft.AspNetCore.")?;
        let folder = assembly.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let version = folder.filter(|text| is_version(text)).or_else(|| configured(subject))?;
        Some(("ASP.NET Core".into(), version))
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "what the run time does not tell through its diagnostics port (`dotnet_bridge`) comes from the wire alone: without the port there are no parents, routes and exceptions, and nothing of what TLS hides",
            ".NET 8 takes a stack with each event, which makes them dearer, and its activity sources have to be named (`dotnet_activity_sources`)",
        ]
    }
}

/// How a program that uses this `libcoreclr.so` was deployed, where that is not the usual way.
fn deployment(subject: &Subject, library: &Path) -> &'static str {
    if library.parent() == subject.executable.parent() {
        return " from the program's own folder (self-contained program)";
    }
    // The launcher names its assembly; a program of its own that has none beside it has it within.
    let is_launcher = subject.executable_name().is_none_or(|name| name == "dotnet");
    let is_beside = assembly(subject).is_some_and(|assembly| subject.open(&assembly).is_some());
    if is_launcher || is_beside { "" } else { " (single-file program)" }
}

/// How it is known that Native AOT made the executable. One that was made without support for debuggers has no export,
/// one whose section headers were stripped has no sections.
fn native_aot(subject: &Subject) -> Option<String> {
    if subject.binary.exports(NATIVE_AOT) {
        return Some(format!("the executable exports `{NATIVE_AOT}`"));
    }
    subject.binary.has_managed_code.then(|| "the executable has the section `__managedcode`".to_string())
}

/// `.NET 8` from 5 on, `.NET Core` before.
fn runtime_name(version: &str) -> String {
    match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= 5 => format!(".NET {major}"),
        _ => ".NET Core".into(),
    }
}

/// The entry assembly: `dotnet app.dll`, or the `.dll` of the same name as the app host.
fn assembly(subject: &Subject) -> Option<PathBuf> {
    let host = subject.executable_name()?;
    if host != "dotnet" {
        return Some(subject.executable.with_file_name(format!("{host}.dll")));
    }
    let word = subject.arguments.iter().skip(1).find(|word| word.ends_with(".dll"))?;
    subject.absolute(word)
}

/// Version of the program's own entry in `NAME.deps.json`: `"NAME/1.2.3": { "type": "project" }`.
fn assembly_version(subject: &Subject, assembly: &Path, name: &str) -> Option<String> {
    let text = subject.text(&assembly.with_file_name(format!("{name}.deps.json")))?;
    let dependencies: serde_json::Value = serde_json::from_str(&text).ok()?;
    let libraries = dependencies.get("libraries")?.as_object()?;
    libraries.keys().find_map(|key| key.strip_prefix(name)?.strip_prefix('/')).map(str::to_string)
}

/// The version the program asks for; the one it runs on is this or a later patch.
fn configured(subject: &Subject) -> Option<String> {
    let path = assembly(subject)?.with_extension("runtimeconfig.json");
    let configuration: serde_json::Value = serde_json::from_str(&subject.text(&path)?).ok()?;
    let options = configuration.get("runtimeOptions")?;
    let listed = ["frameworks", "includedFrameworks"].iter().find_map(|key| options.get(key)?.get(0));
    Some(options.get("framework").or(listed)?.get("version")?.as_str()?.to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, process::Command};

    use super::*;
    use crate::process::tests::FakeProc;

    /// How a process is recognised whose executable is `host` and that has these files mapped.
    fn recognised(host: &Path, executable: &str, mapped: &str) -> (Option<String>, Option<String>, String) {
        let fake = FakeProc::new();
        let root = fake.add(7, 1, "/none");
        fs::create_dir_all(root.join("root/app")).expect("folder");
        fs::write(root.join("maps"), format!("7f00-7f01 r-xp 00000000 08:01 42      {mapped}\n")).expect("maps");
        let process = fake.proc().process(7).expect("process");
        fs::remove_file(root.join("exe")).expect("removed");
        symlink(host, root.join("exe")).expect("exe");
        let mut subject = Subject::of_process(&process).expect("readable");
        subject.executable = PathBuf::from(executable);
        let detected = DotNet.detect(&subject);
        let version = detected.as_ref().and_then(|detected| Some(detected.runtime.clone()?.1));
        let name = DotNet.service(&subject).map(|named| named.name);
        (version, name, detected.map(|detected| detected.evidence).unwrap_or_default())
    }

    #[test]
    fn deployments_are_told_apart() {
        let shared = "/usr/share/dotnet/shared/Microsoft.NETCore.App/10.0.12/libcoreclr.so";
        let plain = Path::new("/bin/sleep");
        let version = Some("10.0.12".to_string());
        let name = Some("Shop".to_string());
        let single = "`libcoreclr.so` is mapped (single-file program)".to_string();
        assert_eq!(recognised(plain, "/app/Shop", shared), (version.clone(), name.clone(), single));
        let usual = "`libcoreclr.so` is mapped".to_string();
        assert_eq!(recognised(plain, "/usr/share/dotnet/dotnet", shared), (version, None, usual));
        let own = "`libcoreclr.so` is mapped from the program's own folder (self-contained program)".to_string();
        assert_eq!(recognised(plain, "/app/Shop", "/app/libcoreclr.so"), (None, name, own));
        assert_eq!(recognised(plain, "/app/Shop", "/app/libc.so").2, "");
    }

    /// An executable with what .NET's linked ones are known by; making the real ones takes a tool chain of 300 MB.
    fn linked(source: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("folder");
        let (code, host) = (folder.path().join("a.c"), folder.path().join("Shop"));
        fs::write(&code, format!("{source}\nint main(void) {{ return 0; }}\n")).expect("source");
        // The compiler that links Rust's own programs.
        let built = Command::new("cc").arg("-rdynamic").arg("-o").arg(&host).arg(&code).status().expect("runs");
        assert!(built.success());
        (folder, host)
    }

    #[test]
    fn what_the_run_time_is_linked_into_is_known_by_the_executable() {
        let both = "int DotNetRuntimeInfo, DotNetRuntimeDebugHeader;";
        let section = "__attribute__((section(\"__managedcode\"))) int f(void) { return 1; }";
        for (source, evidence) in [
            (both, "the executable exports `DotNetRuntimeInfo` (self-contained single-file program)"),
            ("int DotNetRuntimeDebugHeader;", "the executable exports `DotNetRuntimeDebugHeader` (Native AOT: "),
            (section, "the executable has the section `__managedcode` (Native AOT: "),
        ] {
            let (_folder, host) = linked(source);
            let (version, name, found) = recognised(&host, "/app/Shop", "/app/libc.so");
            assert!(found.starts_with(evidence), "{found}");
            assert_eq!((version, name.as_deref()), (None, Some("Shop")));
        }
    }
}
