//! `metadata`: the first line of every stream.

use std::borrow::Cow;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{AGENT_VERSION, Detail, keyword};
use crate::metadata::{HostInfo, KubernetesInfo, ProcessInfo, ServiceInstance};

/// How this agent came to the process. Elastic has no word for it; the server takes any.
const ACTIVATION_METHOD: &str = "ebpf";

/// Arguments are kept up to this many bytes in all: they can be megabytes, and an over-long metadata line loses the
/// whole stream.
const ARGUMENT_BYTES: usize = 16 * 1024;

/// What the server does not understand and must not be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// Version 8.7.0 refuses `activation_method`.
    pub no_activation_method: bool,
    /// Versions before 8.6 know no `log` events, and refuse them.
    pub no_logs: bool,
}

impl Gates {
    /// Gates for a server's version text; an unknown version understands everything we send.
    pub fn new(version: Option<&str>) -> Self {
        let mut numbers = version.unwrap_or_default().split('.').map(|number| number.parse::<u32>().ok());
        let before_logs = |number: (u32, u32)| number < (8, 6);
        let number = numbers.next().flatten().zip(numbers.next().flatten());
        Self { no_activation_method: version == Some("8.7.0"), no_logs: number.is_some_and(before_logs) }
    }
}

#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    service: Service<'a>,
    process: Process<'a>,
    system: System<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Labels<'a>>,
}

#[derive(Serialize)]
struct Service<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Node<'a>>,
    agent: Agent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framework: Option<Named<'a>>,
}

#[derive(Serialize)]
struct Node<'a> {
    configured_name: Cow<'a, str>,
}

#[derive(Serialize)]
struct Agent<'a> {
    name: Cow<'a, str>,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_method: Option<&'static str>,
}

/// A name and a version; a run time has both, a language may go without version.
#[derive(Serialize)]
struct Named<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ppid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    argv: Vec<Cow<'a, str>>,
}

#[derive(Serialize)]
struct System<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    architecture: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    platform: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    configured_hostname: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detected_hostname: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<Kubernetes<'a>>,
}

#[derive(Serialize)]
struct Container<'a> {
    id: Cow<'a, str>,
}

#[derive(Serialize)]
struct Kubernetes<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<KubernetesNode<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Pod<'a>>,
}

#[derive(Serialize)]
struct KubernetesNode<'a> {
    name: Cow<'a, str>,
}

#[derive(Serialize)]
struct Pod<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<Cow<'a, str>>,
}

/// Labels; characters the server does not take in a key become `_`.
pub(super) struct Labels<'a>(pub &'a [(String, String)]);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0 {
            map.serialize_entry(&keyword(&key.replace(['.', '*', '"'], "_")), &keyword(value))?;
        }
        map.end()
    }
}

pub(super) fn fields(instance: &ServiceInstance, gates: Gates, detail: Detail) -> Metadata<'_> {
    Metadata {
        service: service(instance, gates),
        process: process(&instance.process, detail),
        system: system(instance),
        labels: (!instance.labels.is_empty() && !detail.is_short()).then_some(Labels(&instance.labels)),
    }
}

fn optional(text: &Option<String>) -> Option<Cow<'_, str>> {
    text.as_deref().filter(|text| !text.is_empty()).map(keyword)
}

fn service(instance: &ServiceInstance, gates: Gates) -> Service<'_> {
    let language = instance.language.as_ref();
    let agent_name = if instance.agent_name.is_empty() { "ebpf" } else { &instance.agent_name };
    Service {
        name: service_name(&instance.name, agent_name),
        version: optional(&instance.version),
        environment: optional(&instance.environment),
        node: optional(&instance.node_name).map(|configured_name| Node { configured_name }),
        agent: Agent {
            name: keyword(agent_name),
            version: AGENT_VERSION,
            activation_method: (!gates.no_activation_method).then_some(ACTIVATION_METHOD),
        },
        language: language.map(|(name, version)| Named { name: keyword(name), version: optional(version) }),
        runtime: instance.runtime.as_ref().map(versioned),
        framework: instance.framework.as_ref().map(versioned),
    }
}

fn versioned((name, version): &(String, String)) -> Named<'_> {
    Named { name: keyword(name), version: Some(keyword(version)) }
}

/// The server takes letters, digits, space, `_` and `-` in a service's name, and at least one of them.
fn service_name<'a>(name: &'a str, agent_name: &str) -> Cow<'a, str> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, ' ' | '_' | '-');
    if name.is_empty() {
        return Cow::Owned(format!("unknown-{agent_name}-service"));
    }
    if name.chars().all(allowed) && name.len() <= super::KEYWORD {
        return Cow::Borrowed(name);
    }
    // Not `keyword`: its ellipsis is not allowed here.
    Cow::Owned(
        name.chars().take(super::KEYWORD).map(|character| if allowed(character) { character } else { '_' }).collect(),
    )
}

fn process(process: &ProcessInfo, detail: Detail) -> Process<'_> {
    let arguments: &[String] = if detail.has_headers() { &process.argv } else { &[] };
    let mut room = ARGUMENT_BYTES;
    let fits = |argument: &Cow<'_, str>| {
        let left = room.checked_sub(argument.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    Process {
        pid: process.pid,
        ppid: process.ppid,
        title: optional(&process.title),
        argv: arguments.iter().map(|argument| keyword(argument)).take_while(fits).collect(),
    }
}

fn system(instance: &ServiceInstance) -> System<'_> {
    let HostInfo { architecture, platform, configured_hostname, detected_hostname } = &instance.host;
    System {
        architecture: keyword(architecture),
        platform: keyword(platform),
        configured_hostname: optional(configured_hostname),
        detected_hostname: optional(detected_hostname),
        container: optional(&instance.container_id).map(|id| Container { id }),
        kubernetes: instance.kubernetes.as_ref().map(kubernetes),
    }
}

fn kubernetes(info: &KubernetesInfo) -> Kubernetes<'_> {
    let pod = Pod { name: optional(&info.pod_name), uid: optional(&info.pod_uid) };
    Kubernetes {
        namespace: optional(&info.namespace),
        node: optional(&info.node_name).map(|name| KubernetesNode { name }),
        pod: (pod.name.is_some() || pod.uid.is_some()).then_some(pod),
    }
}
