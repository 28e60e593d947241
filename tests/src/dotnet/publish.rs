//! Building .NET programs without a network, once for all tests and as long as nothing changes.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Framework;
use crate::{child::Child, place};

/// Longest that a build may take on a loaded machine.
const LIMIT: Duration = Duration::from_secs(300);

/// File in the folder of a build that says what it was made of; written last.
const STAMP: &str = "built-from";

/// Name that a program's host holds instead of the assembly to start, until it is written in (the hash of `foobar`,
/// dotnet/runtime `src/native/corehost/corehost.cpp`).
const PLACEHOLDER: &[u8] = b"c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2";

/// The command `dotnet`.
pub fn tool() -> Command {
    environment(Command::new(place::dotnet().join("dotnet")))
}

/// Where a program finds .NET, and what keeps .NET from talking home and from leaving processes behind.
pub fn environment(mut command: Command) -> Command {
    command.env("DOTNET_ROOT", place::dotnet()).env("DOTNET_NOLOGO", "1").env("DOTNET_CLI_TELEMETRY_OPTOUT", "1");
    command.env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1");
    command.env("DOTNET_CLI_WORKLOAD_UPDATE_NOTIFY_DISABLE", "true");
    // A build server that stays behind would hold the test's output open.
    command.env("DOTNET_CLI_USE_MSBUILD_SERVER", "0").env("MSBUILDDISABLENODEREUSE", "1");
    command
}

/// The small service of `tests/apps/dotnet`.
pub fn service() -> Result<PathBuf> {
    Ok(build("dotnet", "dotnet", &["publish", "-c", "Release", "-o", "out"])?.join("out/Service.dll"))
}

/// Folder of the program of `tests/apps/dotnet-web`; one run of the compiler builds it for every framework.
pub fn web(framework: Framework) -> Result<PathBuf> {
    Ok(build("dotnet-web", "dotnet-web", &["build", "-c", "Release"])?.join("bin/Release").join(framework.moniker()))
}

/// The same program in one file, without the run time; .NET 10 only, for whose hosts alone the bundle has the pack.
pub fn single_file() -> Result<PathBuf> {
    let mut arguments = vec!["publish", "-c", "Release", "-r", "linux-x64", "--self-contained", "false", "-o", "out"];
    arguments.extend([
        "-f",
        "net10.0",
        "-p:TargetFrameworks=net10.0",
        "-p:UseAppHost=true",
        "-p:PublishSingleFile=true",
    ]);
    // The analyzer comes with the trimmer, which is not in the bundle.
    arguments.push("-p:EnableSingleFileAnalyzer=false");
    Ok(build("dotnet-web", "dotnet-web-single", &arguments)?.join("out/Web"))
}

/// The same program with the run time beside it. The SDK wants packs for that which the bundle lacks, so the files are
/// put together here, as the SDK would: host, run time and program in one folder.
pub fn self_contained(framework: Framework) -> Result<PathBuf> {
    let source = web(framework)?;
    let _lock = lock("dotnet-web")?;
    // Beside what it is made of, and gone when that is built anew.
    let folder = source.with_file_name(format!("{}-self-contained", framework.moniker()));
    let program = folder.join("Web");
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&folder)?;
    let frameworks = [runtime("Microsoft.NETCore.App", framework)?, runtime("Microsoft.AspNetCore.App", framework)?];
    for (runtime, _) in &frameworks {
        copy_files(runtime, &folder)?;
    }
    copy_files(&source, &folder)?;
    // Without a list of dependencies every assembly of the folder counts, so those for this system are put there.
    fs::remove_file(folder.join("Web.deps.json"))?;
    copy_files(&source.join("runtimes/unix/lib/netcoreapp3.1"), &folder)?;
    let (resolver, _) = newest(&place::dotnet().join("host/fxr"), "")?;
    copy_files(&resolver, &folder)?;
    write_configuration(&folder.join("Web.runtimeconfig.json"), &frameworks.map(|(_, included)| included))?;
    // Last, because it says that the rest is there.
    write_host(&program)?;
    Ok(program)
}

