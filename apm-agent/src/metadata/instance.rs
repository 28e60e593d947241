//! A process becomes a service instance.
//!
//! Each field is taken from the first of these that has it: the agent's flags and environment, the environment of the
//! process (the variables people already set for Elastic's and OpenTelemetry's agents), the agent's file, detection.

use std::path::PathBuf;

use super::{HostInfo, KubernetesInfo, ProcessInfo, ServiceInstance, container, hostname, name};
use crate::{
    config::{ServiceOverrides, Settings, value},
    process::{Environ, Process},
    runtime::{Detected, Named, Subject},
};

/// What the agent's settings say of services.
#[derive(Clone, Copy, Debug)]
pub struct Overrides<'a> {
    /// From flags and environment: they win over everything.
    pub strong: &'a ServiceOverrides,
    /// From the file: they win over detection only.
    pub weak: &'a ServiceOverrides,
}

impl<'a> From<&'a Settings> for Overrides<'a> {
    fn from(settings: &'a Settings) -> Self {
        Self { strong: &settings.service, weak: &settings.service_defaults }
    }
}

/// An instance with the reasons behind it.
#[derive(Clone, Debug)]
pub struct Described {
    /// The instance.
    pub instance: ServiceInstance,
    /// Name of the run time, for people.
    pub runtime: &'static str,
    /// What was recognised.
    pub detected: Detected,
    /// Where the service's name is from.
    pub name_source: String,
}

/// A value with where it was found.
type Sourced = (String, String);

impl ServiceInstance {
    /// The service instance a process is. A process that cannot be read any more still yields one, with less in it.
    pub fn of(process: &Process, overrides: Overrides) -> Described {
        match Subject::of_process(process) {
            Ok(subject) => describe(process, &subject, overrides),
            Err(_) => bare(process, overrides),
        }
    }

    /// Names an instance apart from others of its service on the same host: `HOST-PID`. For use when there are several
    /// and neither a name was set nor a container tells them apart (the server would merge them into one).
    pub fn distinguish(&mut self) {
        if self.node_name.is_none() && self.container_id.is_none() {
            let host = self.host.configured_hostname.as_ref().or(self.host.detected_hostname.as_ref());
            let host = host.map_or("host", String::as_str);
            self.node_name = Some(format!("{host}-{}", self.process.pid));
        }
    }
}

/// What makes processes one instance: workers a parent made by fork alone run the same executable as their parent and
/// share its instance, so that a pre-fork server is one instance and not one per worker. Two processes with the same
/// key, one the ancestor of the other, are one instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceKey {
    executable: Option<PathBuf>,
    namespace: Option<u64>,
    arguments: Vec<String>,
}

/// The key of a process. The arguments are part of it: `node a.js` that starts `node b.js` is two services. A process
/// that writes its title over its arguments (gunicorn, puma, nginx) is known by its executable alone.
pub fn instance_key(process: &Process) -> InstanceKey {
    let arguments = process.arguments();
    let titled = arguments.len() <= 1;
    InstanceKey {
        executable: process.executable(),
        namespace: process.namespace("pid"),
        arguments: if titled { Vec::new() } else { arguments },
    }
}

fn describe(process: &Process, subject: &Subject, overrides: Overrides) -> Described {
    let (runtime, detected) = subject.runtime();
    let environ = &subject.environ;
    let named = runtime.service(subject);
    let (service, name_source) = service_name(overrides, environ, named.as_ref(), detected.agent_name);
    let version = pick(overrides, |one| one.version.clone(), || variable(environ, &VERSION));
    let environment = pick(overrides, |one| one.environment.clone(), || variable(environ, &ENVIRONMENT));
    let found = container::discover(&process.cgroup(), &process.mountinfo());
    let host = host(process, environ, overrides, detected.architecture);
    let instance = ServiceInstance {
        name: service,
        version: version.or_else(|| named.and_then(|named| named.version)),
        environment: environment.or_else(|| runtime.environment(subject)),
        node_name: pick(overrides, |one| one.node_name.clone(), || variable(environ, &NODE_NAME)),
        agent_name: detected.agent_name.to_string(),
        language: detected.language.clone(),
        runtime: detected.runtime.clone(),
        framework: runtime.framework(subject),
        process: process_info(process, &subject.arguments),
        kubernetes: kubernetes(environ, &found, &host),
        host,
        container_id: environ.get("ELASTIC_APM_CONTAINER_ID").map(str::to_string).or(found.container),
        labels: labels(overrides, environ),
    };
    Described { instance, runtime: runtime.name(), detected, name_source }
}

