//! Container and pod of a process, from its `cgroup` and `mountinfo` files (Elastic's specification of container
//! metadata; vectors `container_metadata_discovery.json` and `cgroup_parsing.json`).

/// What the files tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerInfo {
    /// Container id.
    pub container: Option<String>,
    /// Uid of the Kubernetes pod.
    pub pod: Option<String>,
}

/// Reads the files: `cgroup` first, `mountinfo` where it tells no container.
pub fn discover(cgroup: &str, mountinfo: &str) -> ContainerInfo {
    let mut info = ContainerInfo::default();
    for found in cgroup.lines().filter_map(read_cgroup_line) {
        info.container = info.container.or(found.container);
        info.pod = info.pod.or(found.pod);
    }
    if info.container.is_none() {
        info.container = mountinfo.lines().find_map(read_mountinfo_line);
    }
    info
}

/// A line `hierarchy:controllers:path`.
pub fn read_cgroup_line(line: &str) -> Option<ContainerInfo> {
    let path = line.splitn(3, ':').nth(2)?.trim();
    let (folder, base) = split(path)?;
    let base = match base.strip_suffix(".scope") {
        Some(unit) => unit_id(unit),
        None => base,
    };
    if base.is_empty() {
        return None;
    }
    if let Some(pod) = pod_of(folder) {
        return Some(ContainerInfo { container: Some(base.to_string()), pod: Some(pod) });
    }
    is_container_id(base).then(|| ContainerInfo { container: Some(base.to_string()), pod: None })
}

/// The id in a scope's name: `docker-<id>`, or `cri-containerd-<id>`, whose engine has a dash itself.
fn unit_id(unit: &str) -> &str {
    match unit.rsplit_once('-') {
        Some((_, id)) if is_container_id(id) => id,
        _ => unit.split_once('-').map_or(unit, |(_, id)| id),
    }
}

/// At the last `:` (containerd's `<folder>:cri-containerd:<id>`), else at the last `/`.
fn split(path: &str) -> Option<(&str, &str)> {
    let Some((before, id)) = path.rsplit_once(':') else { return path.rsplit_once('/') };
    // What stands between the last two colons is the container engine.
    let folder = before.rsplit_once(':').map_or(before, |(folder, _)| folder);
    Some((folder, id))
}

/// The pod's uid: `/kubepods…/pod<uid>` (cgroupfs driver) or `kubepods…-pod<uid>.slice` (systemd driver).
fn pod_of(folder: &str) -> Option<String> {
    let last = folder.rsplit('/').next()?;
    if let Some(uid) = last.strip_suffix(".slice").filter(|_| last.starts_with("kubepods")) {
        let uid = uid.rsplit_once("-pod").map(|(_, uid)| uid)?;
        return (!uid.is_empty()).then(|| uid.replace('_', "-"));
    }
    let uid = last.strip_prefix("pod")?;
    (folder.starts_with("/kubepods") && !uid.is_empty()).then(|| uid.to_string())
}

/// 64 hex digits; a UUID whose last part may be longer; or ECS's 32 hex digits, `-` and up to ten digits.
fn is_container_id(text: &str) -> bool {
    let hex = |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [whole] => whole.len() == 64 && hex(whole),
        [task, number] => {
            task.len() == 32
                && hex(task)
                && (1..=10).contains(&number.len())
                && number.chars().all(|digit| digit.is_ascii_digit())
        }
        [first, second, third, fourth, last] => {
            let lengths = [first.len(), second.len(), third.len(), fourth.len()] == [8, 4, 4, 4] && last.len() >= 4;
            lengths && parts.iter().all(|part| hex(part))
        }
        _ => false,
    }
}

/// The first 64 hex digits in the root of the mount on `/etc/hostname` (cgroup v2 in a cgroup namespace).
fn read_mountinfo_line(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if fields.get(4) != Some(&"/etc/hostname") {
        return None;
    }
    let hex = fields.get(3)?.split(|letter: char| !letter.is_ascii_hexdigit()).find(|part| part.len() >= 64)?;
    hex.get(..64).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn text(value: &Value) -> Option<String> {
        value.as_str().map(str::to_string)
    }

    fn lines(value: &Value, file: &str) -> String {
        let lines = value["files"][file].as_array().cloned().unwrap_or_default();
        lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn elastic_vectors_of_discovery() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/data/json-specs/container_metadata_discovery.json"))
                .expect("JSON");
        let vectors = vectors.as_object().expect("object");
        assert_eq!(vectors.len(), 6);
        for (name, vector) in vectors {
            let found = discover(&lines(vector, "/proc/self/cgroup"), &lines(vector, "/proc/self/mountinfo"));
            assert_eq!(found.container, text(&vector["containerId"]), "{name}");
            assert_eq!(found.pod, text(&vector["podId"]), "{name}");
        }
    }

    #[test]
    fn elastic_vectors_of_cgroup_lines() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/data/json-specs/cgroup_parsing.json")).expect("JSON");
        let vectors = vectors.as_object().expect("object");
        assert_eq!(vectors.len(), 4);
        for (name, vector) in vectors {
            let found = read_cgroup_line(vector["groupLine"].as_str().expect("line")).unwrap_or_default();
            assert_eq!(found.container, text(&vector["containerId"]), "{name}");
            assert_eq!(found.pod, text(&vector["podId"]), "{name}");
        }
    }

    #[test]
    fn forms_the_vectors_do_not_have() {
        let id = "a".repeat(64);
        let pod = "90d81341-92de-11e7-8cf2-507b9d4141fa";
        let both = |container: &str| ContainerInfo { container: Some(container.into()), pod: Some(pod.into()) };
        assert_eq!(read_cgroup_line(&format!("0::/kubepods/besteffort/pod{pod}/{id}")), Some(both(&id)));
        let systemd = pod.replace('-', "_");
        let containerd =
            format!("0::/system.slice/containerd.service/kubepods-burstable-pod{systemd}.slice:cri-containerd:{id}");
        assert_eq!(read_cgroup_line(&containerd), Some(both(&id)));
        let docker = read_cgroup_line(&format!("5:cpu:/docker/{id}")).expect("container");
        assert_eq!((docker.container, docker.pod), (Some(id), None));
        for line in [
            "",
            "0::/",
            "0::",
            "1:x",
            "4:memory:/process_api/22fc49c100bbdb02e2f1da2f3dacd909",
            "0::/a.scope",
            "0::/kubepods/podx/",
        ] {
            assert_eq!(read_cgroup_line(line), None, "{line}");
        }
    }
}