/// Folder of a run time, and how a self-contained program's configuration names it.
fn runtime(name: &str, framework: Framework) -> Result<(PathBuf, Value)> {
    let major = framework.moniker().trim_start_matches("net").trim_end_matches('0');
    let (folder, version) = newest(&place::dotnet().join("shared").join(name), major)?;
    Ok((folder, json!({ "name": name, "version": version })))
}

/// Last folder of a version, and the version.
fn newest(parent: &Path, prefix: &str) -> Result<(PathBuf, String)> {
    let entries = fs::read_dir(parent).with_context(|| format!("could not list {}", parent.display()))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    let version = names.pop().with_context(|| format!("{} has no version {prefix}", parent.display()))?;
    Ok((parent.join(&version), version))
}

fn write_configuration(path: &Path, included: &[Value]) -> Result<()> {
    let mut configuration: Value = serde_json::from_slice(&fs::read(path)?)?;
    let options = configuration.get_mut("runtimeOptions").and_then(Value::as_object_mut);
    let options = options.context("a runtimeconfig.json has options")?;
    options.remove("frameworks");
    options.insert("includedFrameworks".to_owned(), included.into());
    Ok(fs::write(path, configuration.to_string())?)
}

/// Copies the host and writes into it what it starts.
fn write_host(program: &Path) -> Result<()> {
    let mut host = fs::read(newest(&place::dotnet().join("sdk"), "")?.0.join("AppHostTemplate/apphost"))?;
    let at = host.windows(PLACEHOLDER.len()).position(|window| window == PLACEHOLDER);
    let name = at.and_then(|at| host.get_mut(at..at + PLACEHOLDER.len())).context("the host has room for a name")?;
    name.fill(0);
    name.iter_mut().zip(b"Web.dll").for_each(|(to, from)| *to = *from);
    fs::write(program, host)?;
    Ok(fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for path in files(from)? {
        let name = path.file_name().unwrap_or_default();
        fs::copy(&path, to.join(name)).with_context(|| format!("could not copy {}", path.display()))?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

/// Runs the compiler on a copy of the sources, offline, unless that was done with the same sources and arguments.
fn build(app: &str, name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let _lock = lock(name)?;
    let folder = place::build()?.join(name);
    let sources = files(&place::app(app))?;
    let settings = format!(
        "<configuration><packageSources><clear/><add key=\"offline\" value=\"{}\"/></packageSources>\
         <fallbackPackageFolders><clear/></fallbackPackageFolders></configuration>\n",
        place::dotnet().join("nuget").display()
    );
    let stamp = stamp(&sources, &settings, arguments)?;
    if fs::read(folder.join(STAMP)).is_ok_and(|old| old == stamp) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    copy_files(&place::app(app), &folder)?;
    fs::write(folder.join("nuget.config"), settings)?;
    let mut command = tool();
    command.current_dir(&folder).args(arguments).arg("--disable-build-servers");
    let mut child = Child::start("dotnet", &mut command)?;
    let status = child.wait_for_end(LIMIT)?;
    ensure!(status.success(), "{app} does not build:\n{}", child.output());
    fs::write(folder.join(STAMP), stamp)?;
    Ok(folder)
}

fn stamp(sources: &[PathBuf], settings: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut stamp = format!("{settings}{}\n", arguments.join(" ")).into_bytes();
    for path in sources {
        stamp.extend(path.display().to_string().as_bytes());
        stamp.push(b'\n');
        stamp.extend(fs::read(path)?);
    }
    Ok(stamp)
}

/// Tests run side by side, in threads and in processes; one builds and the others wait.
fn lock(name: &str) -> Result<File> {
    let path = place::build()?.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("could not create {}", path.display()))?;
    file.lock()?;
    Ok(file)
}
