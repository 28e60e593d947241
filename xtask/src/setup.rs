//! `cargo xtask setup`: what tests, demo and benchmarks need of the machine. What is there is left alone.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{debian, shell, tree};

/// Servers, clients and compilers of the tests.
const PACKAGES: [&str; 18] = [
    "postgresql",
    "postgresql-client",
    "mariadb-server",
    "memcached",
    "redis-server",
    "nginx-light",
    "wrk",
    "gunicorn",
    "python3",
    "python3-psycopg2",
    "python3-pymysql",
    "python3-redis",
    "gcc",
    "libpq-dev",
    "libsqlite3-dev",
    "bpftool",
    "curl",
    "openssl",
];

/// Where the offline .NET is handed to us: in a folder beside the repository, or beside a folder it lies in.
const DOTNET: &str = "shared/dotnet/dotnet.tar.xz";

/// Prepares the machine.
///
/// # Errors
/// If something is missing and cannot be installed or mounted.
pub fn run() -> Result<()> {
    install_packages()?;
    mount("tracefs", "/sys/kernel/tracing", "events/syscalls")?;
    unpack_dotnet()?;
    install_node()?;
    for (program, what) in [("go", "Elastic's decoder"), ("node", "the Node.js service")] {
        if shell::find_program(program).is_none() {
            shell::say(&format!("`{program}` is not installed: tests that need {what} will be skipped by name"));
        }
    }
    Ok(())
}

fn install_packages() -> Result<()> {
    // Any flavour of nginx will do, from wherever it was installed.
    let wanted = |package: &&str| *package != "nginx-light" || shell::find_program("nginx").is_none();
    let packages: Vec<&str> = PACKAGES.iter().copied().filter(wanted).collect();
    // Debian starts a server and makes a cluster at installation; the tests have their own and want the port free.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let guard = debian::can_install() && !policy.exists();
    if guard {
        write_policy(policy)?;
    }
    let installed = debian::ensure(&packages);
    if guard {
        fs::remove_file(policy)?;
    }
    installed
}

/// While this file says 101, Debian's packages start no service (invoke-rc.d(8)).
fn write_policy(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, "#!/bin/sh\nexit 101\n")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Mounts a kernel file system unless `witness` shows that it is.
fn mount(kind: &str, folder: &str, witness: &str) -> Result<()> {
    let path = Path::new(folder);
    if path.join(witness).exists() {
        return Ok(());
    }
    if !debian::is_root() {
        bail!("{kind} is not mounted on {folder}. Run `mount -t {kind} none {folder}` as root.");
    }
    shell::say(&format!("mounting {kind} on {folder}"));
    shell::run(Command::new("mount").args(["-t", kind, "none", folder]))
}

fn unpack_dotnet() -> Result<()> {
    let folder = tree::target().join("dotnet");
    let archive = tree::root().ancestors().skip(1).map(|folder| folder.join(DOTNET)).find(|path| path.exists());
    // Written last, so that an unpacking that was cut short is done again.
    let done = folder.join(".unpacked");
    if done.exists() {
        return Ok(());
    }
    let Some(archive) = archive else {
        shell::say(&format!("../{DOTNET} is not there: tests that need .NET will be skipped by name"));
        return Ok(());
    };
    shell::step("unpacking .NET (440 MB)", || {
        fs::create_dir_all(&folder)?;
        shell::run(Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(&folder))?;
        fs::write(&done, "").context("could not note that .NET is unpacked")
    })
}

/// What npm installs, each in a folder of its own of `tests/apps/node-script`: Node.js itself, libraries, and
/// Elastic's own agent.
const NODE: [&str; 5] = ["majors", "older", "newer", "newest", "elastic"];

/// Installs every Node.js and the libraries of its tests, as their lock files say.
fn install_node() -> Result<()> {
    if shell::find_program("npm").is_none() {
        shell::say("`npm` is not installed: tests that need every Node.js will be skipped by name");
        return Ok(());
    }
    let folder = tree::target().join("node");
    let sources = NODE.map(|name| tree::root().join("tests/apps/node-script").join(name));
    // Written last, with what was installed, so that an installation that was cut short or is outdated is done again.
    let done = folder.join(".installed");
    let locks = sources.iter().map(|source| fs::read_to_string(source.join("package-lock.json")));
    let locks = locks.collect::<std::io::Result<Vec<_>>>().context("a lock file of npm is missing")?.concat();
    if fs::read_to_string(&done).is_ok_and(|installed| installed == locks) {
        return Ok(());
    }
    shell::step("installing every Node.js and its libraries (npm)", || {
        for (name, source) in NODE.iter().zip(&sources) {
            let folder = folder.join(name);
            fs::create_dir_all(&folder)?;
            for file in ["package.json", "package-lock.json"] {
                fs::copy(source.join(file), folder.join(file))?;
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
            shell::run(npm.current_dir(&folder))?;
        }
        fs::write(&done, &locks).context("could not note that Node.js is installed")
    })
}
