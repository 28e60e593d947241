//! Debian's kernels for machines in a cloud, fetched by apt with a state of its own: nothing of this machine's changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{cache, output};
use crate::shell;

/// Suites that have kernels, and where each lies beside the mirror.
const SUITES: [(&str, &str); 5] = [
    ("", "bookworm"),
    ("-security", "bookworm-security"),
    ("", "trixie"),
    ("-security", "trixie-security"),
    ("", "trixie-backports"),
];

/// Modules that the guest needs, with all that these need.
const MODULES: [&str; 4] = ["virtio_pci", "virtiofs", "overlay", "virtio_rng"];

/// A kernel that is there.
pub struct Kernel {
    /// Its version.
    pub version: String,
    /// The kernel itself.
    pub image: PathBuf,
    /// A folder with modules as they are loaded, and their names in `list`.
    pub modules: PathBuf,
}

/// Fetches the newest kernel of a series, unless one is there.
///
/// # Errors
/// If there is none, or apt fails.
pub fn fetch(series: &str) -> Result<Kernel> {
    let folder = cache()?.join(series);
    // Written last.
    let done = folder.join("version");
    if !done.exists() {
        shell::step(&format!("fetching a kernel {series} of Debian's"), || {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("modules"))?;
            let version = unpack(series, &folder)?;
            fs::write(&done, version).context("could not note that the kernel is there")
        })?;
    }
    let version = fs::read_to_string(&done)?;
    Ok(Kernel { version, image: folder.join("vmlinuz"), modules: folder.join("modules") })
}

fn unpack(series: &str, folder: &Path) -> Result<String> {
    let state = cache()?.join("apt");
    let options = options(&state)?;
    shell::run(apt("apt-get", &options).arg("update"))?;
    let names = output(apt("apt-cache", &options).args(["pkgnames", &format!("linux-image-{series}")]))?;
    let version = newest(&String::from_utf8(names)?, series).with_context(|| format!("no kernel {series} is there"))?;
    let parts = folder.join("parts");
    fs::create_dir_all(&parts)?;
    shell::run(apt("apt-get", &options).arg("download").arg(format!("linux-image-{version}")).current_dir(&parts))?;
    let root = folder.join("root");
    for part in fs::read_dir(&parts)? {
        shell::run(Command::new("dpkg").arg("-x").arg(part?.path()).arg(&root))?;
    }
    fs::rename(root.join("boot").join(format!("vmlinuz-{version}")), folder.join("vmlinuz"))?;
    modules(&root, &version, &folder.join("modules"))?;
    fs::remove_dir_all(&root)?;
    fs::remove_dir_all(&parts)?;
    Ok(version)
}

/// The newest version of a series among names of packages.
fn newest(names: &str, series: &str) -> Option<String> {
    let versions = names.lines().filter_map(|name| name.strip_prefix("linux-image-"));
    let is_wanted = |version: &&str| {
        let rest = version.strip_prefix(series).is_some_and(|rest| rest.starts_with(['.', '+']));
        rest && version.ends_with("-cloud-amd64") && !version.contains("-rt-")
    };
    let numbers = |version: &str| -> Vec<u32> {
        version.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    versions.filter(is_wanted).max_by_key(|version| numbers(version)).map(str::to_owned)
}

/// Copies the modules, unpacked, and writes down in which order they go in.
fn modules(root: &Path, version: &str, to: &Path) -> Result<()> {
    if !root.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    }
    shell::run(Command::new("/sbin/depmod").arg("-b").arg(root).arg(version))?;
    let mut list: Vec<String> = Vec::new();
    for module in MODULES {
        let mut command = Command::new("/sbin/modprobe");
        let told = output(command.arg("-d").arg(root).args(["-S", version, "--show-depends", module]))?;
        for path in String::from_utf8(told)?.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let path = path.trim();
            let name = Path::new(path).file_name().context("a module without a name")?.to_string_lossy();
            let name = name.trim_end_matches(".xz").to_owned();
            if !list.contains(&name) {
                let bytes = if path.ends_with(".xz") {
                    output(Command::new("xz").args(["-dc", path]))?
                } else {
                    fs::read(path)?
                };
                fs::write(to.join(&name), bytes)?;
                list.push(name);
            }
        }
    }
    fs::write(to.join("list"), list.join("\n") + "\n").context("the list of modules cannot be written")
}

fn apt(program: &str, options: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(options);
    command
}

/// Options that keep apt's state in a folder, with sources of every suite at the mirror that this machine uses.
fn options(state: &Path) -> Result<Vec<String>> {
    for folder in ["sources", "lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(state.join(folder))?;
    }
    let targets =
        output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]))?;
    let targets = String::from_utf8(targets)?;
    let mirror = targets.lines().map(|line| line.trim_end_matches('/')).find(|line| line.ends_with("/debian"));
    let Some(mirror) = mirror else { bail!("apt knows no mirror of Debian's: run `apt-get update`") };
    let source = |(place, suite): &(&str, &str)| {
        let keys = "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg";
        format!("Types: deb\nURIs: {mirror}{place}\nSuites: {suite}\nComponents: main\n{keys}\n")
    };
    fs::write(state.join("sources/guest.sources"), SUITES.iter().map(source).collect::<Vec<_>>().join("\n"))?;
    let path = |name: &str| state.join(name).display().to_string();
    let options = [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        "Dir::Etc::preferencesparts=/dev/null".to_owned(),
        format!("Dir::Etc::sourceparts={}", path("sources")),
        format!("Dir::State::lists={}", path("lists")),
        format!("Dir::Cache={}", path("cache")),
        "Acquire::Languages=none".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
    ];
    Ok(["-qq".to_owned()].into_iter().chain(options.into_iter().flat_map(|option| ["-o".to_owned(), option])).collect())
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn finds_the_newest_of_a_series() {
        let names = "linux-image-6.18.9+deb13-cloud-amd64\nlinux-image-6.18.15+deb13-cloud-amd64\n\
            linux-image-6.18.15+deb13-amd64\nlinux-image-6.18.16+deb13-rt-cloud-amd64\nlinux-image-6.1.0-9-cloud-amd64\n";
        assert_eq!(newest(names, "6.18").as_deref(), Some("6.18.15+deb13-cloud-amd64"));
        assert_eq!(newest(names, "6.1").as_deref(), Some("6.1.0-9-cloud-amd64"));
        assert_eq!(newest(names, "7.2"), None);
    }
}
