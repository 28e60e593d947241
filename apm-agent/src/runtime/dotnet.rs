//! .NET (Core 3 and later). Known by `libcoreclr.so` mapped into the process, by the export `DotNetRuntimeInfo` of
//! single-file programs, or, for a file that does not run, by the `.runtimeconfig.json` beside it. The version of the
//! run time is the folder libcoreclr lies in: `…/shared/Microsoft.NETCore.App/10.0.12/libcoreclr.so`.

use std::path::{Path, PathBuf};

use super::{ARCHITECTURE, Detected, Named, Runtime, Subject, is_version, stem};

mod exception;

pub(super) struct DotNet;

impl Runtime for DotNet {
    fn name(&self) -> &'static str {
        ".NET"
    }

    fn detect(&self, subject: &Subject) -> Option<Detected> {
        let runtime = subject.mapped("libcoreclr.so");
        let (version, evidence) = if let Some(library) = runtime {
            let version = library.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            let version = version.filter(|text| is_version(text)).or_else(|| configured(subject));
            (version, "`libcoreclr.so` is mapped".to_string())
        } else if subject.binary.exports("DotNetRuntimeInfo") {
            (configured(subject), "the executable exports `DotNetRuntimeInfo` (single-file program)".to_string())
        } else {
            let configuration = assembly(subject)?.with_extension("runtimeconfig.json");
            subject.text(&configuration)?;
            (configured(subject), format!("`{}` lies beside it", configuration.display()))
        };
        Some(Detected {
            agent_name: "dotnet",
            language: Some(("C#".into(), None)),
            runtime: version.map(|version| (runtime_name(&version), version)),
            architecture: ARCHITECTURE,
            evidence,
        })
    }

    fn service(&self, subject: &Subject) -> Option<Named> {
        let assembly = assembly(subject)?;
        let name = stem(&assembly)?;
        let version = assembly_version(subject, &assembly, &name);
        Some(Named { name, version, source: format!("entry assembly `{}`", assembly.display()) })
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "TLS: .NET loads the system's OpenSSL, which is not hooked yet; encrypted connections give no transactions and spans",
            "a request moves between threads at each `await`, so a call is linked to its request only while it stays on one; others are told as transactions of their own",
        ]
    }
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