/// All that is left when the executable cannot be read.
fn bare(process: &Process, overrides: Overrides) -> Described {
    let environ = process.environ();
    let (service, name_source) = service_name(overrides, &environ, None, "ebpf");
    let instance = ServiceInstance {
        name: service,
        agent_name: "ebpf".into(),
        process: process_info(process, &process.arguments()),
        host: host(process, &environ, overrides, std::env::consts::ARCH),
        labels: labels(overrides, &environ),
        ..ServiceInstance::default()
    };
    Described { instance, runtime: "unknown", detected: Detected::default(), name_source }
}

/// Variables of a target, strongest first; a name with a dot is a key of `OTEL_RESOURCE_ATTRIBUTES`.
const VERSION: [&str; 2] = ["ELASTIC_APM_SERVICE_VERSION", "service.version"];
const ENVIRONMENT: [&str; 3] = ["ELASTIC_APM_ENVIRONMENT", "deployment.environment.name", "deployment.environment"];
const NODE_NAME: [&str; 2] = ["ELASTIC_APM_SERVICE_NODE_NAME", "service.instance.id"];
const NAME: [&str; 3] = ["ELASTIC_APM_SERVICE_NAME", "OTEL_SERVICE_NAME", "service.name"];

fn variable(environ: &Environ, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| sourced(environ, name)).map(|(value, _)| value)
}

fn sourced(environ: &Environ, name: &str) -> Option<Sourced> {
    if name.contains('.') {
        let value = environ.resource_attribute(name)?;
        return Some((value, format!("`{name}` in `OTEL_RESOURCE_ATTRIBUTES` of the process")));
    }
    Some((environ.get(name)?.to_string(), format!("`{name}` of the process")))
}

/// Strong overrides, then the process's environment, then weak ones.
fn pick<T>(
    overrides: Overrides,
    of: impl Fn(&ServiceOverrides) -> Option<T>,
    target: impl FnOnce() -> Option<T>,
) -> Option<T> {
    of(overrides.strong).or_else(target).or_else(|| of(overrides.weak))
}

fn service_name(overrides: Overrides, environ: &Environ, named: Option<&Named>, agent_name: &str) -> Sourced {
    let clean = |(raw, source): Sourced| Some((name::clean_service_name(&raw)?, source));
    let from = |one: &ServiceOverrides, source: &str| Some((one.name.clone()?, source.to_string()));
    from(overrides.strong, "the agent's settings")
        .and_then(clean)
        .or_else(|| NAME.iter().find_map(|name| sourced(environ, name).and_then(clean)))
        .or_else(|| from(overrides.weak, "the agent's configuration file").and_then(clean))
        .or_else(|| named.and_then(|named| clean((named.name.clone(), named.source.clone()))))
        .unwrap_or_else(|| (name::unknown_service_name(agent_name), "nothing named it".to_string()))
}

fn process_info(process: &Process, arguments: &[String]) -> ProcessInfo {
    let inside = process.status().and_then(|status| status.pid_inside);
    let title = process.executable().map(|path| path.to_string_lossy().into_owned());
    ProcessInfo {
        pid: inside.unwrap_or(process.pid),
        // The parent's id is in our namespace; it means nothing in another.
        ppid: (inside.is_none() || inside == Some(process.pid)).then_some(process.stat().parent),
        title: title.or_else(|| Some(process.stat().name.clone())),
        argv: arguments.to_vec(),
    }
}

fn host(process: &Process, environ: &Environ, overrides: Overrides, architecture: &str) -> HostInfo {
    HostInfo {
        architecture: architecture.to_string(),
        platform: "linux".into(),
        configured_hostname: pick(
            overrides,
            |one| one.hostname.clone(),
            || variable(environ, &["ELASTIC_APM_HOSTNAME"]),
        ),
        detected_hostname: hostname::detect(process, environ),
    }
}

/// The pod: by the Downward API's variables, else by the cgroup and, for its name, the host name.
fn kubernetes(environ: &Environ, found: &container::ContainerInfo, host: &HostInfo) -> Option<KubernetesInfo> {
    let variable = |name| environ.get(name).map(str::to_string);
    let pod_name = || found.pod.as_ref().and(host.detected_hostname.clone());
    let info = KubernetesInfo {
        namespace: variable("KUBERNETES_NAMESPACE"),
        node_name: variable("KUBERNETES_NODE_NAME"),
        pod_name: variable("KUBERNETES_POD_NAME").or_else(pod_name),
        pod_uid: variable("KUBERNETES_POD_UID").or_else(|| found.pod.clone()),
    };
    (info != KubernetesInfo::default()).then_some(info)
}

/// Labels of all layers together; of two with one key the stronger layer's counts.
fn labels(overrides: Overrides, environ: &Environ) -> Vec<(String, String)> {
    let target = environ.get("ELASTIC_APM_GLOBAL_LABELS").map(value::split_list).unwrap_or_default();
    let target = value::mapping(&target).unwrap_or_default();
    let mut labels: Vec<(String, String)> = Vec::new();
    for (key, text) in overrides.strong.global_labels.iter().chain(&target).chain(&overrides.weak.global_labels) {
        let key = name::clean_label_key(key);
        if !labels.iter().any(|(known, _)| *known == key) {
            labels.push((key, text.clone()));
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;
    use crate::process::{
        Proc,
        tests::{FakeProc, spawn, wait_for},
    };

    fn overrides(name: Option<&str>) -> ServiceOverrides {
        ServiceOverrides { name: name.map(str::to_string), ..ServiceOverrides::default() }
    }

    /// A process whose executable is this test's, with an environment.
    fn described(environ: &str, strong: &ServiceOverrides, weak: &ServiceOverrides) -> Described {
        let fake = FakeProc::new();
        let executable = std::env::current_exe().expect("path");
        let root = fake.add(7, 1, executable.to_str().expect("UTF-8"));
        fs::write(root.join("environ"), environ.replace(' ', "\0")).expect("environ");
        fs::write(root.join("cmdline"), "server\0--port\080\0").expect("cmdline");
        fs::write(root.join("status"), "NSpid:\t7\t3\n").expect("status");
        let pod = "0::/kubepods/burstable/pod90d81341-92de-11e7-8cf2-507b9d4141fa/".to_string() + &"b".repeat(64);
        fs::write(root.join("cgroup"), pod).expect("cgroup");
        ServiceInstance::of(&fake.proc().process(7).expect("process"), Overrides { strong, weak })
    }

    #[test]
    fn names_by_rank() {
        let both = "OTEL_SERVICE_NAME=otel ELASTIC_APM_SERVICE_NAME=elastic";
        let (none, agent, file) = (overrides(None), overrides(Some("agent")), overrides(Some("file")));
        for (environ, strong, weak, expected) in [
            (both, &agent, &file, "agent"),
            (both, &none, &file, "elastic"),
            ("OTEL_SERVICE_NAME=otel", &none, &file, "otel"),
            ("OTEL_RESOURCE_ATTRIBUTES=service.name=a.b", &none, &none, "a_b"),
            ("ELASTIC_APM_SERVICE_NAME=!!", &none, &file, "file"),
        ] {
            assert_eq!(described(environ, strong, weak).instance.name, expected, "{environ}");
        }
        let detected = described("", &none, &none);
        assert!(detected.instance.name.starts_with("apm_agent-"), "{}", detected.instance.name);
        assert_eq!(detected.name_source, "name of the executable");
    }

    #[test]
    fn fills_every_part() {
        let strong = ServiceOverrides { global_labels: vec![("a.b".into(), "agent".into())], ..overrides(None) };
        let environ = "ELASTIC_APM_SERVICE_VERSION=1 ELASTIC_APM_ENVIRONMENT=test ELASTIC_APM_SERVICE_NODE_NAME=n \
                       ELASTIC_APM_HOSTNAME=h HOSTNAME=pod-name KUBERNETES_NAMESPACE=ns ELASTIC_APM_GLOBAL_LABELS=a.b=x,c=y";
        let instance = described(environ, &strong, &overrides(None)).instance;
        assert_eq!(instance.version.as_deref(), Some("1"));
        assert_eq!(instance.environment.as_deref(), Some("test"));
        assert_eq!(instance.node_name.as_deref(), Some("n"));
        assert_eq!(instance.agent_name, "ebpf");
        assert_eq!((instance.process.pid, instance.process.ppid), (3, None));
        assert_eq!(instance.process.argv, ["server", "--port", "80"]);
        assert_eq!(instance.host.configured_hostname.as_deref(), Some("h"));
        assert_eq!(instance.container_id, Some("b".repeat(64)));
        let kubernetes = instance.kubernetes.expect("pod");
        assert_eq!(kubernetes.pod_name.as_deref(), Some("pod-name"));
        assert_eq!(kubernetes.pod_uid.as_deref(), Some("90d81341-92de-11e7-8cf2-507b9d4141fa"));
        assert_eq!(kubernetes.namespace.as_deref(), Some("ns"));
        assert_eq!(instance.labels, [("a_b".into(), "agent".into()), ("c".into(), "y".into())]);
    }

    #[test]
    fn several_without_a_container_are_told_apart() {
        let mut instance =
            ServiceInstance { process: ProcessInfo { pid: 9, ..ProcessInfo::default() }, ..ServiceInstance::default() };
        instance.host.detected_hostname = Some("web1".into());
        let mut contained = ServiceInstance { container_id: Some("c".into()), ..instance.clone() };
        instance.distinguish();
        contained.distinguish();
        assert_eq!(instance.node_name.as_deref(), Some("web1-9"));
        assert_eq!(contained.node_name, None);
    }

    #[test]
    fn a_forked_worker_has_the_key_of_its_parent_and_an_exec_has_not() {
        let parent =
            spawn(Command::new("sh").args(["-c", "exec 3<&0; (read line <&3; echo $line) & sleep 601 & wait"]));
        let children = || {
            let pids = Proc::default().pids();
            let processes = pids.into_iter().filter_map(|pid| Proc::default().process(pid).ok());
            processes.filter(|process| process.stat().parent == parent.0.id()).collect::<Vec<_>>()
        };
        let (worker, other) = wait_for(|| {
            let children = children();
            let other = children.iter().find(|child| child.arguments() == ["sleep", "601"])?.clone();
            let worker =
                children.into_iter().find(|child| child.arguments().first().is_some_and(|word| word == "sh"))?;
            Some((worker, other))
        });
        let key = instance_key(&Proc::default().process(parent.0.id()).expect("parent"));
        assert_eq!(instance_key(&worker), key);
        assert_ne!(instance_key(&other), key);
        for child in [worker.pid, other.pid] {
            // The shell's children outlive it unless they are ended too.
            let _ = Command::new("kill").arg(child.to_string()).status();
        }
    }
}
